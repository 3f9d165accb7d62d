"""Lesson 10: what a client may report, how a leader stamps, what a session admits.

A learner's ``verdict`` is called for every combination of copies that a client can be left with.
A learner's ``raised`` stamps every write of members in simulated worlds whose clients' clocks
disagree.  A learner's ``applies`` decides for a member whether it applies transactions that come
late, twice or in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from kvraft.course.answers import one_of, shown, value_of, whole_number, yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import need_function, within
from kvraft.course.verdicts import exercise
from kvraft.events import TransactionApplied
from kvraft.record import Timestamp, TxnId
from kvraft.replica import (
    SESSION_PREFIX,
    Replica,
    Session,
    Sessions,
    StateMachine,
    TransactionOutcome,
)
from kvraft.sim import SingleMember, lost_updates, world_with_client
from kvraft.transaction import SESSION_WINDOW, Submit, build_transaction

COPIES = ("refused", "discarded", "silent", "applied")
"""What a client can know of one copy of its transaction.

A leader refused it, reported it as discarded or as applied, or no answer came.
"""

REPORTS = ("APPLIED", "ABORTED", "UNKNOWN")
"""What a client can report in the end."""

Verdict = Callable[[list[str]], str]
Raised = Callable[[Timestamp, Timestamp], Timestamp]
Applies = Callable[[int, int, list[int]], bool]


@exercise("10.1")
def check_verdict(verdict: Verdict) -> str:
    """Print whether a client that reports ``verdict(copies)`` never reports what it cannot know."""
    need_function(lambda: verdict(["silent"]), "decision")
    count = 0
    for count, copies in enumerate(_lists(), 1):  # noqa: B007 - the last number is used
        with within(f"For {list(copies)}"):
            given = verdict(list(copies))
            answer = one_of(value_of(given), REPORTS)
            if answer is None:
                raise Broken(f"it says {shown(given)}: give {', '.join(REPORTS[:-1])} or UNKNOWN.")
        if wrong := _wrong(copies, answer):
            raise Wrong(wrong, f"For {list(copies)} it says {answer!r}:")
    return f"In all {count} combinations it says what is certain, and no more."


def _lists() -> Iterator[tuple[str, ...]]:
    for length in range(1, 5):
        yield from product(COPIES, repeat=length)


def _wrong(copies: Sequence[str], answer: str) -> str:
    """Return what is wrong with this verdict, ``""`` if nothing is."""
    if answer == "APPLIED" and "applied" not in copies:
        return "no member reported that it was applied."
    if answer == "ABORTED" and "applied" in copies:
        return "one copy was applied, so the transaction took effect."
    if answer == "ABORTED" and "silent" in copies:
        return "a copy without an answer may still take effect."
    if answer == "UNKNOWN" and "applied" in copies:
        return "it is known: one copy was applied, and no other one can be."
    if answer == "UNKNOWN" and "silent" not in copies:
        return "every copy is known to be dead, so it certainly did not happen."
    return ""


@exercise("10.2")
def check_raised(raised: Raised) -> str:
    """Print whether members that stamp writes by ``raised(stamp, last)`` lose none of them."""
    need_function(lambda: raised(7, 3))
    if wrong := _judge(raised):
        raise Wrong(wrong)
    return "However far one clock is ahead or behind, no acknowledged write is lost."


def stamped_by(raised: Raised) -> type[Replica]:
    """Return members that stamp by ``raised``; they raise ``Broken`` if it returns no timestamp."""
    asked = raised

    class Stamped(Replica):
        def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
            call = f"raised({timestamp}, {self.log_time})"
            stamp = whole_number(lambda: asked(timestamp, self.log_time), "a stamp", call)
            if stamp < 0:
                raise Broken(f"{call} gives {stamp}: a stamp is not below 0.")
            return stamp

    return Stamped


def _judge(raised: Raised) -> str:
    members = stamped_by(raised)
    for ahead in (0, 300, -300):
        lost = lost_updates(ahead, replica=members, rounds=6)
        if lost:
            where = "ahead" if ahead > 0 else "behind"
            how = f"with one clock {abs(ahead)} ms {where}" if ahead else "with equal clocks"
            return f"{how.capitalize()}, {lost} of 12 acknowledged writes are lost."
    world, last = world_with_client(replica=members), 0
    clients = [world.client(name) for name in ("fast", "slow")]
    world.set_clock("fast", 300)
    for number in range(6):
        ticket = clients[number % 2].put(b"stock", b"%d" % number)
        own, stamp = ticket.transaction.timestamp, ticket.timestamp
        if stamp <= last:
            return f"A write gets the stamp {stamp}, and one before it has {last}: not above it."
        if own > last and stamp != own:
            return f"A stamp {own}, above all before it, is changed to {stamp} without need."
        last = stamp
        world.run_for(40)
    return ""


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


class _Judged(Session):
    """A session whose decisions are a learner's."""

    def __init__(self, session: Session, applies: Applies) -> None:
        super().__init__(session.newest)
        self._session = session
        self._applies = applies

    def _passes(self, sequence: int) -> bool:
        numbers = range(max(1, self.newest - SESSION_WINDOW + 1), self.newest + 1)
        known = [number for number in numbers if self._session.outcome(number)]
        asked = f"applies({sequence}, {self.newest}, {known})"
        return yes_or_no(lambda: self._applies(sequence, self.newest, list(known)), asked)

    def outcome(self, sequence: int) -> TransactionOutcome | None:
        """Return the outcome of a transaction that is not applied again."""
        return None if self._passes(sequence) else self._session.outcome(sequence)

    def digest(self, sequence: int) -> int:
        """Return the digest of a transaction that is not applied again."""
        return self._session.digest(sequence)

    def ended(self, sequence: int) -> bool:
        """Return whether it is not applied."""
        return not self._passes(sequence)


def remembering(applies: Applies) -> type[Replica]:
    """Return members that apply a transaction if ``applies(sequence, newest, known)``."""

    class Asking(Sessions):
        def find(self, txn: TxnId, now: Timestamp) -> Session:
            return _Judged(super().find(txn, now), applies)

    class Remembering(Replica):
        def new_machine(self) -> StateMachine:
            machine = super().new_machine()
            machine.sessions = Asking(
                self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime
            )
            return machine

    return Remembering


@exercise("10.3")
def check_applies(applies: Applies) -> str:
    """Print whether a member that decides by ``applies`` applies each transaction once."""
    need_function(lambda: applies(1, 0, []), "decision")
    members = remembering(applies)
    for arrivals in _arrivals():
        with within(f"{_when(arrivals)},"):
            if wrong := _misdone(members, arrivals):
                raise Wrong(wrong)
    return "Late, twice or in any order: what is new is applied, and nothing twice."


def _arrivals() -> Iterator[tuple[int, ...]]:
    """Yield sequences of transaction numbers, the shortest first; some span the window."""
    for length in range(1, 5):
        yield from product((1, 2, 3), repeat=length)
    for newest in (SESSION_WINDOW, SESSION_WINDOW + 1):
        yield (*range(1, newest + 1), 1)
        yield (*range(2, newest + 1), 1)
        yield (*range(2, newest + 1), 2)


def _misdone(members: type[Replica], arrivals: Sequence[int]) -> str:
    """Return what a member does wrong with ``arrivals``, ``""`` if nothing."""
    member, due, newest = SingleMember(replica=members), set[int](), 0
    incarnation = member.register("ann")
    for attempt, number in enumerate(arrivals, 1):
        transaction = build_transaction(
            TxnId("ann", incarnation, number), {b"stock": b"%d" % number}, number
        )
        member.replica.submit(Submit("ann", "n1", transaction, attempt))
        member.replica.drain()
        if number > newest - SESSION_WINDOW:
            due.add(number)
        newest = max(newest, number)
    done = [getattr(step.event, "txn", "") for step in member.trace.of(TransactionApplied)]
    for number in sorted(set(arrivals)):
        times = done.count(str(TxnId("ann", incarnation, number)))
        this = f"number {number} is"
        if times > 1:
            return f"{this} applied {times} times."
        if times and number not in due:
            return f"{this} applied, though no member can know any longer whether it was before."
        if not times and number in due:
            return f"{this} never applied."
    return ""


def _when(arrivals: Sequence[int]) -> str:
    if len(arrivals) == 1:
        return f"When number {arrivals[0]} arrives"
    if len(arrivals) < SESSION_WINDOW:
        return f"When {', '.join(map(str, arrivals))} arrive in this order"
    return f"When {arrivals[0]} to {arrivals[-2]} and then {arrivals[-1]} arrive"
