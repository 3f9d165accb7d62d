"""Was each log segment that a member dropped no longer needed?  Judged from the trace alone.

Nothing here asks a member or uses the code of its rule (``replica/retention.py``).  From the events
of a run :class:`RetentionChecker` works out what is durable on each member's disk, and judges each
:class:`~kvraft.events.SegmentDropped`::

    EntriesAppended, MemberStarted            ──► the entries in its log, by index and term
    Flushed, SnapshotInstalled, MemberStarted ──► how far its tables reach
    SegmentSealed, SegmentDropped             ──► the bytes of sealed log that it keeps
    ConfigurationChanged                      ──► the other members
    ProgressChanged, MessageSent              ──► the snapshots in flight, and where they end

A segment may be dropped if

1. all of it is in durable tables, and no older segment is left; and
2. every other member holds all of it durably, or already needs older entries that are gone, or is
   being sent a snapshot that covers it; or the sealed log from it on exceeds the budget; and
3. no snapshot in flight needs it to continue from; or that log exceeds twice the budget.

And through every crash: the flushed mark never falls, and the entries above it are in the log.

Source: Raft §7; ``replica/retention.py`` has the rule that is judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from kvraft.check.properties import Violation
from kvraft.display import counted
from kvraft.events import (
    ConfigurationChanged,
    EntriesAppended,
    Flushed,
    LogReset,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MessageDuplicated,
    MessageSent,
    ProgressChanged,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    Trace,
)

__all__ = ["RetentionChecker", "RetentionProperty"]

_THROUGH = re.compile(r"through (\d+),")
_HEARD = {
    ConfigurationChanged,
    EntriesAppended,
    Flushed,
    LogReset,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MessageSent,
    ProgressChanged,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
}
"""The events that say something about logs, tables or snapshots."""
_CHUNK = "InstallSnapshot"  # the only message that does
_UNKNOWN = 1 << 62  # the size of a segment that no event reported
_LEFT = 1 << 62  # the entry by which a member joined that has left


class RetentionProperty(StrEnum):
    """A promise about the log that is kept; its value is its name."""

    TABLES = "truncate only what is in tables"
    FOLLOWERS = "truncate only what no member needs"
    SNAPSHOTS = "truncate only what no snapshot needs"
    KEPT = "what is in no table is in the log"


@dataclass(slots=True)
class _Member:
    """What the trace shows of one member so far; most of it is on its disk."""

    members: tuple[str, ...]
    flushed: int = 0
    last: int = 0
    terms: dict[int, int] = field(default_factory=dict)  # by index, of entries once in its log
    highest: int = 0  # the last index in ``terms``
    writing_unknown: bool = False  # after a start, until it appends
    unknown_through: int = 0  # the last entry found after a crash whose term was never reported
    base: int = 0  # its log begins after this index
    opened: dict[int, int] = field(default_factory=dict)  # first index of segments, by number
    sealed: dict[int, int] = field(default_factory=dict)  # bytes of those that are complete
    installed: int = 0  # where a snapshot ends that was just installed
    resetting: bool = False  # a log that continues after a snapshot replaces its whole log
    joined: dict[str, int] = field(default_factory=dict)  # the entry by which each member joined
    leads: bool = False
    sending: dict[str, int] = field(default_factory=dict)  # where the snapshot to a member ends

    def holds(self, index: int, term: int | None) -> bool:
        """Return whether its disk holds everything through the entry at ``index`` of ``term``."""
        if index <= self.flushed:
            return True
        if index > self.last:
            return False
        return index <= self.unknown_through or term is None or self.terms.get(index) == term

    def kept_from(self, segment: int) -> int:
        """Return how many bytes of sealed log it has from ``segment`` on."""
        newest = max(self.opened, default=segment)
        if self.writing_unknown or any(
            segment <= number < newest and number not in self.sealed for number in self.opened
        ):
            return _UNKNOWN  # a segment was sealed right before a crash, and its size not reported
        return sum(size for number, size in self.sealed.items() if number >= segment)

    def drop(self, dropped: SegmentDropped) -> None:
        """Record that a segment is removed."""
        self.sealed.pop(dropped.segment, None)
        self.opened.pop(dropped.segment, None)
        following = min((n for n in self.opened if n > dropped.segment), default=None)
        end = dropped.last if following is None else self.opened[following] - 1
        self.base = max(self.base, end)

    def restart(self, first: int) -> None:
        """Forget segments below ``first``, where the log begins: a crash hid their removal.

        The oldest go first.  Where entries were superseded, a later segment may begin below an
        earlier one.
        """
        for number, following in pairwise(sorted(self.opened)):
            if self.opened[following] > first:
                return
            self.opened.pop(number)
            self.sealed.pop(number, None)


class RetentionChecker:
    """Reads ``trace`` as it grows; the cluster starts with ``members``.

    ``budget`` is how many bytes of sealed log each member keeps for the others.
    """

    def __init__(self, trace: Trace, members: Sequence[str], budget: int) -> None:
        self._trace = trace
        self._budget = budget
        self._first = tuple(members)
        self._newest = (0, self._first)  # the latest configuration: its entry and members
        self._joined: dict[str, int] = {}  # the entry by which each of those joined
        self._read = 0
        self._latest_chunk: tuple[int, _Member, str, int | None] | None = None
        """The number of the last chunk, its sender and receiver, and what was being sent before."""
        self._members = {name: _Member(self._first) for name in members}
        self.judged = 0
        """How many dropped segments were judged."""

    def check(self) -> None:
        """Read the new events; raise :class:`Violation` at the first segment dropped too early."""
        for _, who, event in self._trace.since(self._read):
            self._read += 1
            if isinstance(event, MessageDuplicated):
                self._forget_copy(event.copy)
            if type(event) not in _HEARD:  # most are not about logs and tables
                continue
            if isinstance(event, MessageSent) and event.kind != _CHUNK:
                continue
            member = self._members.get(who)
            if member is None and isinstance(event, MemberStarted):
                member = self._members[who] = _Member(self._first)
            if member is not None:
                if isinstance(event, MessageSent):
                    before = member.sending.get(event.to)
                    self._latest_chunk = event.id, member, event.to, before
                self._take(who, member, event)

    def _forget_copy(self, id: int) -> None:
        """Undo a chunk that turns out to be a copy: the network sent it, not the leader.

        That may be long after the leader has sent its last one.
        """
        if self._latest_chunk is None or self._latest_chunk[0] != id:
            return
        _, member, to, before = self._latest_chunk
        if before is None:
            member.sending.pop(to, None)
        else:
            member.sending[to] = before

    def _take(self, name: str, member: _Member, event: object) -> None:
        match event:
            case MemberStarted():
                self._start(name, member, event)
            case EntriesAppended():
                self._append(member, event)
            case Flushed(through=through):
                member.flushed = max(member.flushed, through)
            case SnapshotInstalled(through=through):
                member.flushed = member.installed = through
            case SegmentOpened(segment=number, first=first):
                member.opened[number], member.writing_unknown = first, False
                member.resetting = member.installed == first - 1
            case SegmentSealed(segment=number, size=size):
                member.sealed[number] = size
                member.installed = 0
            case LogReset(index=index):
                member.base = member.last = index
                member.resetting, member.installed = False, 0
                member.opened, member.sealed = {}, {}
            case SegmentDropped():
                if not member.resetting:
                    self._judge(name, member, event)
                member.drop(event)
            case ConfigurationChanged(
                index=index, voters=voters, outgoing=outgoing, learners=learners
            ):
                member.members = tuple(dict.fromkeys((*voters, *outgoing, *learners)))
                self._note_joins(member.joined, index, member.members)
                for other in [each for each in member.sending if each not in member.members]:
                    del member.sending[other]
                if index >= self._newest[0]:
                    self._newest = (index, member.members)
                    self._note_joins(self._joined, index, member.members)
            case _:
                self._follow_leading(member, event)

    def _note_joins(self, joined: dict[str, int], index: int, members: Sequence[str]) -> None:
        """Keep by which entry each joined, now that the one at ``index`` names the members."""
        for other in [each for each in (*self._first, *joined) if each not in members]:
            joined[other] = _LEFT
        for other in members:
            if joined.setdefault(other, 0 if other in self._first else index) == _LEFT:
                joined[other] = index  # it comes back

    @staticmethod
    def _follow_leading(member: _Member, event: object) -> None:
        """Keep track of the snapshots that a leader is sending."""
        match event:
            case RoleChanged(role=role):
                member.leads = role == "leader"
                if not member.leads:
                    member.sending.clear()
            case MemberCrashed() | MemberStopped():
                member.leads = False
                member.sending.clear()
            case ProgressChanged(member=to):  # its first chunk will report where it ends
                member.sending.pop(to, None)
            case MessageSent(to=to, note=note):
                # A chunk to a member that was removed was made before, and is ignored.
                if to in member.members and member.leads and (found := _THROUGH.match(note)):
                    member.sending[to] = int(found[1])

    @staticmethod
    def _start(name: str, member: _Member, event: MemberStarted) -> None:
        if event.flushed < member.flushed:
            what = f"the tables of {name} reached through {member.flushed}, but after a restart "
            raise Violation(RetentionProperty.KEPT, (name,), f"{what}only through {event.flushed}")
        if event.first > event.flushed + 1:
            what = f"{name} starts with tables through {event.flushed} and a log from {event.first}"
            raise Violation(RetentionProperty.KEPT, (name,), what)
        member.leads = member.resetting = False
        member.installed, member.writing_unknown = 0, bool(member.opened)
        member.sending.clear()
        if event.last > member.last:
            member.unknown_through = event.last
        member.last, member.flushed = event.last, event.flushed
        member.base = event.first - 1
        member.restart(event.first)

    @staticmethod
    def _append(member: _Member, event: EntriesAppended) -> None:
        member.opened.setdefault(event.segment, event.first)
        member.installed, member.writing_unknown = 0, False
        member.last = event.first + len(event.terms) - 1
        member.unknown_through = min(member.unknown_through, event.first - 1)
        for index in range(member.last + 1, member.highest + 1):
            member.terms.pop(index, None)
        member.highest = member.last
        member.terms.update(enumerate(event.terms, event.first))

    # ── the rule ────────────────────────────────────────────────────────────────────────────────

    def _judge(self, name: str, member: _Member, dropped: SegmentDropped) -> None:
        self.judged += 1
        what = f"{name} drops the entries {dropped.first} to {dropped.last}"
        if dropped.last > member.flushed:
            what += f", but its tables reach only through {member.flushed}"
            raise Violation(RetentionProperty.TABLES, (name,), what)
        if dropped.first > member.base + 1:
            what += f", but its log begins at {member.base + 1}"
            raise Violation(RetentionProperty.KEPT, (name,), what)
        member.sealed.setdefault(dropped.segment, dropped.size)
        kept = member.kept_from(dropped.segment)
        # A follower knows the others only through its leader, as of the leader's configuration.
        others = member.members if member.leads else self._newest[1]
        for other in member.members:
            if other != name and other in others and kept <= self._budget:
                self._judge_follower(name, member, other, dropped, what)
        for to, end in member.sending.items():
            if dropped.last > end and kept <= 2 * self._budget:
                what += f", after the snapshot through {end} that {to} is being sent; {kept} "
                what += f"bytes of log were kept, but the budget allows {2 * self._budget}"
                raise Violation(RetentionProperty.SNAPSHOTS, (name, to), what)

    def _judge_follower(
        self, name: str, member: _Member, other: str, dropped: SegmentDropped, what: str
    ) -> None:
        follower = self._members.get(other) or _Member(self._first)
        if follower.holds(dropped.last, member.terms.get(dropped.last)):
            return
        if not follower.holds(member.base, member.terms.get(member.base)):
            return  # it needs older entries that are gone, and will be sent a snapshot
        if member.sending.get(other, 0) >= dropped.last:
            return
        joined = max(member.joined.get(other, 0), self._joined.get(other, 0))
        if not member.leads and dropped.last < joined:
            return  # the newcomer joined later, and only a leader knows how far each member is
        kept = member.kept_from(dropped.segment)
        what += (
            f", which {other} does not hold (its log ends at {follower.last}); "
            f"{counted(kept, 'byte')} "
        )
        what += f"of log were kept, but the budget allows {self._budget}"
        raise Violation(RetentionProperty.FOLLOWERS, (name, other), what)
