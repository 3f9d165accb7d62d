"""Properties as lights: which of them a trace has kept so far, and since when one is broken.

:class:`Lights` judges a trace alone, event by event, so it works for a run that goes on, a fork, or
a recording.  It raises nothing: it says what broke, and goes on, so that one sees what follows::

    election safety        no term has two leaders                          RoleChanged
    leader append-only     a leader drops nothing and writes over nothing   EntriesSuperseded, …
    log matching           index and term name an entry and the one before  EntriesAppended
    leader completeness    a new leader holds what was committed            RoleChanged
    state-machine safety   members commit the same entry at an index        CommitAdvanced
    the five marks         first ≤ flushed+1 ≤ … ≤ last                     Marks

Invariants:

- Each light goes out once, at the step that broke its property, and stays out.
- What a trace leaves out is not judged: entries from before its beginning, or in a snapshot.
- :class:`~kvraft.check.WorldChecker` sees disks and messages as well, and misses less.

Sources: Raft Figure 3; §5.3 (index and term name a whole log, by induction).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kvraft.check.properties import FIGURE_3, Property
from kvraft.copying import immutable
from kvraft.events import (
    CommitAdvanced,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    LogReset,
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    RoleChanged,
    SnapshotReceived,
    Trace,
)

MARKS = "the five marks"
LIGHTS: tuple[str, ...] = (*FIGURE_3, MARKS)
"""The names of all lights, in order."""


@immutable
class BrokenLight(NamedTuple):
    """``what`` broke a property, in the step of that number."""

    step: int
    what: str


@dataclass(slots=True)
class _Member:
    """What is known of one member's log on disk: the term of each entry, by index."""

    terms: dict[int, int] = field(default_factory=dict)
    base: int = 0  # what lies at or below it may be anything
    last: int = 0
    leads: int = 0  # the term, 0 if it does not lead
    commit: int = 0
    checked: int = 0  # committed entries compared so far

    def cut(self, first: int) -> None:
        """Forget the entries from ``first`` on."""
        for index in range(first, self.last + 1):
            self.terms.pop(index, None)
        self.last = min(self.last, first - 1)
        self.checked = min(self.checked, self.last)

    def reset(self, index: int) -> None:
        """Continue after a snapshot through ``index``."""
        self.terms.clear()
        self.base = self.last = self.checked = index


class Lights:
    """Judges a trace, step by step: call :meth:`take` for each, in order."""

    def __init__(self) -> None:
        self.broken: dict[str, BrokenLight] = {}
        """What broke each property that does not hold any longer, by name."""
        self._members: dict[str, _Member] = {}
        self._leaders: dict[int, str] = {}
        self._known: dict[tuple[int, int], tuple[str, str, int | None]] = {}
        self._committed: dict[int, int] = {}  # index → term
        self._highest = 0
        self._step = -1

    def take(self, step: int, who: str, event: Event) -> None:
        """Judge one step, the event of ``who``."""
        self._step = step
        match event:
            case EntriesAppended():
                self._append(who, self._member(who), event)
            case CommitAdvanced():
                self._member(who).commit = event.index
                self._compare(who, self._member(who))
            case Marks():
                self._check_marks(who, event)
            case RoleChanged():
                self._change_role(who, self._member(who), event)
            case EntriesSuperseded():
                self._supersede(who, self._member(who), event)
            case MemberCrashed() | MemberStopped():
                member = self._member(who)
                member.leads = member.commit = 0
            case MemberStarted():
                member = self._member(who)
                member.cut(event.last + 1)
                member.last = event.last
            case LogReset() | SnapshotReceived():
                self._member(who).reset(event.index)

    def at(self, step: int) -> dict[str, str]:
        """Return for each light what had broken its property by ``step``, ``""`` if nothing had."""
        found = {name: self.broken.get(name) for name in LIGHTS}
        return {name: b.what if b and b.step <= step else "" for name, b in found.items()}

    def __str__(self) -> str:
        """Return a line for each light: what broke its property, or that it holds."""
        signs = {True: "✗", False: "✓"}
        return "\n".join(
            f"{signs[bool(what)]} {name:21} {what or 'holds'}"
            for name, what in self.at(self._step).items()
        )

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            self._members[name] = _Member()
        return self._members[name]

    def _break(self, name: str, what: str) -> None:
        self.broken.setdefault(name, BrokenLight(self._step, what))

    # ── logs ────────────────────────────────────────────────────────────────────────────────────

    def _append(self, who: str, member: _Member, event: EntriesAppended) -> None:
        if member.leads and event.first <= member.last:
            what = f"{who} leads term {member.leads} and writes over its entry {event.first}"
            self._break(Property.LEADER_APPEND_ONLY, what)
        member.cut(event.first)
        for offset, term in enumerate(event.terms):
            index = event.first + offset
            content = (event.keys[offset], event.txns[offset], member.terms.get(index - 1))
            member.terms[index] = term
            member.last = index
            self._check_matching(who, index, term, content)
        self._compare(who, member)

    def _check_matching(
        self, who: str, index: int, term: int, content: tuple[str, str, int | None]
    ) -> None:
        """Check that no other log has another entry, or another one before it, at this place."""
        key, txn, before = content
        known_key, known_txn, known = self._known.get((index, term), content)
        if before is None or known is None:  # the trace leaves that out
            before = known = before if known is None else known
        self._known[index, term] = (known_key, known_txn, known)
        if (known_key, known_txn, known) != (key, txn, before):
            what = f"two logs have an entry {index} of term {term}, and that of {who} is another"
            what += "" if (known_key, known_txn) != (key, txn) else " before it"
            self._break(Property.LOG_MATCHING, what)

    def _supersede(self, who: str, member: _Member, event: EntriesSuperseded) -> None:
        if member.leads:
            what = f"{who} leads term {member.leads} and drops its entries from {event.first} on"
            self._break(Property.LEADER_APPEND_ONLY, what)
        member.cut(event.first)

    # ── commitment ──────────────────────────────────────────────────────────────────────────────

    def _compare(self, who: str, member: _Member) -> None:
        """Compare what a member knows to be committed, as far as its disk holds it."""
        for index in range(member.checked + 1, min(member.commit, member.last) + 1):
            term = member.terms.get(index)
            if term is None:
                continue
            other = self._committed.setdefault(index, term)
            if other != term:
                what = f"{who} commits entry {index} of term {term}, "
                what += f"where that of term {other} is committed"
                self._break(Property.STATE_MACHINE_SAFETY, what)
            self._highest = max(self._highest, index)
        member.checked = max(member.checked, min(member.commit, member.last))

    def _change_role(self, who: str, member: _Member, event: RoleChanged) -> None:
        member.leads = event.term if event.role == "leader" else 0
        if not member.leads:
            return
        other = self._leaders.setdefault(event.term, who)
        if other != who:
            self._break(Property.ELECTION_SAFETY, f"{other} and {who} both lead term {event.term}")
        if event.term < max(self._leaders):
            return  # what was committed since need not be in the log of an older leader
        lacks = next(
            (
                index
                for index in range(member.base + 1, self._highest + 1)
                if member.terms.get(index, self._missing(member, index)) != self._term(index)
            ),
            0,
        )
        if lacks:
            what = f"{who} leads term {event.term} without the committed entry {lacks}"
            self._break(Property.LEADER_COMPLETENESS, what)

    def _term(self, index: int) -> int | None:
        return self._committed.get(index)

    def _missing(self, member: _Member, index: int) -> int | None:
        """Return what to take for an entry that is unknown: the right one if it can."""
        return self._term(index) if index <= member.last else -1

    # ── the marks ───────────────────────────────────────────────────────────────────────────────

    def _check_marks(self, who: str, m: Marks) -> None:
        if not (m.first <= m.flushed + 1 and m.flushed <= m.applied <= m.committed <= m.last):
            what = f"the marks of {who} cross: first {m.first}, flushed {m.flushed}, "
            what += f"applied {m.applied}, committed {m.committed}, last {m.last}"
            self._break(MARKS, what)


def lights_of(trace: Trace) -> Lights:
    """Return the lights of a whole trace."""
    lights = Lights()
    for number, (_, who, event) in enumerate(trace):
        lights.take(number, who, event)
    return lights
