"""Clocks that jump, drift and return: one that is wrong stops nobody (kvraft/replica/skew.py)."""

from random import Random

import pytest

from kvraft import clock
from kvraft.events import MessageRejected, MessageSent, SessionExpired, TransactionApplied
from kvraft.raft import AppendEntriesReply
from kvraft.replica import ReplicaOptions
from kvraft.replica.skew import MAX_COUNTS_AHEAD, ClusterClock
from kvraft.sim import World
from kvraft.transaction import Rejected, Stage, Submit, WriteReply

MEMBERS = ("n1", "n2", "n3")
HOUR = 3_600_000
ROUND_TRIP = 6
"""Milliseconds from a client to its leader and back: two messages, and a sync that is waited for"""
USUAL = 20
"""Milliseconds that a put takes with right clocks, a redirect included, at the very most."""


def elected(seed=1, members=3, **kwargs):
    world = World(members, seed=seed, **kwargs)
    world.run_until(lambda: world.leader() is not None)
    world.run_for(100)
    return world


def put(world, name, value=b"v"):
    """Let a client put; it must be applied within the bound.  Return its ticket."""
    began, client = world.now, world.client(name)
    ticket = client.put(b"of " + name.encode(), value)
    assert ticket.stage is Stage.APPLIED
    assert world.now - began <= (USUAL + ROUND_TRIP) * 1_000
    return ticket


def refusals(world):
    return sum(step.event.kind == "Rejected" for step in world.trace.of(MessageSent))


def log_ahead(world):
    """Return how many milliseconds log time is ahead of the world's."""
    return clock.unpack(world.replicas[world.leader()].log_time)[0] - world.millis()


def push_log_ahead(world, millis):
    """All clocks are wrong together for the time of one put."""
    for name in (*world.members, "culprit"):
        if name == "culprit":
            world.client(name)
        world.set_clock(name, millis)
    world.run_for(100)
    put(world, "culprit")
    for name in (*world.members, "culprit"):
        world.set_clock(name, 0)
    world.run_for(100)


# ── what was wrong, as it was found ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ahead", [2_000, HOUR])
def test_a_leader_and_a_client_that_were_ahead_together_are_forgotten(ahead):
    world = World(3, seed=1, trace=False)
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    world.client("a")
    world.set_clock(leader, ahead)
    world.set_clock("a", ahead + 400)
    put(world, "a")
    world.set_clock(leader, 0)
    world.set_clock("a", 0)
    for round in range(20):
        for name in ("a", "b", "c"):
            put(world, name, b"%d" % round)
    world.run_for(20_000)
    world.transfer(next(name for name in world.members if name != leader))
    world.run_until(lambda: world.leader() not in (None, leader))
    world.run_for(100)
    for round in range(20):
        for name in ("a", "b", "d"):
            put(world, name, b"%d" % round)


@pytest.mark.parametrize("ahead", [-600, -HOUR, 600, HOUR])
@pytest.mark.parametrize("wrong", ["leader", "follower", "next leader"])
def test_one_member_with_a_wrong_clock_stops_nobody(wrong, ahead):
    world = elected()
    leader = world.leader()
    other = next(name for name in world.members if name != leader)
    world.set_clock(leader if wrong == "leader" else other, ahead)
    if wrong == "next leader":
        world.transfer(other)
        world.run_until(lambda: world.leader() == other)
    world.run_for(100)
    before = refusals(world)
    for number in range(100):
        ticket = put(world, "ab"[number % 2])
        assert abs(clock.unpack(ticket.timestamp)[0] - world.millis()) < 20, "stamped as it is"
    assert refusals(world) == before, "the others' clocks are known"


def test_one_member_by_itself_has_only_its_own_clock_and_costs_a_round_trip():
    world = elected(members=1)
    world.set_clock("n1", -HOUR)
    for number in range(50):
        put(world, "ab"[number % 2])
    assert refusals(world) == 50
    world.set_clock("n1", 0)
    before = refusals(world)
    for number in range(50):
        put(world, "ab"[number % 2])
    assert refusals(world) == before
    assert abs(log_ahead(world)) < 20


# ── log time ahead of all clocks ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["nothing", "transfer", "crash", "all crash"])
def test_a_log_that_is_far_ahead_refuses_nobody_for_it(what):
    world = elected(options=ReplicaOptions(session_millis=2_000))
    put(world, "early")
    push_log_ahead(world, HOUR)
    assert log_ahead(world) > HOUR - 500
    leader = world.leader()
    if what == "transfer":
        world.transfer(next(name for name in world.members if name != leader))
        world.run_until(lambda: world.leader() not in (None, leader))
    elif what == "crash":
        world.crash(leader)
    elif what == "all crash":
        for name in world.members:
            world.crash(name)
            world.restart(name)
    world.run_until(lambda: world.leader() is not None)
    world.run_for(2_000)  # clients look for the leader without haste
    for name in ("early", "culprit", "new"):
        world.client(name).leader = world.leader()
    stamps = []
    for number in range(60):
        name = ("early", "culprit", "new")[number % 3]
        stamps.append(put(world, name, b"%d" % number).timestamp)
        assert world.client(name).get(b"of " + name.encode()) == b"%d" % number
    assert stamps == sorted(set(stamps))
    assert log_ahead(world) < HOUR, "writes count on from log time, until real time is there"
    assert refusals(world) <= 3, "each client hears of log time once"


def test_an_answer_lost_while_the_log_jumps_ahead_is_not_carried_out_twice():
    for seed in range(10):
        world = elected(seed=seed, options=ReplicaOptions(session_millis=2_000))
        client = world.client("c")
        ticket = client.submit({b"k": b"v"})

        def answers(message):
            return isinstance(message, WriteReply) and message.to == "c"

        while len(world.trace.of(TransactionApplied)) < 3:
            world.drop(answers)
            world.step()
        world.drop(answers)
        push_log_ahead(world, HOUR)
        world.run_until(lambda ticket=ticket: ticket.done)
        gone = {s.event.client.partition(".")[0] for s in world.trace.of(SessionExpired)}
        assert "c" in gone
        assert ticket.stage is Stage.UNKNOWN
        put(world, "c", b"anew")
        done = [s.event.txn for s in world.trace.of(TransactionApplied, who=world.leader())]
        assert done.count(str(ticket.txn)) == 1
        assert len(done) == len(set(done))


def test_no_clock_drags_log_time_past_the_members_clocks_by_more_than_is_allowed():
    world = elected()
    world.client("fast")
    for ahead in range(0, 4_000, 40):
        world.set_clock("fast", ahead)
        put(world, "fast")
        put(world, "right")
        assert log_ahead(world) <= 500
    world.set_clock("fast", 0)
    before = refusals(world)
    put(world, "fast")
    assert refusals(world) <= before + 1, "it learns at once that it was wrong"
    put(world, "fast")
    assert refusals(world) <= before + 1


# ── clocks that jump, drift and return ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(12))
def test_whatever_one_clock_does_every_put_is_applied_within_the_bound(seed):
    """One clock at a time goes wrong, anybody's: at once, step by step, or to and fro."""
    random = Random(f"clocks/{seed}")
    world = elected(seed=seed, options=ReplicaOptions(session_millis=random.choice((2_000, HOUR))))
    clients = ("a", "b", "c")
    for name in clients:
        put(world, name)
    latest = 0
    for _ in range(12):
        who = random.choice((*world.members, *clients, world.leader()))
        size = random.choice((-HOUR, -700, -300, 300, 700, 2_400, HOUR, 50 * HOUR))
        way = random.choice(("jump", "drift", "to and fro"))
        for step in range(1, 9):
            share = {"jump": 1, "drift": step / 8, "to and fro": step % 2}[way]
            world.set_clock(who, int(size * share))
            if random.random() < 0.5:
                world.run_for(random.randrange(100))
            for name in random.choices(clients, k=2):
                ticket = put(world, name, b"%d" % step)
                assert ticket.timestamp > latest
                latest = ticket.timestamp
        world.set_clock(who, 0)
        if random.random() < 0.3:
            to = random.choice([name for name in world.members if name != world.leader()])
            world.transfer(to)
            world.run_until(lambda to=to: world.leader() == to)
            world.run_for(100)
            for name in clients:
                world.client(name).leader = to
        before = refusals(world)
        for name in clients * 2:
            latest = put(world, name).timestamp
        assert refusals(world) <= before + 1, "only the one that was wrong may have to learn it"


@pytest.mark.parametrize("seed", range(6))
def test_whatever_all_clocks_did_together_is_over_once_they_are_right(seed):
    random = Random(f"all clocks/{seed}")
    world = elected(seed=seed, options=ReplicaOptions(session_millis=random.choice((2_000, HOUR))))
    clients = ("a", "b", "c", "d")
    for _ in range(6):
        for _ in range(8):
            for name in (*world.members, *clients):
                if name in clients:
                    world.client(name)
                if random.random() < 0.5:
                    world.set_clock(name, random.choice((-2 * HOUR, -900, 0, 900, 2 * HOUR)))
            world.run_for(random.randrange(200))
            put(world, random.choice(clients))
        for name in (*world.members, *clients):
            world.set_clock(name, 0)
        world.run_for(60)  # a heartbeat: the clocks are read again
        for name in clients:
            put(world, name)
        before = refusals(world)
        for name in clients * 3:
            put(world, name)
        assert refusals(world) == before


# ── a refusal is not the end of a write ─────────────────────────────────────────────────────────


def test_a_client_far_ahead_is_refused_and_stamps_its_write_anew():
    world = elected()
    world.client("c")
    world.set_clock("c", 60_000)
    ticket = put(world, "c")
    assert refusals(world) == 1
    assert ticket.attempts <= 3
    names = ", ".join(MEMBERS)
    assert ticket.overloaded_reason.startswith(
        tuple(f"{ticket.txn} was stamped {n}" for n in (59, 60))
    )
    assert ticket.overloaded_reason.endswith(
        f"of the clocks of {names}, and 500 at most are allowed"
    )
    assert abs(clock.unpack(ticket.timestamp)[0] - world.millis()) < 20
    world.settle()
    log = world.replicas["n1"].raft.log.slice(1)
    stored = [e.record for e in log if e.record.txn == ticket.txn]
    assert stored == list(ticket.transaction.with_timestamp(ticket.timestamp).records)


def test_while_a_copy_may_be_anywhere_a_write_keeps_its_stamp():
    world = elected()
    client, leader = world.client("c"), world.leader()
    put(world, "c")  # so that it is registered, and knows who leads
    assert client.leader == leader
    world.set_clock("c", 3_000)
    ticket = client.submit({b"k": b"v"}, timeout=1_000)
    stamp = ticket.transaction.timestamp
    assert world.drop(lambda message: isinstance(message, Submit)) == 1  # and nobody knows it
    world.run_until(lambda: ticket.done)
    assert refusals(world) >= 1
    assert ticket.transaction.timestamp == stamp
    assert ticket.stage is Stage.UNKNOWN
    put(world, "c")
    world.run_for(1_500)
    client.retry(ticket)
    world.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.APPLIED, "its time has come"


def test_a_refusal_that_offers_no_stamp_ends_a_write():
    world = elected()
    client = world.client("c")
    put(world, "c")  # it is registered
    ticket = client.submit({b"k": b"v"})
    client.receive(Rejected("n1", "c", ticket.txn, 1, 0, "never"))
    assert (ticket.stage, ticket.reason) == (Stage.ABORTED, "never")


# ── what a member knows of the others' clocks ───────────────────────────────────────────────────


def skew(millis=1_000, **heard):
    found = ClusterClock("n1", lambda: millis, allowed=500, patience=15)
    for name, reading in heard.items():
        found.note_reading(name, reading)
    return found


@pytest.mark.parametrize(
    ("heard", "median"),
    [
        ({}, 1_000),
        ({"n2": 9_000}, 9_000),
        ({"n2": 10}, 1_000),
        ({"n2": 10, "n3": 1_005}, 1_000),
        ({"n2": 9_000, "n3": 1_005}, 1_005),
        ({"n2": 9_000, "n4": 10}, 9_000),  # n4 is no member
        ({"n2": 9_000, "n3": 0}, 9_000),  # n3 has no clock
    ],
)
def test_cluster_time_is_the_median_of_what_is_known(heard, median):
    assert skew(**heard).now(MEMBERS) == clock.pack(median)


def test_a_reading_is_forgotten_after_an_election_timeout():
    found = skew(n2=9_000, n3=9_000)
    for _ in range(15):
        found.tick()
    found.note_reading("n2", 8_000)
    assert found.readings(MEMBERS) == {"n1": 1_000, "n2": 8_000, "n3": 9_000}
    found.tick()
    assert found.readings(MEMBERS) == {"n1": 1_000, "n2": 8_000}


def test_the_limit_is_the_later_of_log_time_and_cluster_time():
    found, log = skew(n2=1_100, n3=900), clock.pack(800)
    assert not found.too_far(clock.pack(1_500, 65_535), log, MEMBERS)
    assert "501 ms ahead of the clocks of n1, n2, n3" in found.too_far(
        clock.pack(1_501), log, MEMBERS
    )
    log = clock.pack(70_000, 7)
    assert not found.too_far(log + MAX_COUNTS_AHEAD, log, MEMBERS)
    assert found.too_far(log + MAX_COUNTS_AHEAD + 1, log, MEMBERS)
    assert not ClusterClock("n1", None, allowed=0, patience=1).too_far(clock.pack(HOUR), 0, MEMBERS)


def test_a_reading_that_nobody_sound_would_send_is_ignored():
    world = elected()
    leader = world.leader()
    replica, before = world.replicas[leader], dict(world.replicas[leader].skew.heard)
    sender = next(name for name in world.members if name != leader)
    for wall in (-1, 1.5, "noon", 2**63, True, None):
        reply = AppendEntriesReply(sender, leader, replica.raft.term, True, 0, wall_millis=wall)
        replica.receive(reply)
        assert world.trace.of(MessageRejected)[-1].event.reason.startswith(
            "wall_millis should be a whole number"
        )
    replica.receive(AppendEntriesReply("n9", leader, 1, True, 0, cluster="other", wall_millis=7))
    assert replica.skew.heard == before
