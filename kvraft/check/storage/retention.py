"""Was every segment free that a member dropped?  Judged from the trace alone.

Nothing here asks a member or uses the code of its rule (``replica/retention.py``).  From the events
of a history :class:`RetentionChecker` keeps, for each member, what is durable on its disk, and
judges each :class:`~kvraft.events.SegmentDropped` when it reads it::

    Appended, Started           ──► which entries its log holds, by index and term
    Flushed, Installed, Started ──► through where its tables reach
    SegmentSealed, …Dropped     ──► how many bytes of sealed log it keeps
    ConfigurationChanged        ──► who the others are
    ProgressChanged, Sent       ──► which snapshots are on their way, and where they end

A segment was free if

1. all of it was in durable tables, and nothing older was left; and
2. every other member held all of it durably; or had fallen behind the log already; or a snapshot
   that covers it was on its way there; or the sealed log from it on came to more than the budget;
3. no snapshot on its way needed it to go on from, or that log came to more than twice the budget.

And whatever a crash does: the flushed mark never falls, and what lies above it is in the log.

Sources: Raft §7; DESIGN "Who may cut the log".
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
_UNKNOWN = 1 << 62  # stands for the size of a segment that was never told


class RetentionProperty(StrEnum):
    """What is promised about the log that is kept, by name."""

    TABLES = "cut only what is in tables"
    FOLLOWERS = "cut only what no member needs"
    SNAPSHOTS = "cut only what no snapshot needs"
    KEPT = "what is in no table is in the log"


@dataclass(slots=True)
class _Member:
    """What the trace has told of one member so far; most of it is on its disk."""

    members: tuple[str, ...]
    flushed: int = 0
    last: int = 0
    terms: dict[int, int] = field(default_factory=dict)  # by index, of what its log ever held
    unsure: bool = False  # whether it has started and not said yet which segment it writes to
    untold: int = 0  # the last entry found after a crash of which no term was ever told
    base: int = 0  # behind which its log begins
    opened: dict[int, int] = field(default_factory=dict)  # first index of segments, by number
    sealed: dict[int, int] = field(default_factory=dict)  # bytes of those that are complete
    installed: int = 0  # where a snapshot ends that was just installed
    resetting: bool = False  # its whole log makes place for one that goes on behind a snapshot
    joined: dict[str, int] = field(default_factory=dict)  # by which entry, of those who came later
    leads: bool = False
    sending: dict[str, int] = field(default_factory=dict)  # to whom: where the snapshot ends

    def holds(self, index: int, term: int | None) -> bool:
        """Return whether everything through the entry at ``index`` of ``term`` is on its disk."""
        if index <= self.flushed:
            return True
        if index > self.last:
            return False
        return index <= self.untold or term is None or self.terms.get(index) == term

    def kept_from(self, segment: int) -> int:
        """Return how many bytes of sealed log there are from ``segment`` on."""
        newest = max(self.opened, default=segment)
        if self.unsure or any(
            segment <= number < newest and number not in self.sealed for number in self.opened
        ):
            return _UNKNOWN  # one was sealed right before a crash, and nobody told its size
        return sum(size for number, size in self.sealed.items() if number >= segment)

    def drop(self, cut: SegmentDropped) -> None:
        """Take note of a segment that is gone."""
        self.sealed.pop(cut.segment, None)
        self.opened.pop(cut.segment, None)
        following = min((n for n in self.opened if n > cut.segment), default=None)
        end = cut.last if following is None else self.opened[following] - 1
        self.base = max(self.base, end)

    def restart(self, first: int) -> None:
        """Forget segments below ``first``, where the log begins: they went and nobody said so."""
        for number, following in pairwise(sorted(self.opened)):
            if self.opened[following] <= first:
                self.opened.pop(number)
                self.sealed.pop(number, None)


class RetentionChecker:
    """Reads ``trace`` as it grows; the cluster began with ``members``, each with ``budget`` bytes
    of sealed log to keep for the others."""

    def __init__(self, trace: Trace, members: Sequence[str], budget: int) -> None:
        self._trace = trace
        self._budget = budget
        self._first = tuple(members)
        self._newest = (0, self._first)  # the configuration that came last: entry and members
        self._read = 0
        self._members = {name: _Member(self._first) for name in members}
        self.cuts = 0
        """How many dropped segments were judged."""

    def check(self) -> None:
        """Read what is new; raise :class:`Violation` at the first segment that was not free."""
        while self._read < len(self._trace):
            step = self._trace[self._read]
            self._read += 1
            if step.who:
                member = self._members.get(step.who)
                if member is None and isinstance(step.event, MemberStarted):
                    member = self._members[step.who] = _Member(self._first)
                if member is not None:
                    self._take(step.who, member, step.event)

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
                member.opened[number], member.unsure = first, False
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
                for other in member.members:
                    member.joined.setdefault(other, 0 if other in self._first else index)
                for other in [each for each in member.sending if each not in member.members]:
                    del member.sending[other]
                if index >= self._newest[0]:
                    self._newest = (index, member.members)
            case _:
                self._follow_leading(member, event)

    @staticmethod
    def _follow_leading(member: _Member, event: object) -> None:
        """Keep track of the snapshots that a leader has on their way."""
        match event:
            case RoleChanged(role=role):
                member.leads = role == "leader"
                if not member.leads:
                    member.sending.clear()
            case MemberCrashed() | MemberStopped():
                member.leads = False
                member.sending.clear()
            case ProgressChanged(member=to):  # where it ends is told by the first chunk
                member.sending.pop(to, None)
            case MessageSent(kind="InstallSnapshot", to=to, note=note):
                # A chunk that leaves after its receiver was removed was made before.
                if to in member.members and member.leads and (found := _THROUGH.match(note)):
                    member.sending[to] = int(found[1])

    @staticmethod
    def _start(name: str, member: _Member, event: MemberStarted) -> None:
        if event.flushed < member.flushed:
            what = f"the tables of {name} reached through {member.flushed}, and after a restart "
            raise Violation(RetentionProperty.KEPT, (name,), f"{what}only through {event.flushed}")
        if event.first > event.flushed + 1:
            what = f"{name} starts with tables through {event.flushed} and a log from {event.first}"
            raise Violation(RetentionProperty.KEPT, (name,), what)
        member.leads = member.resetting = False
        member.installed, member.unsure = 0, bool(member.opened)
        member.sending.clear()
        if event.last > member.last:
            member.untold = event.last
        member.last, member.flushed = event.last, event.flushed
        member.base = event.first - 1
        member.restart(event.first)

    @staticmethod
    def _append(member: _Member, event: EntriesAppended) -> None:
        member.opened.setdefault(event.segment, event.first)
        member.installed, member.unsure = 0, False
        member.last = event.first + len(event.terms) - 1
        member.untold = min(member.untold, event.first - 1)
        for index in range(member.last + 1, max(member.terms, default=0) + 1):
            member.terms.pop(index, None)
        member.terms.update(enumerate(event.terms, event.first))

    # ── the rule ────────────────────────────────────────────────────────────────────────────────

    def _judge(self, name: str, member: _Member, cut: SegmentDropped) -> None:
        self.cuts += 1
        what = f"{name} drops the entries {cut.first} to {cut.last}"
        if cut.last > member.flushed:
            what += f", and its tables reach only through {member.flushed}"
            raise Violation(RetentionProperty.TABLES, (name,), what)
        if cut.first > member.base + 1:
            what += f", and its log begins at {member.base + 1}"
            raise Violation(RetentionProperty.KEPT, (name,), what)
        member.sealed.setdefault(cut.segment, cut.size)
        kept = member.kept_from(cut.segment)
        # Who does not lead goes by what its leader tells of the others, as of its configuration.
        others = member.members if member.leads else self._newest[1]
        for other in member.members:
            if other != name and other in others and kept <= self._budget:
                self._judge_follower(name, member, other, cut, what)
        for to, end in member.sending.items():
            if cut.last > end and kept <= 2 * self._budget:
                what += f", behind the snapshot through {end} that {to} is being sent; {kept} "
                what += f"bytes of log were kept, and {2 * self._budget} might have been"
                raise Violation(RetentionProperty.SNAPSHOTS, (name, to), what)

    def _judge_follower(
        self, name: str, member: _Member, other: str, cut: SegmentDropped, what: str
    ) -> None:
        follower = self._members.get(other) or _Member(self._first)
        if follower.holds(cut.last, member.terms.get(cut.last)):
            return
        if not follower.holds(member.base, member.terms.get(member.base)):
            return  # it needs what is gone, and will be sent a snapshot
        if member.sending.get(other, 0) >= cut.last:
            return
        if not member.leads and cut.last < member.joined.get(other, 0):
            return  # all had it when it was told so, and only a leader knows each by name
        kept = member.kept_from(cut.segment)
        what += (
            f", which {other} does not hold (its log ends at {follower.last}); "
            f"{counted(kept, 'byte')} "
        )
        what += f"of log were kept, and {self._budget} might have been"
        raise Violation(RetentionProperty.FOLLOWERS, (name, other), what)
