"""The replicated state machine: what follows from committed entries, and from them alone."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import clock
from kvraft.errors import BadInput
from kvraft.events import (
    SessionExpired,
    TransactionApplied,
    TransactionConflicted,
    TransactionDiscarded,
    TransactionRepeated,
)
from kvraft.lsm import Tree, TreeOptions
from kvraft.record import NOOP, RESERVED_PREFIX, Entry, Kind, TxnId
from kvraft.replica import MAX_UNWRITTEN, SESSION_PREFIX, StateMachine
from kvraft.sim import SimDisk
from kvraft.transaction import SESSION_WINDOW, build_transaction

LIFETIME = 100


class World:
    """A machine, a tree that is flushed and opened anew at will, and a log to take entries from."""

    def __init__(self, lifetime=LIFETIME, *, writes=True):
        self.writes = writes  # whether each call of take ends with a write, as a drain does
        self.disk, self.events, self.log, self.lifetime = SimDisk(), [], [], lifetime
        self.open()

    def open(self):
        options = TreeOptions(memtable_bytes=1 << 20, block_bytes=256)
        self.tree = Tree.open(self.disk, owner="o", options=options)
        self.machine = StateMachine(self.tree, self.lifetime, self.events.append)
        for entry in self.log[self.tree.flushed.index :]:
            self.machine.take(entry)
        self.machine.write()

    def restart(self):
        """Lose the memory, and take again what was not flushed."""
        self.disk.crash(Random(0))
        self.open()

    def take(self, *records, term=1):
        ended = []
        for record in records:
            self.log.append(Entry(term, len(self.log) + 1, record))
            ended += self.machine.take(self.log[-1])
        if self.writes:
            self.machine.write()
        return ended

    def apply(self, client, sequence, writes, stamp, reads=None):
        return self.take(
            *build_transaction(TxnId(client, 1, sequence), writes, stamp, reads).records
        )[-1]

    def all(self):
        """The rows of the tree, and what a freeze would add to them."""
        late = {key: value for key, _, value in self.machine.sessions.unwritten()}
        rows = dict(self.tree.scan()) | late
        return {key: value for key, value in rows.items() if value is not None}

    def sessions(self):
        return {key[len(SESSION_PREFIX) :].decode() for key in self.all() if SESSION_PREFIX in key}


def told(world, *kinds):
    return [type(event).__name__ for event in world.events if isinstance(event, kinds)]


def test_a_transaction_depends_on_what_it_read_and_a_retry_gets_the_first_answer():
    world = World()
    world.apply("ann", 1, {b"k": b"1"}, 10)
    fine = world.apply("ann", 2, {b"k": b"2"}, 20, {b"k": 10, b"none": 0})
    late = world.apply("bob", 1, {b"k": b"3", b"other": b"x"}, 30, {b"k": 10})
    again = world.apply("bob", 1, {b"k": b"3", b"other": b"x"}, 40, {b"k": 10})
    assert (fine.outcome.conflict, late.outcome.conflict, late.conflict) == (0, 1, b"k")
    assert again.outcome == late.outcome
    assert (world.tree.get(b"k"), world.tree.get(b"other")) == (b"2", None)
    assert told(world, TransactionApplied, TransactionConflicted, TransactionRepeated) == [
        "TransactionApplied",
        "TransactionApplied",
        "TransactionConflicted",
        "TransactionRepeated",
    ]


@pytest.mark.parametrize("flush", [False, True])
def test_a_key_that_holds_nothing_carries_no_timestamp_whether_or_not_its_tombstone_is_kept(flush):
    """Compaction drops tombstones when it likes, so a decision must not rest on one."""
    world = World()
    world.apply("ann", 1, {b"k": b"1"}, 10)
    world.apply("ann", 2, {b"k": None}, 20)
    if flush:
        world.tree.compact()
    assert world.apply("ann", 3, {b"x": b""}, 30, {b"k": 0}).conflict is None
    assert world.apply("ann", 4, {b"x": b""}, 40, {b"k": 20}).conflict == b"k"


def test_the_first_failing_expectation_is_named():
    world = World()
    world.apply("ann", 1, {b"a": b"1", b"b": b"1", b"c": b"1"}, 10)
    ended = world.apply("ann", 2, {}, 20, {b"a": 10, b"b": 9, b"c": 9})
    assert (ended.outcome.conflict, ended.conflict) == (2, b"b")


def test_a_session_is_deleted_by_log_time_and_not_one_moment_early():
    world = World()
    world.apply("ann", 1, {b"k": b"1"}, 10)
    world.apply("bob", 1, {b"k": b"2"}, 10 + LIFETIME)
    assert world.sessions() == {"ann.1", "bob.1"}
    world.apply("bob", 2, {b"k": b"3"}, 11 + LIFETIME)
    assert world.sessions() == {"bob.1"}
    assert len(world.machine.sessions) == 1
    assert told(world, SessionExpired) == ["SessionExpired"]


def test_a_session_that_is_used_again_after_it_expired_begins_anew():
    world = World()
    world.apply("ann", 40, {b"k": b"1"}, 10)
    ended = world.apply("ann", 2, {b"k": b"2"}, 500)  # far below the window of before
    assert ended.outcome.conflict == 0
    assert world.machine.sessions.find(TxnId("ann", 1, 2), 500).newest == 2
    assert world.sessions() == {"ann.1"}


def test_sessions_are_bounded_by_who_is_there():
    world = World()
    for n in range(1_000):
        world.apply(f"c{n}", 1, {b"k": b"v"}, 10 + n)
    assert len(world.machine.sessions) == len(world.sessions()) == LIFETIME + 1


WRITES = st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([b"1", None]))


@st.composite
def steps(draw):
    """One step of a life: a transaction, whole or torn; a restart, a flush or a compaction."""
    kind = draw(st.sampled_from(["whole"] * 6 + ["torn", "restart", "flush", "compact", "noop"]))
    client, sequence = draw(st.sampled_from("xyz")), draw(st.integers(1, 6))
    reads = draw(st.dictionaries(st.sampled_from([b"a", b"b"]), st.integers(0, 3), max_size=2))
    writes = draw(WRITES.filter(bool))
    return kind, client, sequence, writes, reads, draw(st.integers(1, 80))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(steps(), max_size=40), st.booleans())
def test_whatever_is_flushed_and_restarted_the_log_alone_decides(life, writes):
    """A machine that lives through restarts ends where one does that takes the log in one go.

    It does not matter either whether it gives the tree one transaction at a time or many.
    """
    world, stamp, stamps = World(writes=writes), 10, [0, 0, 0, 0]
    for kind, client, sequence, writes, reads, later in life:
        if kind == "restart":
            world.restart()
        elif kind == "flush":
            world.tree.flush()
        elif kind == "compact":
            world.tree.compact()
        elif kind == "noop":
            world.take(NOOP)
        else:
            stamp += later
            stamps = [0, *stamps[-2:], stamp]
            expected = {key: stamps[which] for key, which in reads.items()}
            records = build_transaction(TxnId(client, 1, sequence), writes, stamp, expected).records
            world.take(*(records[:-1] if kind == "torn" else records))
    world.take(NOOP)
    world.machine.write()
    straight = World()
    for entry in world.log:
        straight.take(entry.record)
    assert world.all() == straight.all()
    last = world.machine.sessions, straight.machine.sessions
    assert set(last[0]) == set(last[1])
    assert list(last[0]) == list(last[1]), "the order decides who expires next"
    world.restart()
    assert world.all() == straight.all()


def test_a_torn_transaction_is_discarded_by_whatever_comes_next_expectations_and_all():
    world = World()
    records = build_transaction(TxnId("ann", 1, 1), {b"k": b"1"}, 10, {b"r": 0}).records
    (discarded,) = world.take(records[0], NOOP)
    assert discarded.discarded
    assert (discarded.entries[0].index, world.machine.open) == (1, ())
    assert world.all() == {}
    assert told(world, TransactionDiscarded) == ["TransactionDiscarded"]
    assert world.take(*records)[0].outcome.conflict == 0


def test_no_transaction_forgotten_is_applied_twice():
    """The window: what lies below it is refused, remembered or not."""
    world = World()
    for sequence in range(1, SESSION_WINDOW + 3):
        world.apply("ann", sequence, {b"k": b"%d" % sequence}, 10 + sequence)
    ended = world.apply("ann", 1, {b"k": b"again"}, 90)
    assert ended.outcome is None
    assert world.tree.get(b"k") == b"%d" % (SESSION_WINDOW + 2)


def test_reserved_keys_cannot_be_read_or_written_by_a_client():
    with pytest.raises(BadInput, match="reserved"):
        build_transaction(TxnId("ann", 1, 1), {RESERVED_PREFIX + b"session/bob": b""}, 1)


def test_expectations_are_data_and_write_nothing():
    world = World()
    world.apply("ann", 1, {}, clock.pack(1), {b"nothing": 0})
    assert [entry.record.kind for entry in world.log] == [Kind.EXPECT]
    assert {key for key in world.all() if not key.startswith(RESERVED_PREFIX)} == set()


def test_a_frozen_memtable_takes_the_sessions_that_changed_and_only_those():
    world = World()
    for sequence in range(1, 4):
        world.apply("ann", sequence, {b"k": b"v"}, 10 + sequence)
        world.apply("bob", sequence, {b"l": b"v"}, 20 + sequence)
    assert world.tree.memtable_rows == 2  # the clients' own
    world.tree.freeze()
    assert world.tree.counts.rows_put == 6 + 2
    world.apply("ann", 4, {b"k": b"v"}, 30)
    world.tree.freeze()
    assert world.tree.counts.rows_put == 6 + 2 + 1 + 1


def test_a_conflict_that_writes_nothing_moves_the_time_of_the_tree():
    world = World()
    world.apply("ann", 1, {b"k": b"1"}, 10)
    assert world.apply("ann", 2, {b"k": b"2"}, 30, {b"k": 9}).conflict == b"k"
    assert world.tree.timestamp == 30
    world.restart()
    assert world.tree.timestamp == 30
    world.tree.flush()
    world.restart()
    assert world.tree.timestamp == 30


def test_a_freeze_packs_no_more_sessions_than_may_wait_for_it():
    """Each transaction writes those that waited longest, so that nothing is left for later."""
    world = World(lifetime=10_000)
    for n in range(3 * MAX_UNWRITTEN):
        world.apply(f"c{n}", 1, {b"k": b"v"}, 10 + n)
        assert len(world.machine.sessions.unwritten()) <= MAX_UNWRITTEN
    written = {key for key, _ in world.tree.scan(prefix=SESSION_PREFIX)}
    assert len(written) == 2 * MAX_UNWRITTEN
    before = world.all()
    world.tree.flush()
    assert dict(world.tree.scan()) == before
    world.restart()
    assert world.all() == before


def test_sessions_that_expire_together_are_written_little_by_little():
    world = World()
    for n in range(2 * MAX_UNWRITTEN):
        world.apply(f"c{n}", 1, {b"k": b"v"}, 10)
    world.tree.flush()
    world.apply("new", 1, {b"k": b"v"}, 11 + LIFETIME)
    assert world.sessions() == {"new.1"}
    for sequence in range(2, 2 + MAX_UNWRITTEN):
        before = len(world.machine.sessions.unwritten())
        world.apply("new", sequence, {b"k": b"v"}, 11 + LIFETIME + sequence)
        assert before - 2 <= len(world.machine.sessions.unwritten()) <= max(before, MAX_UNWRITTEN)
    assert len(world.machine.sessions.unwritten()) <= MAX_UNWRITTEN
    world.tree.flush()
    assert {key for key, _ in world.tree.scan(prefix=SESSION_PREFIX)} == {SESSION_PREFIX + b"new.1"}
