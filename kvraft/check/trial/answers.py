"""Whether what a foreign consensus module returns makes sense, before anybody relies on it.

Each function returns the value, of the right type, or raises a :class:`~kvraft.check.Violation` of
:attr:`~kvraft.check.trial.promises.Promise.ANSWERS` that says who returned what, and what would be
right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

from kvraft.check.properties import Property, Violation
from kvraft.check.trial.promises import Promise
from kvraft.inputs import describe_value
from kvraft.raft import Log, Ready, Role, malformed_reason
from kvraft.record import MAX_NUMBER, Entry, HardState

MESSAGES = 10_000
"""How many messages one Ready may have."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]*")
_TUPLES = ("early", "chunks", "entries", "messages", "committed", "decided", "reads")


class AnswerChecker:
    """Checks the answers of ``member`` of ``cluster``, whose class is called ``name``."""

    def __init__(self, name: str, member: str, cluster: str) -> None:
        self._name, self._member, self._cluster = name, member, cluster

    def wrong(self, what: str) -> NoReturn:
        """Raise: the class, at this member, does ``what``."""
        raise nonsense(self._member, f"{self._name}{'' if what[0] == '.' else ' '}{what}")

    def role(self, value: object) -> Role:
        """Return a role, which may be given as its name."""
        try:
            return Role(value)  # type: ignore[arg-type]
        except ValueError:
            self.wrong(f"has the role {value!r:.60}; right would be: {', '.join(Role)}")

    def number(self, what: str, value: object) -> int:
        """Return a whole number, such as a term."""
        if type(value) is not int or not 0 <= value <= MAX_NUMBER:
            self.wrong(f"has {what} {_shown(value)}; right would be a whole number from 0 on")
        return value

    def place(self, value: object, count: int, last: int) -> tuple[int, int]:
        """Return where ``count`` records were appended, which is after ``last``."""
        right = f"{last + 1} and {last + count}, first and last index of what it appended"
        if isinstance(value, list):
            value = tuple(value)
        if value != (last + 1, last + count):
            self.wrong(f"returns {_shown(value)} from propose; right would be {right}")
        return last + 1, last + count

    def ready(self, value: object, log: Log, applied: int) -> Ready:
        """Return a Ready that fits the ``log`` and what was handed out as committed before."""
        if not isinstance(value, Ready):
            self.wrong(f"returns {_shown(value)} from ready; right would be a kvraft.raft.Ready")
        parts = value._asdict()
        for field in _TUPLES:
            if not isinstance(parts[field], tuple | list):
                self.wrong(f"returns {_shown(parts[field])} as Ready.{field}, not a tuple")
            parts[field] = tuple(parts[field])
        ready = Ready(**parts)
        if len(ready.messages) + len(ready.early) > MESSAGES:
            self.wrong(f"sends more than {MESSAGES:,} messages at once")
        self._check_hard_state(ready.hard_state)
        for message in (*ready.early, *ready.messages):
            self._check_message(message)
        base = ready.snapshot.last.index if ready.snapshot is not None else log.base.index
        last = base if ready.snapshot is not None else log.last_index
        self._check_entries(ready.entries, base, last, log)
        self._check_committed(ready.committed, base if ready.snapshot is not None else applied)
        return ready

    def _check_hard_state(self, state: Any) -> None:
        if state is None:
            return
        if not isinstance(state, tuple) or len(state) != 2:
            self.wrong(f"returns {_shown(state)} as Ready.hard_state, not a HardState or None")
        if not isinstance(state, HardState) or not (state[1] is None or type(state[1]) is str):
            self.wrong(
                f"returns {_shown(state)} as Ready.hard_state: HardState(term, name or None)"
            )
        self.number("the term in Ready.hard_state", state[0])

    def _check_message(self, message: Any) -> None:
        """Check that a message is one, and that its sender is this member."""
        to = getattr(message, "to", None)
        if getattr(message, "sender", self._member) != self._member:
            self.wrong(f"sends {_shown(message)} in the name of another: sender is itself")
        if to == self._member:
            self.wrong(f"sends a {type(message).__name__} to itself")
        if reason := malformed_reason(message, str(to), self._cluster):
            self.wrong(f"sends a {type(message).__name__} that nobody can take: {reason}")

    def _check_entries(self, entries: Sequence[Any], base: int, last: int, log: Log) -> None:
        """Check that entries are in order, and go on where the log ends or supersede its end."""
        if not entries:
            return
        for entry in entries:
            if not isinstance(entry, Entry):
                self.wrong(f"hands out {_shown(entry)} in Ready.entries, not an Entry")
        first = self.number("an entry with the index", entries[0].index)
        if not base < first <= last + 1:
            self.wrong(
                f"hands out entry {first} to be saved; right would be one from {base + 1}, the "
                f"first of its log, to {last + 1}, the next"
            )
        before = log.term(first - 1) if log.base.index < first <= log.last_index + 1 else 0
        for index, entry in enumerate(entries, first):
            if entry.index != index:
                self.wrong(f"hands out entry {entry.index} to be saved where {index} follows")
            if self.number("an entry with the term", entry.term) < before:
                self.wrong(f"hands out entry {index} of term {entry.term}, after term {before}")
            before = entry.term

    def _check_committed(self, entries: Sequence[Any], applied: int) -> None:
        """Check that committed entries are handed out in order, each once."""
        for index, entry in enumerate(entries, applied + 1):
            if not isinstance(entry, Entry):
                self.wrong(f"hands out {_shown(entry)} in Ready.committed, not an Entry")
            if entry.index != index:
                what = f"{self._member} hands out entry {entry.index} to be applied, "
                what += f"where entry {index} comes next"
                raise Violation(Property.STATE_MACHINE_SAFETY, (self._member,), what)


def check_applied(member: str, entries: Sequence[Entry], log: Log) -> None:
    """Raise unless committed ``entries`` are those that the ``log`` of ``member`` holds."""
    for entry in entries:
        if entry.index > log.last_index:
            what = f"{member} hands out entry {entry.index} to be applied, which it never saved"
            raise Violation(Property.DURABLE_FIRST, (member,), what)
        if entry.index > log.base.index and log.slice(entry.index, entry.index)[0] != entry:
            what = f"{member} applies another entry {entry.index} than the one in its log"
            raise Violation(Property.STATE_MACHINE_SAFETY, (member,), what)


def nonsense(member: str, what: str) -> Violation:
    """Return the violation of an answer that makes no sense."""
    return Violation(Promise.ANSWERS, (member,), f"{member}: {what}")


def _shown(value: object) -> str:
    try:
        return _ADDRESS.sub("", describe_value(value))
    except Exception:  # its repr raises
        return f"a {type(value).__name__}"
