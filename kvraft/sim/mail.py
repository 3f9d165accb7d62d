"""The messages in flight between hand-driven members, and the links that are cut.

A message waits here until the driver delivers it, loses it or sends it once more, so messages may
overtake each other.  They are picked by number, sender, receiver or kind.

Invariant: what is in flight is delivered or lost once, unless it was sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypedDict, Unpack

from kvraft.errors import BadInput
from kvraft.events import (
    Event,
    LinkChanged,
    MessageDelayed,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkPartitioned,
)
from kvraft.inputs import instance, whole_number
from kvraft.raft import Message
from kvraft.sim.network import LinkStreams, summarize_message
from kvraft.sim.timeline import TICK


class InFlightMessage(NamedTuple):
    """A message in flight; ``due`` is when a clock delivers it, in microseconds."""

    id: int
    due: int
    message: Message


class MessageFilter(TypedDict, total=False):
    """Which messages to pick: those that match all given values."""

    id: int
    sender: str
    to: str
    kind: type


class MessagesInFlight:
    """The messages in flight, and the links that are cut.

    A message takes the least to the most ticks in ``latency``; how many, and whether it gets lost,
    is drawn from the stream of its link (network.py), derived from ``seed``.  Nothing is reported
    if ``report`` is ``None``.
    """

    def __init__(
        self,
        seed: int,
        latency: tuple[int, int],
        *,
        report: Callable[[str, Event], None] | None,
    ) -> None:
        self.loss = 0.0
        """The probability with which a message is lost as it is sent."""
        self._streams = LinkStreams(seed)
        self._latency = latency
        self._report = report
        self.in_flight: dict[int, InFlightMessage] = {}
        """In the order in which they were sent."""
        self._last_id = 0
        self._group_of: dict[str, int] = {}
        self._cut_links: list[tuple[str, str]] = []

    def post(self, message: Message, now: int) -> None:
        """Send a message, at ``now`` in microseconds."""
        least, most = self._latency
        stream = self._streams[message.sender, message.to]
        ticks, luck = least + int(stream.random() * (most - least + 1)), stream.random()
        self._last_id += 1
        letter = InFlightMessage(self._last_id, now + ticks * TICK, message)
        self.in_flight[letter.id] = letter
        if self._report is not None:
            kind, (term, first, last, note) = type(message).__name__, summarize_message(message)
            sent = MessageSent(letter.id, kind, message.to, term, first, last, note)
            self._report(message.sender, sent)
        if why := self.why_unreachable(message):
            self.lose(letter, why)
        elif luck < self.loss:
            self.lose(letter, "loss")

    def lose(self, letter: InFlightMessage, why: str) -> None:
        """Lose a message."""
        del self.in_flight[letter.id]
        if self._report is not None:
            self._report(letter.message.to, MessageLost(letter.id, why))

    def delay(self, letter: InFlightMessage, ticks: int) -> None:
        """Have a message be due so many ticks later."""
        later = self.in_flight[letter.id] = letter._replace(due=letter.due + ticks * TICK)
        if self._report is not None:
            self._report(letter.message.to, MessageDelayed(letter.id, later.due))

    def find(self, **pick: Unpack[MessageFilter]) -> list[InFlightMessage]:
        """Return the messages in flight that match, in the order sent."""
        if wrong := [word for word in pick if word not in MessageFilter.__annotations__]:
            known = ", ".join(MessageFilter.__annotations__)
            raise BadInput(f"messages are picked by {known}, not by {wrong[0]}")
        id, sender, to, kind = map(pick.get, ("id", "sender", "to", "kind"))
        return [
            letter
            for letter in self.in_flight.values()
            if id in (None, letter.id)
            and sender in (None, letter.message.sender)
            and to in (None, letter.message.to)
            and kind in (None, type(letter.message))
        ]

    def some(self, **pick: Unpack[MessageFilter]) -> list[InFlightMessage]:
        """Return what :meth:`find` returns; raise ``BadInput`` if that is empty."""
        found = self.find(**pick)
        if not found:
            names = {"id": "number", "sender": "from"}
            words = [
                f"{names.get(key, key)} {getattr(value, '__name__', value)}"
                for key, value in pick.items()
            ]
            raise BadInput(f"no such message is in flight: {', '.join(words) or 'there is none'}")
        return found

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def why_unreachable(self, message: Message) -> str:
        """Return why a message cannot arrive now, ``""`` if it can."""
        sender, to = message.sender, message.to
        here, there = self._group_of.get(sender), self._group_of.get(to)
        if here is not None and there is not None and here != there:
            return "partition"
        return f"{sender} does not reach {to}" if (sender, to) in self._cut_links else ""

    def partition(self, groups: Sequence[Sequence[str]], names: Collection[str]) -> None:
        """Cut all links between groups; those of ``names`` that are in none form one more."""
        named = [name for group in groups for name in group]
        rest = [name for name in names if name not in named]
        groups = [*map(list, groups), *([rest] if rest else [])]
        self._group_of = {name: number for number, group in enumerate(groups) for name in group}
        if self._report is not None:
            self._report("", NetworkPartitioned(tuple(" ".join(group) for group in groups)))

    def cut_link(self, sender: str, to: str) -> None:
        """Cut a link in one direction."""
        self._cut_links.append((sender, to))
        self._report_link(sender, to)

    def repair_link(self, sender: str, to: str) -> None:
        """Repair a link that is cut in one direction."""
        if (sender, to) not in self._cut_links:
            raise BadInput(f"the link from {sender} to {to} works")
        self._cut_links = [link for link in self._cut_links if link != (sender, to)]
        self._report_link(sender, to)

    def _report_link(self, sender: str, to: str) -> None:
        if self._report is not None:
            cut = (sender, to) in self._cut_links
            self._report("", LinkChanged(sender, to, cut, False, 0, 0))

    def heal(self) -> None:
        """Restore all links."""
        self._group_of, self._cut_links = {}, []
        if self._report is not None:
            self._report("", NetworkHealed())


def check_latency(latency: tuple[int, int]) -> None:
    """Raise ``BadInput`` unless ``latency`` is a least and a most number of ticks."""
    instance(latency, tuple, "a latency, the least and the most ticks,")
    least, most = (whole_number(ticks, "a latency in ticks") for ticks in (*latency, 0, 0)[:2])
    if len(latency) != 2 or not 1 <= least <= most:
        raise BadInput(f"a latency of {' to '.join(map(str, latency))} ticks makes no sense")
