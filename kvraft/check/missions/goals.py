"""What the goal of a mission can be: a table of conditions, each with a sentence and few lines.

A goal is written as its name and its arguments: ``leaders_in_one_term 2``, ``broken "log
matching"``.  It is reached in the first step after which it holds.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from kvraft.check.lights import LIGHTS
from kvraft.check.missions.facts import Facts
from kvraft.errors import BadInput
from kvraft.events import (
    EntriesSuperseded,
    Event,
    MemberCrashed,
    RoleChanged,
    SnapshotInstalled,
    TicketMoved,
    TransactionApplied,
    TransactionDiscarded,
)

Holds = Callable[..., bool]
"""Of facts, the member or client of the last step, its event, and the arguments."""
SECOND = 1_000_000


class Goal(NamedTuple):
    """A condition: ``parameters`` are "member", "number", "light" or "pin"; see the table."""

    name: str
    parameters: tuple[str, ...]
    sentence: str
    holds: Holds


class Condition(NamedTuple):
    """A goal with its arguments."""

    goal: Goal
    arguments: tuple[Any, ...]

    def holds(self, facts: Facts, who: str, event: Event) -> bool:
        """Return whether it holds after the step in which ``who`` reported ``event``."""
        return self.goal.holds(facts, who, event, *self.arguments)

    def __str__(self) -> str:
        return self.goal.sentence.format(*self.arguments)


def _short_log_leads(facts: Facts, who: str, event: Event, member: str) -> bool:
    if who != member or not isinstance(event, RoleChanged) or event.role != "leader":
        return False
    return max(facts.last.values()) > facts.last[member]


def _majority_overwritten(facts: Facts, who: str, event: Event) -> bool:
    if not isinstance(event, EntriesSuperseded):
        return False
    now = {(index, entry.term) for log in facts.logs.values() for index, entry in log.items()}
    most = len(facts.members) // 2
    return any(
        held > most and event.first <= index <= event.last and (index, term) not in now
        for (index, term), held in facts.peak.items()
    )


def _alone(facts: Facts, who: str, event: Event, down: int) -> bool:
    if not isinstance(event, TicketMoved) or event.stage != "COMMITTED":
        return False
    return facts.alone.get(event.txn, 0) >= down


def _old_read(facts: Facts, *_: Any) -> bool:
    return facts.old_read is not None


def _old_read_confirmed(facts: Facts, *_: Any) -> bool:
    return facts.old_read is not None and not facts.old_read.stale


def _half_applied(facts: Facts, who: str, event: Event) -> bool:
    if not isinstance(event, TransactionApplied):
        return False
    entry = facts.logs[who].get(event.index)
    return entry is not None and not entry.ends


def _pinned(facts: Facts, member: str, by: str) -> list[tuple[int, int]]:
    """Return the sealed segments that a member keeps for whom, and since when."""
    return [
        (segment, at)
        for (who, pin, segment), at in facts.pinned.items()
        if (who, pin) == (member, by)
    ]


def _pinned_for(facts: Facts, _who: str, _event: Event, member: str, by: str, seconds: int) -> bool:
    return any(facts.at - since >= seconds * SECOND for _, since in _pinned(facts, member, by))


def _pinned_bytes(facts: Facts, _who: str, _event: Event, member: str, by: str, size: int) -> bool:
    kept = facts.sealed.get(member, {})
    old = [segment for segment, since in _pinned(facts, member, by) if since < facts.at]
    return sum(kept[segment].size for segment in old) > size  # a new one is judged right after


def _lost_bytes(facts: Facts, who: str, event: Event, member: str) -> bool:
    return who == member and isinstance(event, MemberCrashed) and event.lost_bytes > 0


def _did(kind: type[Event]) -> Holds:
    """Return the condition that a member reports an event of that kind."""
    return lambda facts, who, event, member: who == member and isinstance(event, kind)


def _saw(kind: type[Event]) -> Holds:
    """Return the condition that anybody reports an event of that kind."""
    return lambda facts, who, event: isinstance(event, kind)


_TABLE = (
    Goal(
        "leaders_in_one_term",
        ("number",),
        "{0} members lead the same term",
        lambda facts, who, event, count: any(len(n) >= count for n in facts.leaders.values()),
    ),
    Goal(
        "leaders_at_once",
        ("number",),
        "{0} members believe at the same time that they lead",
        lambda facts, who, event, count: len(facts.leads) >= count,
    ),
    Goal(
        "leads",
        ("member",),
        "{0} leads",
        lambda facts, who, event, member: member in facts.leads,
    ),
    Goal(
        "no_leader_for",
        ("number",),
        "all members run, and for {0} s none leads",
        lambda facts, who, event, seconds: (
            not facts.down() and facts.at - facts.led >= seconds * SECOND
        ),
    ),
    Goal(
        "short_log_leads",
        ("member",),
        "{0} is elected although another log is longer",
        _short_log_leads,
    ),
    Goal(
        "entries_superseded", ("member",), "{0} drops entries of its log", _did(EntriesSuperseded)
    ),
    Goal(
        "majority_entry_overwritten",
        (),
        "an entry that was on a majority of the disks is on none any longer",
        _majority_overwritten,
    ),
    Goal(
        "broken",
        ("light",),
        "{0} is broken",
        lambda facts, who, event, light: light in facts.lights.broken,
    ),
    Goal(
        "acknowledged_write_lost",
        (),
        "where the log had a write that was acknowledged, another entry is committed",
        lambda facts, who, event: facts.lost,
    ),
    Goal(
        "acknowledged_while_down",
        ("number",),
        "a write is acknowledged that began, and ended, while {0} members were down",
        _alone,
    ),
    Goal(
        "member_behind",
        ("member", "number"),
        "{0} lacks {1} committed entries",
        lambda facts, who, event, member, count: (
            facts.committed - facts.last.get(member, 0) >= count
        ),
    ),
    Goal("bytes_lost", ("member",), "a crash of {0} loses bytes that were not synced", _lost_bytes),
    Goal(
        "snapshot_installed",
        ("member",),
        "{0} takes a snapshot in place of the log",
        _did(SnapshotInstalled),
    ),
    Goal(
        "pinned_for",
        ("member", "pin", "number"),
        "{0} keeps a segment {2} s long for {1}",
        _pinned_for,
    ),
    Goal(
        "pinned_bytes",
        ("member", "pin", "number"),
        "{0} keeps more than {2} bytes of sealed segments for {1}",
        _pinned_bytes,
    ),
    Goal(
        "old_value_read",
        (),
        "a read misses a write that was acknowledged before it began",
        _old_read,
    ),
    Goal(
        "old_value_confirmed",
        (),
        "a read that is not a stale one misses a write that was acknowledged before it began",
        _old_read_confirmed,
    ),
    Goal(
        "applied_twice",
        (),
        "a member applies one transaction twice",
        lambda facts, who, event: (
            isinstance(event, TransactionApplied) and len(facts.applied[who, event.txn]) > 1
        ),
    ),
    Goal(
        "discarded",
        (),
        "a transaction of which the log has only a part is dropped",
        _saw(TransactionDiscarded),
    ),
    Goal(
        "half_applied",
        (),
        "a transaction is applied of which the log has only a part",
        _half_applied,
    ),
    Goal(
        "leader_without_vote",
        (),
        "a member leads that has no vote in the configuration it uses",
        lambda facts, who, event: any(
            name in facts.voters and name not in facts.voters[name] for name in facts.leads
        ),
    ),
)
GOALS = {goal.name: goal for goal in _TABLE}
"""All goals by name."""


def parse_condition(text: str, members: tuple[str, ...]) -> Condition:
    """Return the condition that ``text`` names; ``BadInput`` if there is no such one."""
    try:
        name, *words = shlex.split(text)
    except ValueError:
        raise BadInput(f"a goal is a name and its arguments, not {text!r:.60}") from None
    goal = GOALS.get(name)
    if goal is None:
        raise BadInput(f"there is no goal {name!r:.60}: {', '.join(GOALS)}")
    if len(words) != len(goal.parameters):
        wanted = " ".join(f"<{parameter}>" for parameter in goal.parameters) or "nothing"
        raise BadInput(f"the goal {name} takes {wanted}, not {' '.join(words) or 'nothing'!r:.60}")
    pairs = zip(goal.parameters, words, strict=True)
    return Condition(goal, tuple(_argument(kind, word, members) for kind, word in pairs))


def _argument(kind: str, word: str, members: tuple[str, ...]) -> str | int:
    known = {"member": members, "light": LIGHTS, "pin": ("tree", "members", *members)}
    if kind == "number":
        if not word.isascii() or not word.isdigit() or len(word) > 9:
            raise BadInput(f"a goal counts in whole numbers, not {word!r:.60}")
        return int(word)
    if word not in known[kind]:
        raise BadInput(f"there is no {kind} called {word!r:.60}: {', '.join(known[kind])}")
    return word
