"""Lesson 10: what a client may say, and how a leader stamps, judged by what comes of it.

A learner's ``verdict`` is asked about every combination of copies that a client can be left with.
A learner's ``raised`` stamps every write of members in simulated worlds whose clients' clocks
disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from kvraft.lesson import UNANSWERED
from kvraft.record import Timestamp
from kvraft.replica import Replica
from kvraft.sim.outages import begun, lost_updates

COPIES = ("refused", "undone", "silent", "applied")
"""What a client can know of one copy of its transaction.

A leader refused it, or said that it is undone, or that it was applied; or nobody said anything.
"""

Verdict = Callable[[list[str]], str]
Raised = Callable[[Timestamp, Timestamp], Timestamp]


def check_verdict(verdict: Verdict) -> None:
    """Print whether a client that says ``verdict(copies)`` never says what it cannot know."""
    if _unanswered(lambda: verdict(["silent"])):
        print("Not answered yet: write the decision in place of the three dots.")
        return
    for copies in _lists():
        try:
            said = verdict(list(copies))
        except Exception as error:  # a learner's function may raise anything
            print(f"Not yet. For {list(copies)} it raised {type(error).__name__}: {error}")
            return
        wrong = _wrong(copies, said)
        if wrong:
            print(f"Not yet. For {list(copies)} it says {said!r}: {wrong}")
            return
    count = sum(1 for _ in _lists())
    print(f"Right. In all {count} combinations it says what is certain, and no more.")


def _lists() -> Iterator[tuple[str, ...]]:
    for length in range(1, 5):
        yield from product(COPIES, repeat=length)


def _wrong(copies: Sequence[str], said: Any) -> str:
    """Return what is wrong with saying so, ``""`` if nothing is."""
    if said not in ("APPLIED", "ABORTED", "UNKNOWN"):
        return "say APPLIED, ABORTED or UNKNOWN."
    if said == "APPLIED" and "applied" not in copies:
        return "nobody said that it was applied."
    if said == "ABORTED" and "applied" in copies:
        return "one copy was applied, so the transaction took effect."
    if said == "ABORTED" and "silent" in copies:
        return "a copy that nobody answered for may still take effect."
    if said == "UNKNOWN" and "applied" in copies:
        return "it is known: one copy was applied, and no other can be, too."
    if said == "UNKNOWN" and "silent" not in copies:
        return "every copy is known to be dead, so it certainly did not happen."
    return ""


def check_raised(raised: Raised) -> None:
    """Print whether members that stamp writes by ``raised(stamp, last)`` lose none of them."""
    if _unanswered(lambda: raised(7, 3)):
        print("Not answered yet: write the rule in place of the three dots.")
        return
    try:
        wrong = _judge(raised)
    except _WrongStamp as error:
        wrong = str(error)
    except Exception as error:
        wrong = f"it raised {type(error).__name__}: {error}"
    print(
        f"Not yet. {wrong}"
        if wrong
        else "Right. However far one clock is ahead or behind, no acknowledged write is lost."
    )


class _WrongStamp(Exception):
    """A stamp that can be judged on the spot."""


def stamped_by(raised: Raised) -> type[Replica]:
    """Return members that stamp by ``raised``; they raise for what is no stamp."""
    asked = raised

    class Stamped(Replica):
        def raised(self, timestamp: Timestamp) -> Timestamp:
            stamp = asked(timestamp, self._stamp)
            if type(stamp) is not int or stamp < 0:
                raise _WrongStamp(f"raised({timestamp}, {self._stamp}) gives {stamp!r}: no stamp.")
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
    world, last = begun(replica=members), 0
    clients = [world.client(name) for name in ("fast", "slow")]
    world.set_clock("fast", 300)
    for number in range(6):
        ticket = clients[number % 2].put(b"stock", b"%d" % number)
        own, stamp = ticket.transaction.timestamp, ticket.timestamp
        if stamp <= last:
            return f"A write gets the stamp {stamp}, and one before it has {last}: not above it."
        if own > last and stamp != own:
            return f"A stamp {own}, above all before it, is changed to {stamp}, for nothing."
        last = stamp
        world.run_for(40)
    return ""


def _unanswered(ask: Callable[[], Any]) -> bool:
    try:
        return ask() is UNANSWERED
    except Exception:
        return False
