"""Members that applied the same entries hold the same rows, and what does not is found at once."""

import pytest

from kvraft.check import News, Violation
from kvraft.check.bugs import find_bug
from kvraft.check.equality import EqualityChecker
from kvraft.check.sweep import SwarmRun
from kvraft.events import SnapshotReceived
from kvraft.raft import Role
from kvraft.record import Kind
from kvraft.replica import Replica, ReplicaOptions, StateMachine
from kvraft.sim import World

SMALL = ReplicaOptions(memtable_bytes=600, segment_bytes=500)


def play(replica=Replica, *, writes=60, options=SMALL, crash=True):
    """Write much on little keys, restart a member in between; return how much was compared."""
    world = World(3, seed=2, replica=replica, options=options)
    news, checker = News(world), EqualityChecker(world)

    def look():
        news.gather()
        checker.check_moved(news)

    world.stepped = look
    ann = world.client("ann")
    for number in range(writes):
        key = b"key %d" % (number % 20)
        ann.write(
            {key: None if number % 5 == 4 else b"%d" % number * 20, b"all": b"%d" % number * 20}
        )
        if crash and number == writes // 2:
            name = next(each for each in world.members if each != world.leader())
            world.crash(name)
            world.restart(name)
    world.settle()
    return checker.compared


def test_sound_members_are_equal_and_are_compared_all_the_time():
    assert play() > 100


class _LosesOne(StateMachine):
    def apply(self, entries):
        """Leave out the first record of a transaction, on followers only."""
        kept = entries[1:] if self.follows() and entries[-1].index % 20 == 0 else entries
        return super().apply(kept)


class AppliesLess(Replica):
    """Followers leave records out."""

    def new_machine(self):
        """Return a state machine that looks at the role of its member."""
        options = self.options
        machine = _LosesOne(self.tree, options.session_millis << 16, self.report)
        machine.follows = lambda: self.raft.role is not Role.LEADER
        return machine


class _OtherValue(StateMachine):
    def apply(self, entries):
        """Store another value on one member."""
        if self.wrong and entries[0].record.kind is Kind.PUT:
            first = entries[0]
            record = first.record._replace(value=first.record.value + b" ")
            entries = (first._replace(record=record), *entries[1:])
        return super().apply(entries)


class AppliesOtherwise(Replica):
    """One member stores other values."""

    def new_machine(self):
        """Return a state machine that is wrong on n2."""
        machine = _OtherValue(self.tree, self.options.session_millis << 16, self.report)
        machine.wrong = self.member == "n2"
        return machine


class FlushesLess(Replica):
    """After a flush, a member whose tables it changed lacks a key: it is deleted unseen."""

    def work(self):
        """Do a slice of work; delete a key after the second flush."""
        before = self.tree.tables
        super().work()
        if self.tree.tables is not before and len(self.tree.tables) > 1 and self.member == "n3":
            key, index = b"all", self.tree.applied_index
            stamp = self.tree.version(key)
            if stamp is not None and stamp.value is not None:
                row = (key, stamp.timestamp + 1, None)
                self.tree.memtables.active.put(row, False)
                assert self.tree.applied_index == index


@pytest.mark.parametrize(
    ("replica", "what"),
    [
        (AppliesLess, "other rows"),
        (AppliesOtherwise, "other rows: they differ in b'"),
        (FlushesLess, "the tables of n3 changed, and with them b'all'"),
    ],
)
def test_a_wrong_apply_and_a_wrong_flush_are_found(replica, what):
    with pytest.raises(Violation, match=what):
        play(replica)


def test_a_wrong_apply_is_found_before_anything_else_looks():
    """At the next step: in a short time nothing else had looked at all rows."""
    with pytest.raises(Violation, match="hold other rows"):
        SwarmRun(4, acts=20, faults=(), replica=AppliesOtherwise).run()


def test_a_snapshot_that_lacks_rows_is_found():
    """Only this checker looks: a member that was away is sent a snapshot without tombstones."""
    options = ReplicaOptions(memtable_bytes=600, segment_bytes=500, retain_bytes=0)
    whole = away(Replica, options)
    assert whole.compared
    with pytest.raises(Violation, match="other rows"):
        away(find_bug("snapshot without sessions").replica, options)


def away(replica, options):
    """Have a member come back to a log that is truncated; return the checker."""
    world = World(3, seed=2, replica=replica, options=options)
    news, checker = News(world), EqualityChecker(world)

    def look():
        news.gather()
        checker.check_moved(news)

    world.stepped = look
    ann, bob = world.client("ann"), world.client("bob")
    bob.put(b"once", b"1")
    name = next(each for each in world.members if each != world.leader())
    world.crash(name)
    for number in range(80):
        ann.put(b"key %d" % number, b"%d" % number)
    world.restart(name)
    world.settle()
    assert world.trace.of(SnapshotReceived, who=name)
    ann.put(b"last", b"1")
    world.settle()
    return checker
