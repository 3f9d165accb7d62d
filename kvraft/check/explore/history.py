"""What to remember of a run, and what must hold among members and that history (Raft Figure 3).

A property such as "at most one leader a term" is about a whole run: a leader that crashed counts,
too.  A :class:`RunHistory` is a history variable (Abadi and Lamport): it makes a property of runs
one of single states.  Whatever it holds also distinguishes states, so it holds as little as
possible: who led which term, and what was committed in which term.

The leader that commits an entry is the first to know.  So the term in which a member first knows
that an entry is committed is the term in which it was committed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from kvraft.check.explore.transitions import ExploredMember, TransitionResult
from kvraft.check.properties import Property, Violation
from kvraft.raft import committed_index
from kvraft.record import Entry

LogEntries = tuple[Entry, ...]


class RunHistory(NamedTuple):
    """What is remembered of a run."""

    leaders: tuple[tuple[int, str], ...]
    """Terms, each with its leader."""
    ledger: tuple[tuple[Entry, int], ...]
    """The committed entries, from index 1 on, each with the term in which it was committed."""


def initial_history(members: Sequence[ExploredMember]) -> RunHistory:
    """Return the history of ``members`` that were not watched before."""
    leaders = sorted((member.leads, member.raft.member) for member in members if member.leads)
    rafts = [member.raft for member in members]
    most = max(rafts, key=lambda raft: raft.commit_index)
    ledger = [
        (entry, min(raft.term for raft in rafts if raft.commit_index >= entry.index))
        for entry in most.log.slice(1, most.commit_index)
    ]
    return RunHistory(tuple(leaders), tuple(ledger))


def extend_history(past: RunHistory, moved: TransitionResult, but: Collection[str]) -> RunHistory:
    """Return the history after a step; raises :class:`Violation` if the step breaks a property."""
    if moved.broken is not None:
        raise moved.broken
    name, term = moved.step.member, moved.after.raft.term
    leaders, ledger = dict(past.leaders), list(past.ledger)
    if moved.after.leads:
        first = leaders.setdefault(term, name)
        if first != name:
            what = f"{first} and {name} both lead term {term}"
            _fail(Property.ELECTION_SAFETY, (first, name), what, but)
    for entry in moved.committed:
        if entry.index == len(ledger) + 1:
            ledger.append((entry, term))
        elif entry.index > len(ledger) or ledger[entry.index - 1][0] != entry:
            what = f"{name} commits {_name(entry)} where another entry is committed"
            _fail(Property.STATE_MACHINE_SAFETY, (name,), what, but)
    return RunHistory(tuple(sorted(leaders.items())), tuple(ledger))


def check_history(
    members: Sequence[ExploredMember], past: RunHistory, but: Collection[str]
) -> None:
    """Compare ``members`` with each other and with ``past``; raises :class:`Violation`."""
    logs = [(member.raft.member, member.raft.log.slice(1)) for member in members]
    for at, one in enumerate(logs):
        for other in logs[:at]:
            _check_match(other, one, but)
    held = {  # on disk and in memory: what a member dropped from memory, it will overwrite on disk
        member.raft.member: min(_agree(member.log, past), _agree(log, past))
        for member, (_, log) in zip(members, logs, strict=True)
    }
    through = committed_index(members[0].configuration, held)
    if through < len(past.ledger):
        what = f"{_name(past.ledger[through][0])} is committed, but no quorum holds it"
        _fail(Property.COMMITTED_KEPT, tuple(held), what, but)
    for member in members:
        name, leads = member.raft.member, member.leads
        for entry, term in past.ledger:
            if term < leads and not member.raft.log.has(entry.index, entry.term):
                what = f"{name} leads term {leads} without {_name(entry)}, committed in term {term}"
                _fail(Property.LEADER_COMPLETENESS, (name,), what, but)


def _check_match(
    one: tuple[str, LogEntries], other: tuple[str, LogEntries], but: Collection[str]
) -> None:
    """Check log matching: logs that share index and term of an entry are the same through it."""
    differ = False
    for its, mine in zip(one[1], other[1], strict=False):
        differ = differ or its != mine
        if differ and its.term == mine.term:
            names = (one[0], other[0])
            what = f"{' and '.join(names)} hold {_name(mine)}, but not the same log through it"
            _fail(Property.LOG_MATCHING, names, what, but)


def _agree(log: LogEntries, past: RunHistory) -> int:
    """Return the last index through which ``log`` agrees with what is committed."""
    for mine, (entry, _) in zip(log, past.ledger, strict=False):
        if mine != entry:
            return entry.index - 1
    return min(len(log), len(past.ledger))


def _fail(property: Property, members: tuple[str, ...], what: str, but: Collection[str]) -> None:
    if property not in but:
        raise Violation(property, members, what)


def _name(entry: Entry) -> str:
    return f"entry {entry.index} of term {entry.term}"
