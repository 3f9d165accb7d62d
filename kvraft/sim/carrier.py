"""The transport of messages in a simulated world, from sending to arrival.

::

    send ──► the network says when it arrives ──► arrives ──► handed over
      ╰──► MessageLost: loss, partition, cut         ├──► MessageLost: partition, receiver down
                                                     ╰──► waits, while its link is clogged

Invariant: each message that was sent is reported once as delivered or lost.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft import inputs
from kvraft.events import (
    Event,
    MessageDelayed,
    MessageDelivered,
    MessageDuplicated,
    MessageLost,
    MessageSent,
)
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
        self._report_sent(envelope)
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

    def duplicate(self, envelope: Envelope) -> None:
        """Send a message in flight once more; the copy arrives right after it."""
        copy = self._network.copy(envelope)
        self._report_sent(copy)
        if self._report is not None:
            self._report(envelope.message.to, MessageDuplicated(envelope.id, copy.id))
        if copy.arrives >= self._time.now:  # else it waits where a link is clogged
            self._time.plan(copy.arrives, self._arrive, copy.id)

    def delay(self, envelope: Envelope, micros: int) -> None:
        """Have a message arrive ``micros`` microseconds later than it would."""
        later = max(envelope.arrives, self._time.now) + micros
        self._network.repost(envelope, later)
        if self._report is not None:
            self._report(envelope.message.to, MessageDelayed(envelope.id, later))
        self._time.plan(later, self._arrive, envelope.id)

    def deliver(self, envelope: Envelope) -> None:
        """Have a message in flight arrive now, whether its link is clogged or not."""
        self._network.repost(envelope, self._time.now)
        self._hand_over(envelope)

    def release(self, sender: str = "", to: str = "") -> None:
        """Have what waited at the end of a clogged link, or of any, arrive now."""
        for envelope in self._network.in_flight.values():
            link = (envelope.message.sender, envelope.message.to)
            if envelope.arrives <= self._time.now and (sender, to) in (link, ("", "")):
                self._time.plan(self._time.now, self._arrive, envelope.id)

    def _arrive(self, id: int) -> None:
        envelope = self._network.in_flight.get(id)
        if envelope is None or envelope.arrives > self._time.now:
            return  # lost, delivered or delayed on its way
        if not self._network.holds(envelope.message):
            self._hand_over(envelope)

    def _hand_over(self, envelope: Envelope) -> None:
        id, message = envelope.id, envelope.message
        why = self._network.why_unreachable(message.sender, message.to)
        if why := why or self._why_gone(message.to):
            self._lose(envelope, why)
            return
        del self._network.in_flight[id]
        if self._report is not None:
            self._report(message.to, MessageDelivered(id))
        self._deliver(message)

    def _report_sent(self, envelope: Envelope) -> None:
        if self._report is not None:
            message = envelope.message
            kind, (term, first, last, note) = type(message).__name__, summarize_message(message)
            sent = MessageSent(envelope.id, kind, message.to, term, first, last, note)
            self._report(message.sender, sent)

    def _lose(self, envelope: Envelope, why: str) -> None:
        del self._network.in_flight[envelope.id]
        if self._report is not None:
            self._report(envelope.message.to, MessageLost(envelope.id, why))
