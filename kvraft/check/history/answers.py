"""Calls, judged: is what clients got what one map, used by one call after the other, would give?

::

    Calls ──► operations ──► in the order of the log? ──────────► yes: nothing to search
                 │                    │ no
                 │                    ▼
                 │           each key by itself ────────────────► no order: a violation
                 │                    │ all have one
                 │                    ▼
                 │           all keys that are joined ──────────► no order, one, or too hard
                 ╰─ reads at a time, stale reads ──► by the versions of each key

The order of the log is only a guess: that each call takes effect between its call and its return,
and that each got what the map holds, is checked of it as of any other.  An order of all operations
is also one of those on a single key, so a key that has none needs no search over the others.

What promises less is held to what it promises.  A version of a key has one value for all readers,
and somebody wrote it before; a read ``at`` a time has the newest version that is known to be that
old.  A stale read promises no more than that.

Invariant: equal calls have equal verdicts; nothing here looks at a member.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kvraft.check.history.calls import Calls, ReadCall, WriteCall
from kvraft.check.history.linearizability import judge, points_of
from kvraft.check.history.model import Promise
from kvraft.check.history.operations import Operation, Point, Value, Verdict
from kvraft.check.history.order_search import TooHard
from kvraft.check.properties import Violation
from kvraft.record import Kind, Timestamp, TxnId
from kvraft.transaction import ReadReply, Stage

MOST_SITUATIONS = 20_000
"""How many situations a search may look at, about a second, before it is given up."""

Place = Callable[[TxnId], int]
"""Returns the log index at which a transaction took effect, 0 if it did not."""


class NotLinearizable(Violation):
    """What clients got cannot be ordered; ``verdict`` says why, and can be drawn."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(Promise.LINEARIZABLE, (), str(verdict.stuck))
        self.verdict = verdict


class Judged(NamedTuple):
    """What :func:`judge_calls` did: how many ``operations`` it ordered, and how.

    ``how`` is "log" if the order of the log was right, "search" if another one is, and "too hard"
    if there may be one.  ``points`` has the moments of that order, none if it is not known.
    """

    operations: int
    how: str
    points: tuple[Point, ...]


def judge_calls(calls: Calls, place: Place, *, most: float = MOST_SITUATIONS) -> Judged:
    """Judge all ``calls``, which are over; ``place`` guesses where an unknown write took effect.

    Raises :class:`NotLinearizable`, and :class:`Violation` for a read that breaks a weaker promise.
    """
    versions = _Versions(calls)
    for read in calls.reads:
        versions.check(read)
    history = sorted(_History(calls, versions, place), key=lambda placed: placed[0])
    operations = [operation for _, operation in history]
    in_log = [o for (index, *_), o in history if index or o.returned is not None]
    if (points := points_of(in_log)) is not None:
        return Judged(len(operations), "log", points)
    keys = dict.fromkeys(key for operation in operations for key in sorted(operation.keys))
    hard = False
    for part in (*(_on(key, operations) for key in keys), operations):
        try:
            verdict = judge(part, most=most)
        except TooHard:
            hard = True
            continue
        if not verdict.linearizable:
            raise NotLinearizable(verdict)
        points = verdict.points
    return Judged(len(operations), *(("too hard", ()) if hard else ("search", points or ())))


def _on(key: bytes, operations: Sequence[Operation]) -> list[Operation]:
    """Return what the operations did to one key."""
    return [
        Operation(
            each.client,
            each.called,
            each.returned,
            {key: each.reads[key]} if key in each.reads else {},
            {key: each.writes[key]} if key in each.writes else {},
        )
        for each in operations
        if key in each.reads or key in each.writes
    ]


# ── operations ──────────────────────────────────────────────────────────────────────────────────


class _History:
    """The operations of ``calls``, each with its place in the log: index, reads last, its call."""

    def __init__(self, calls: Calls, versions: _Versions, place: Place) -> None:
        self._calls = calls
        self._versions = versions
        self._place = place
        self._keys = sorted({key for call in calls.writes for key in written(call)})

    def __iter__(self) -> Iterator[tuple[tuple[int, bool, int], Operation]]:
        for write in self._calls.writes:
            stage, operation = write.ticket.stage, self._write(write)
            if stage is not Stage.ABORTED and operation is not None:
                done = stage is Stage.APPLIED
                index = write.ticket.index if done else self._place(write.ticket.txn)
                yield (index, False, write.called), operation
        for read in self._calls.reads:
            if read.at is None and not read.stale and (seen := dict(self._seen(read))):
                operation = Operation(read.client, read.called, read.returned, seen, {})
                yield (read.answer.index, True, read.called), operation

    def _write(self, call: WriteCall) -> Operation | None:
        reads = {
            key: value
            for key, stamp in call.reads.items()
            for value in self._versions.value(key, stamp)
        }
        writes = written(call)
        if not reads and not writes:
            return None
        returned = call.returned if call.ticket.stage is Stage.APPLIED else None
        return Operation(call.client, call.called, returned, reads, writes)

    def _seen(self, call: ReadCall) -> Iterator[tuple[bytes, Value]]:
        """Yield all keys that a read covers, those without a value included."""
        answer = call.answer
        if isinstance(answer, ReadReply):
            yield call.start, answer.value
            return
        found = dict(answer.pairs)
        for key in self._keys:
            if key >= call.start and (call.stop is None or key < call.stop):
                yield key, found.pop(key, None)
        yield from found.items()  # keys that nobody wrote


def written(call: WriteCall) -> dict[bytes, Value]:
    """Return what a transaction writes."""
    records = call.ticket.transaction.records
    kinds = {Kind.PUT: True, Kind.DELETE: False}
    return {r.key: r.value if kinds[r.kind] else None for r in records if r.kind in kinds}


# ── versions ────────────────────────────────────────────────────────────────────────────────────


class _Versions:
    """All versions of all keys, as far as clients know them, by timestamp."""

    def __init__(self, calls: Calls) -> None:
        self._values: dict[tuple[bytes, Timestamp], Value] = {}
        self._stamps: dict[bytes, list[Timestamp]] = {}  # of acknowledged writes
        self._first: dict[tuple[bytes, Value], int] = {}  # when a value was first to be written
        self._unsure: set[bytes] = set()  # keys that may have been deleted without an answer
        for call in calls.writes:
            ticket, sure = call.ticket, call.ticket.stage is Stage.APPLIED
            for key, value in written(call).items():
                first = self._first.get((key, value), call.called)
                self._first[key, value] = min(first, call.called)
                if sure:
                    self._values[key, ticket.timestamp] = value
                    self._stamps.setdefault(key, []).append(ticket.timestamp)
                elif value is None and ticket.stage is not Stage.ABORTED:
                    self._unsure.add(key)
        for stamps in self._stamps.values():
            stamps.sort()
        for read in calls.reads:
            if isinstance(answer := read.answer, ReadReply) and answer.value is not None:
                self._values.setdefault((read.start, answer.timestamp), answer.value)

    def value(self, key: bytes, stamp: Timestamp) -> tuple[Value, ...]:
        """Return the value of a version, ``()`` if no client knows it."""
        if not stamp:
            return (None,)
        return (self._values[key, stamp],) if (key, stamp) in self._values else ()

    def check(self, call: ReadCall) -> None:
        """Check what any read promises: versions that somebody wrote, the newest of its time."""
        answer = call.answer
        if not isinstance(answer, ReadReply):
            for key, value in answer.pairs:
                self._check_written(call, key, value)
            return
        key, stamp = call.start, answer.timestamp
        if answer.value is not None:
            self._check_written(call, key, answer.value)
            known = self._values[key, stamp]
            if known != answer.value:
                self._fail(
                    call, f"{answer.value!r:.60}, but the version at {stamp} is {known!r:.60}"
                )
        if call.at is None:
            return
        stamps = self._stamps.get(key, [])
        newest = stamps[place - 1] if (place := bisect_right(stamps, call.at)) else 0
        deleted = answer.value is None and (
            key in self._unsure or self._values.get((key, newest)) is None
        )
        if stamp > call.at or (stamp < newest and not deleted):
            what = f"the version at {stamp} as that of {call.at}, where the one at {newest} is due"
            self._fail(call, what)

    def _check_written(self, call: ReadCall, key: bytes, value: bytes) -> None:
        if self._first.get((key, value), call.returned + 1) > call.returned:
            self._fail(call, f"{key!r:.60} = {value!r:.60}, which nobody had written")

    @staticmethod
    def _fail(call: ReadCall, what: str) -> None:
        where = f"read {call.start!r:.60}" if call.one else f"scanned from {call.start!r:.60}"
        when = f"between {call.called} and {call.returned} µs"
        raise Violation(Promise.TRUE_ANSWERS, (), f"{call.client} {where} {when} and got {what}")
