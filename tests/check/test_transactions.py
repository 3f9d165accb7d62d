"""The model of transactions, beside the state machine it is to judge; and what the judge sees."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import clock
from kvraft.check import Property, Violation
from kvraft.check.history import TransactionChecker
from kvraft.check.history.model import Effect, Model, Promise, unpacked, without_sessions
from kvraft.check.sweep.judged import JudgedRun
from kvraft.lsm import Tree, TreeOptions
from kvraft.record import (
    NOOP,
    Entry,
    Kind,
    Record,
    TxnId,
    configuration_record,
    expectation,
    registration,
)
from kvraft.replica import SESSION_PREFIX, ReplicaOptions, StateMachine
from kvraft.sim import Run, SimDisk, World
from kvraft.transaction import SESSION_WINDOW, Read, ReadReply, Stage, WriteReply

LIFE = 100


def entries_of(first, txn, stamp, writes, reads=(), commit=True, term=1):
    """The entries of one transaction from index ``first`` on, with its mark if ``commit``."""
    records = [expectation(key, at, stamp, txn) for key, at in reads]
    for key, value in writes:
        kind = Kind.DELETE if value is None else Kind.PUT
        records.append(Record(kind, key, value or b"", stamp, txn))
    records[-1] = records[-1]._replace(commit=commit)
    return [Entry(term, first + at, record) for at, record in enumerate(records)]


def random_log(random, length):
    """Entries as they may stand in a log: retries, torn prefixes, expectations that hold or not.

    As a leader sees to it, nothing comes again that was stamped longer ago than sessions live.
    """
    log, stamp, stamps = [], 10, [0, 0]
    newest, ended, asked = dict.fromkeys("abc", 0), {}, {}
    incarnation = dict.fromkeys("abc", 0)
    while len(log) < length:
        first, kind = len(log) + 1, random.random()
        if kind < 0.1:
            log.append(Entry(1, first, NOOP))
            continue
        if kind < 0.15:
            log.append(Entry(1, first, configuration_record(b'{"voters": ["n%d"]}' % first)))
            continue
        client = random.choice("abc")
        if kind < 0.2:
            log.append(Entry(1, first, registration(client)))
            incarnation[client] = random.choice((first, first, incarnation[client]))
            continue
        stamp += random.choice((1, 1, 5, LIFE // 2, LIFE, LIFE + 1))
        mine = incarnation[client]
        before = max(1, newest[client] - random.choice((0, 1, SESSION_WINDOW - 1, SESSION_WINDOW)))
        txn = TxnId(client, mine, before)
        if random.random() < 0.6 or stamp - ended.get(txn, 0) > LIFE:
            newest[client] += random.choice((1, 1, 2, SESSION_WINDOW))
            txn = TxnId(client, mine, newest[client])
        newest[client] = max(newest[client], txn.sequence)
        keys = random.sample([b"k%d" % n for n in range(5)], random.randint(1, 4))
        reads = [(key, random.choice(stamps[-4:])) for key in keys if random.random() < 0.2]
        writes = [(key, random.choice((None, b"", b"%d" % stamp))) for key in keys]
        if txn in asked and random.random() < 0.7:  # else it is another one, under the same id
            reads, writes = asked[txn]
        asked.setdefault(txn, (reads, writes))
        commit = random.random() < 0.8
        log += entries_of(first, txn, stamp, writes, reads, commit)
        if commit:
            stamps.append(stamp)
            ended.setdefault(txn, stamp)
        else:
            log.append(Entry(1, len(log) + 1, NOOP))  # whoever leads next begins with one
    return log


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32), history=st.sampled_from([0, 3 * LIFE, 1 << 40]))
def test_state_machine_and_model_agree_after_every_entry_and_at_every_time(seed, history):
    """They were written apart: what one of them gets wrong the other does not."""
    random = Random(seed)
    options = TreeOptions(memtable_bytes=300, history=history)
    tree, model = Tree.open(SimDisk(), options=options), Model(LIFE)
    machine = StateMachine(tree, LIFE)
    for entry in random_log(random, 60):
        model.take(entry)
        machine.take(entry)
        if random.random() < 0.5:
            machine.write()
            assert tree.applied.index == model.mark(entry.index)
        if tree.memtable_full:
            tree.freeze()
        while tree.has_work and random.random() < 0.7:
            tree.work()
    machine.write()
    index = tree.applied.index
    tree.freeze()  # now the rows of all sessions are there
    assert dict(unpacked(tree.scan())) == model.rows(index)
    for at in [s for s in model.stamps(index) if tree.horizon <= s <= tree.timestamp]:
        held = without_sessions(dict(unpacked(tree.scan(at=at))))
        assert held == without_sessions(model.rows(index, at))


def fed(*transactions):
    """A model that took these, one after another: each is the keywords of entries_of."""
    model = Model(LIFE)
    for keywords in transactions:
        for entry in entries_of(model.last + 1, **keywords):
            model.take(entry)
    return model


def one(sequence, stamp, value=b"v", client="a", **keywords):
    return {
        "txn": TxnId(client, 1, sequence),
        "stamp": stamp,
        "writes": [(b"k", value)],
        **keywords,
    }


def effects(model, sequence, client="a"):
    return [fate.effect for fate in model.fates[TxnId(client, 1, sequence)]]


def test_a_repeated_transaction_changes_nothing_and_a_discarded_one_does_nothing():
    model = fed(one(1, 10, b"1"), one(2, 20, b"2"), one(1, 30, b"1"), one(1, 40, b"3"))
    assert effects(model, 1) == [Effect.APPLIED, Effect.REPEATED, Effect.TAKEN]
    assert model.version(b"k", model.last).value == b"2"
    model = fed(one(1, 10, b"1"), one(2, 20, b"2", commit=False), one(3, 30, client="b"))
    assert effects(model, 2) == [Effect.DISCARDED]
    assert [model.mark(index) for index in range(4)] == [0, 1, 1, 3]


def test_a_conflict_is_judged_at_its_place_in_the_log():
    model = fed(one(1, 10), one(2, 20, b"new", reads=[(b"k", 10)]))
    assert effects(model, 2) == [Effect.APPLIED]
    model = fed(one(1, 10), one(1, 15, client="b"), one(2, 20, b"new", reads=[(b"k", 10)]))
    assert effects(model, 2) == [Effect.CONFLICT]
    assert model.rows(model.last)[b"k"] == b"v"
    model = fed(one(1, 10), one(2, 15, None), one(3, 20, reads=[(b"k", 0)]))
    assert effects(model, 3) == [Effect.APPLIED], "a deleted key holds nothing"


def test_the_past_stays_what_it_was():
    model = fed(one(1, 10, b"1"), one(2, 20, b"2"), one(3, 30, None))
    assert [model.rows(3, at).get(b"k") for at in (9, 10, 19, 20, 29, 30)] == [
        None, b"1", b"1", b"2", b"2", None,
    ]  # fmt: skip
    assert [model.rows(index).get(b"k") for index in range(4)] == [None, b"1", b"2", None]


def test_a_session_lives_as_long_as_log_time_says_to_the_moment():
    for later, known in ((LIFE, True), (LIFE + 1, False)):
        model = fed(one(1, 10), one(1, 10 + later, client="b"))
        assert (b"\x00kvraft/session/a.1" in model.rows(2)) is known


def test_a_session_remembers_as_much_as_the_members_do():
    model = fed(*(one(n, 10 + n) for n in range(1, SESSION_WINDOW + 2)), one(1, 90), one(2, 91))
    assert effects(model, 1) == effects(model, 2) == [Effect.APPLIED, Effect.REPEATED]
    session = model.rows(model.last)[b"\x00kvraft/session/a.1"]
    assert [row[0] for row in session.outcomes] == list(range(2, SESSION_WINDOW + 2))


def test_twice_is_found_even_where_the_session_has_expired():
    with pytest.raises(Violation, match=r"a\.1#1 is applied at 3, but was applied at 1") as caught:
        fed(one(1, 10), one(1, 11 + LIFE, client="b"), one(1, 12 + LIFE))
    assert caught.value.property is Promise.EXACTLY_ONCE


@pytest.mark.parametrize("stamp", [10, 9])
def test_a_stamp_that_does_not_rise_is_found(stamp):
    with pytest.raises(Violation, match="timestamps rise"):
        fed(one(1, 10), one(2, stamp))


def test_what_was_discarded_leaves_no_time_behind():
    """No table has it: a leader that starts from its tables does not know of it any more."""
    model = fed(one(1, 10), one(2, 90, commit=False), one(1, 20, client="b"))
    assert effects(model, 1, "b") == [Effect.APPLIED]
    torn = entries_of(model.last + 1, TxnId("a", 1, 3), 30, [(b"x", b""), (b"y", b"")])
    model.take(torn[0])
    with pytest.raises(Violation, match=r"another timestamp than the rest of a\.1#3"):
        model.take(torn[1]._replace(record=torn[1].record._replace(timestamp=31)))


# ── the judge ───────────────────────────────────────────────────────────────────────────────────


def watched(seed=1):
    world = World(3, seed=seed)
    checker = TransactionChecker(world)
    world.run_until(lambda: world.leader() is not None)
    checker.check()
    return world, checker


def run(world, checker, condition):
    while not condition():
        world.step()
        checker.check()


def put(world, checker, key, value):
    ticket = world.client("c").submit({key: value})
    run(world, checker, lambda: ticket.done)
    return ticket


def forge(world, message, **changes):
    """Let a message of this type that is on its way say something else."""
    for id, envelope in world.network.in_flight.items():
        if isinstance(envelope.message, message):
            changed = envelope._replace(message=envelope.message._replace(**changes))
            world.network.in_flight[id] = changed
            return True
    return False


def test_a_false_answer_is_found():
    for message, changes, property in (
        (ReadReply, {"value": b"2"}, Promise.TRUE_ANSWERS),
        (ReadReply, {"timestamp": 7}, Promise.TRUE_ANSWERS),
        (ReadReply, {"index": 0}, Property.FRESH_READS),
        (WriteReply, {"stage": Stage.APPLIED, "index": 1}, Promise.TRUE_ANSWERS),
        (WriteReply, {"stage": Stage.ABORTED}, Promise.TRUE_ANSWERS),
    ):
        world, checker = watched()
        put(world, checker, b"k", b"1")
        checker.check()
        if message is ReadReply:
            world.send(Read("c", world.leader(), 99, 1, b"k"))
            checker.check()
        else:
            world.client("c").submit({b"k": b"2"})
        while not forge(world, message, **changes):
            world.step()
        with pytest.raises(Violation) as caught:
            checker.check()
        assert caught.value.property is property, message


def test_a_member_that_holds_something_else_is_found():
    for change, what in (
        (lambda tree: tree.memtables.active.put((b"k", 1 << 62, b"else"), 0), "b'k'"),
        (lambda tree: tree.memtables.active.put((b"x", 1 << 62, b"more"), 0), "b'x'"),
        (lambda tree: tree.memtables.active.put((b"k", 1 << 62, b"1"), 0), "with timestamp"),
        (
            lambda tree: tree.memtables.active.put((SESSION_PREFIX + b"c.2", 1 << 62, None), 0),
            "session/c",
        ),
    ):
        world, checker = watched()
        put(world, checker, b"k", b"1")
        world.settle()
        checker.check()
        checker.check_members()
        replica = world.replicas["n2"]
        replica.tree.freeze()  # writes the row of the session
        change(replica.tree)
        replica.tree.timestamp = 1 << 62
        with pytest.raises(Violation, match=what) as caught:
            checker.check_members()
        assert caught.value.members == ("n2",)


def test_a_ticket_that_tells_a_lie_is_found():
    world, checker = watched()
    ticket = put(world, checker, b"k", b"1")
    world.settle()
    checker.check()
    checker.check_tickets([ticket])
    index, stamp, transaction = ticket.index, ticket.timestamp, ticket.transaction
    for stage, changes in (
        (Stage.ABORTED, {}),
        (Stage.ABORTED, {"conflict": b"k"}),
        (Stage.APPLIED, {"index": index - 1}),
        (Stage.APPLIED, {"timestamp": stamp + 1}),
        (Stage.SENT, {}),
        (Stage.APPLIED, {"transaction": transaction._replace(records=transaction.records * 2)}),
    ):
        ticket.stage, ticket.index, ticket.timestamp, ticket.conflict = stage, index, stamp, None
        ticket.transaction = transaction
        for name, value in changes.items():
            setattr(ticket, name, value)
        with pytest.raises(Violation, match="true answers"):
            checker.check_tickets([ticket])
    ticket.stage = Stage.UNKNOWN
    checker.check_tickets([ticket])


@pytest.mark.parametrize("off", [1, -1])
def test_what_is_applied_ahead_of_the_log_or_not_at_all_is_found(off):
    world, checker = watched()
    put(world, checker, b"k", b"1")
    world.settle()
    checker.check()
    world.replicas["n3"].tree.applied_index += off
    with pytest.raises(Violation, match="n3 has applied entries through"):
        checker.check()


def test_members_that_commit_different_entries_are_found():
    world, checker = watched()
    index = put(world, checker, b"k", b"1").index
    other = checker.model.entries[index - 1]
    checker.model.entries[index - 1] = other._replace(term=other.term + 1)
    with pytest.raises(Violation) as caught:
        run(world, checker, lambda: world.now > 10_000_000)
    assert caught.value.property is Property.STATE_MACHINE_SAFETY


def test_an_entry_that_no_log_holds_is_missed():
    """So it is when the judge comes too late to have seen it."""
    world = World(1, options=ReplicaOptions(memtable_bytes=1, segment_bytes=1, retain_bytes=0))
    world.run_until(lambda: world.leader() is not None)
    world.client("c").put(b"k", b"1")
    world.settle()
    with pytest.raises(Violation, match="no log holds entry 1") as caught:
        TransactionChecker(world).check()
    assert caught.value.property is Property.COMMITTED_KEPT


def test_the_lifetime_is_that_of_the_members():
    world, checker = watched()
    millis = next(iter(world.replicas.values())).options.session_millis
    assert checker.model._lifetime == clock.pack(millis)


def test_no_read_is_missed_that_arrives_before_anything_else_happens():
    judged = JudgedRun(Run(3, seed=1))
    world = judged.world
    world.run_until(lambda: world.leader() is not None)
    judged.do("put", "ann", "key", "value")
    world.settle()
    for number in range(1, 21):
        done = judged.do("get", "ann", "key")
        world.run_until(lambda done=done: done.done)
        assert judged.transactions.reads == number


def test_what_a_woken_leader_commits_at_once_is_taken_before_its_next_step():
    """That step may truncate it."""
    judged = JudgedRun(Run(3, seed=1))
    world = judged.world
    world.run_until(lambda: world.leader() is not None)
    world.settle()
    name = world.leader()
    raft = world.replicas[name].raft
    before = raft.log.last_index
    judged.do("put", "ann", "key", "value")
    world.run_until(lambda: raft.durable_index > before)
    judged.do("pause", name)
    world.run_for(20)
    assert raft.commit_index == judged.transactions.model.last == before
    judged.do("resume", name)
    assert raft.commit_index == judged.transactions.model.last == before + 1
