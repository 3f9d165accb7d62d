"""Faults of leaders: deposed amid writes, overtaken by logs that go on, or changed unnoticed."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.sim import SYNC


def usurp(faults: Faults) -> bool:
    """Have a leader hear nobody while clients write there, until another one leads.

    The others have what was written, and learn late that it is committed.
    """
    leader = faults.world.leader()
    others = [name for name in faults.members if name != leader]
    if leader is None or not others:
        return False
    slow = faults.random.random() < 0.7
    for name in others:
        faults.do("cut", name, leader)
        if slow:
            faults.do("slow_disk", name, faults.random.choice((4_000, 12_000)))
    faults.write_some()
    faults.plan(20, 140, faults.write_some)
    faults.plan(150, 500, partial(_hear_again, faults, leader, others))
    return True


def _hear_again(faults: Faults, leader: str, others: list[str]) -> None:
    for name in others:
        faults.do("repair", name, leader)
        faults.do("slow_disk", name, SYNC)


def overtake(faults: Faults) -> bool:
    """Cut the leader off with a long tail of writes, until what the others lack is in no log.

    So it is sent a snapshot that ends within its log, where another entry is.
    """
    leader = faults.world.leader()
    if leader is None or len(faults.members) < 3:
        return False
    faults.do("partition", [[leader]])
    faults.write_large()
    faults.plan(150, 300, partial(_write_and_flush, faults, leader, 4))
    return True


def _write_and_flush(faults: Faults, old: str, times: int) -> None:
    """Have the others write and flush a few times; then the old leader may come back."""
    if not times:
        faults.heal()
        return
    faults.write_some()
    for name in faults.members:
        if name != old:
            faults.do("flush", name)
    faults.plan(15, 60, partial(_write_and_flush, faults, old, times - 1))


def miss_election(faults: Faults) -> bool:
    """Have a member miss a change of leader, and cut its power in a write when it hears of it."""
    leader = faults.world.leader()
    others = [name for name in faults.members if name != leader]
    if leader is None or len(others) < 2:
        return False
    late, successor = faults.random.sample(others, 2)
    for name in faults.members:
        if name != late:
            faults.cut(name, late)
    with suppress(NotLeader, Busy, BadInput):
        faults.judged.do("transfer", successor)
    faults.plan(2, 10, partial(_hear_of_it, faults, late))
    return True


def _hear_of_it(faults: Faults, late: str) -> None:
    faults.do("cut_power", late, faults.random.randint(1, 5), faults.seed())
    for name in faults.members:
        if name != late:
            faults.reconnect(name, late)
    faults.plan(50, 300, partial(faults.restart, late))
