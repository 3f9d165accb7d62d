"""The transport of messages in a simulated world, from sending to arrival.

::

    send ──► the network says when it arrives ──► arrives ──► handed over
      ╰──► MessageLost: loss, partition              ╰──► MessageLost: partition, receiver down

Invariant: each message that was sent is reported once as delivered or lost.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft import inputs
from kvraft.events import Event, MessageDelivered, MessageLost, MessageSent
from kvraft.sim.network import AnyMessage, Envelope, Network, summarize_message
from kvraft.sim.timeline import Timeline


class Carrier:
    """Carries messages through ``network``.

    ``deliver`` passes a message to its receiver; ``why_gone`` returns why there is none of that
    name, ``""`` if there is.  Nothing is reported if ``report`` is ``None``.
    """

    def __init__(
        self,
        network: Network,
        time: Timeline,
        *,
        deliver: Callable[[AnyMessage], None],
        why_gone: Callable[[str], str],
        report: Callable[[str, Event], None] | None,
    ) -> None:
        self._network = network
        self._time = time
        self._deliver = deliver
        self._why_gone = why_gone
        self._report = report

    def send(self, message: AnyMessage, after: int = 0) -> None:
        """Send a message after ``after`` microseconds."""
        envelope = self._network.post(message, self._time.now + after)
        if self._report is not None:
            kind, (term, first, last, note) = type(message).__name__, summarize_message(message)
            sent = MessageSent(envelope.id, kind, message.to, term, first, last, note)
            self._report(message.sender, sent)
        if why := self._network.why_lost(message):
            self._lose(envelope, why)
        else:
            self._time.plan(envelope.arrives, self._arrive, envelope.id)

    def drop(self, which: Callable[[AnyMessage], bool] | int) -> int:
        """Lose messages in flight, one by its id or all that ``which`` selects; return how many."""
        if not isinstance(which, int):
            inputs.function(which, "what is to be lost, if not the number of a message,")
        doomed = [
            envelope
            for envelope in self._network.in_flight.values()
            if (envelope.id == which if isinstance(which, int) else which(envelope.message))
        ]
        for envelope in doomed:
            self._lose(envelope, "dropped")
        return len(doomed)

    def _arrive(self, id: int) -> None:
        envelope = self._network.in_flight.get(id)
        if envelope is None:
            return  # dropped on its way
        message = envelope.message
        why = "partition" if self._network.separates(message) else self._why_gone(message.to)
        if why:
            self._lose(envelope, why)
            return
        del self._network.in_flight[id]
        if self._report is not None:
            self._report(message.to, MessageDelivered(id))
        self._deliver(message)

    def _lose(self, envelope: Envelope, why: str) -> None:
        del self._network.in_flight[envelope.id]
        if self._report is not None:
            self._report(envelope.message.to, MessageLost(envelope.id, why))
