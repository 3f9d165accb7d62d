"""A drain has three steps, and a crash may come between any two of them."""

from contextlib import suppress
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvraft.check import Property, Violation, WorldChecker
from kvraft.check.bugs import find_bug
from kvraft.check.raft import watch
from kvraft.errors import BadInput, Busy
from kvraft.events import EntriesAppended, MemberCrashed, MessageSent
from kvraft.raft import AppendEntries, RaftOptions
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import Cluster, DrainStep, World
from kvraft.sim.seat import Seat
from kvraft.sim.timeline import TICK

Careless = find_bug("messages before the save").replica


def elected(seed=1, **kwargs):
    world = World(3, seed=seed, **kwargs)
    world.run_until(lambda: world.leader() is not None)
    world.client("c").put(b"before", b"1")
    world.settle()
    return world


@pytest.mark.parametrize("step", DrainStep)
def test_a_leader_dies_between_two_steps_of_the_drain_that_takes_a_write(step):
    world = elected()
    leader, since = world.leader(), len(world.trace)
    seat, last = world.seats[leader], world.replicas[leader].wal.last_index
    world.crash(leader, after=step)
    ticket = world.client("c").submit({b"k": b"v"})
    world.run_until(lambda: leader not in world.replicas)
    sent = [e.event for e in world.trace[since:].of(MessageSent, who=leader)]
    appends = [event for event in sent if event.kind == "AppendEntries" and event.last]
    assert [event.to for event in appends] == [n for n in world.members if n != leader]
    saved = world.trace[since:].of(EntriesAppended, who=leader)
    assert bool(saved) is (step is DrainStep.SAVE)
    assert not [event for event in sent if event.kind == "WriteReply"]
    assert (seat.cut_short, seat.cut_after) == (1, None)
    world.run_until(lambda: ticket.done)  # the others have it, and one of them leads
    assert world.restart(leader)
    assert world.replicas[leader].wal.last_index == last + (step is DrainStep.SAVE)
    world.settle()
    assert world.replicas[leader].tree.get(b"k") == b"v"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 30), st.sampled_from(DrainStep), st.integers(0, 2))
def test_whoever_dies_between_two_steps_keeps_every_promise(seed, step, who):
    world = World(3, seed=seed)
    checker = WorldChecker(world)
    name = world.members[who]
    world.crash(name, after=step)
    client = world.client("c")
    tickets = [client.submit({b"k%d" % n: b"v"}) for n in range(5)]
    for _ in range(3_000):
        world.step()
        checker.check()
        if name not in world.replicas:
            world.restart(name)
            world.crash(name, after=step)
        if all(ticket.done for ticket in tickets):
            break
    assert world.seats[name].cut_short
    assert world.seats[name].cut_short == len(world.trace.of(MemberCrashed, who=name))


def test_a_message_that_leaves_before_the_save_is_caught_without_any_crash():
    world = World(3, seed=1, replica=Careless)
    checker = WorldChecker(world)

    def checked_step():
        world.step()
        checker.check()
        return False

    with pytest.raises(Violation) as caught:
        world.run_until(checked_step, limit=1_000)
    assert caught.value.property is Property.DURABLE_FIRST


def test_a_message_that_leaves_before_the_save_does_harm_in_a_crash():
    """A member votes, crashes before its vote is saved, and has forgotten it."""
    forgot = set()
    for rule in (Careless, None):
        for seed in range(6):
            world = World(3, seed=seed, **({"replica": rule} if rule else {}))
            for name in world.members:
                world.crash(name, after="begin")
            world.run_until(lambda world=world: len(world.replicas) < 3)
            (dead,) = set(world.members) - set(world.replicas)
            said = [e.event for e in world.trace.of(MessageSent, who=dead)]
            reached = max(
                (event.term for event in said if event.kind.startswith("Request")), default=0
            )
            world.restart(dead)
            if world.replicas[dead].raft.term < reached:
                forgot.add(rule)
    assert forgot == {Careless}


def test_a_pause_stops_a_drain_between_its_steps():
    world = elected()
    leader = world.leader()
    world.client("c").submit({b"k": b"v"})
    world.run_until(lambda: world.seats[leader].draining)
    marks = world.replicas[leader].marks
    world.pause(leader, 60)
    world.run_for(59)
    assert world.seats[leader].draining
    assert world.replicas[leader].marks == marks
    world.run_for(5)
    assert world.replicas[leader].marks.last > marks.last


@pytest.mark.parametrize("slow", ["leader", "follower"])
def test_a_slow_disk_delays_writes_at_the_leader_and_nobody_at_one_follower(slow):
    """Four hops and one sync on the path: a follower's, or the leader's, which reads no replies."""
    world = elected(fastest=1_000, slowest=1_000)
    leader = world.leader()
    name = leader if slow == "leader" else next(n for n in world.members if n != leader)
    world.seats[name].sync_micros = 10_000
    began = world.now
    world.client("c").put(b"k", b"v")
    assert world.now - began == (12_000 if slow == "leader" else 4_500)


def test_a_world_has_not_settled_before_a_drain_has_ended():
    world = elected()
    leader = world.leader()
    ticket = world.client("c").submit({b"k": b"v"})
    world.run_until(lambda: world.seats[leader].draining)
    world.settle()
    assert world.replicas[leader].tree.get(b"k") == b"v"
    assert ticket.done


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", DrainStep)
def test_by_hand_a_follower_dies_before_it_saves_an_entry_or_before_it_answers(step):
    cluster = Cluster(3, options=RaftOptions(pre_vote=False))
    checker = watch(cluster)
    cluster.timeout("n1")
    cluster.settle()
    n3, before = cluster.members["n3"], cluster.members["n3"].log.last_index
    cluster.crash("n3", after=step)
    cluster.tick("n3")  # which gives it nothing to save
    assert n3.raft is not None
    cluster.propose("n1", "x")
    cluster.deliver(kind=AppendEntries, to="n3")
    assert (n3.raft, n3.cut_after) == (None, None)
    assert n3.log.last_index == before + (step is DrainStep.SAVE)
    assert not cluster.find(sender="n3")
    cluster.restart("n3")
    cluster.settle()
    checker.check_everything()


@pytest.mark.parametrize("make", [World, Cluster])
def test_a_crash_comes_after_a_step_that_there_is(make):
    with pytest.raises(BadInput, match="comes after begin or save, not after 'finish'"):
        make(3).crash("n1", after="finish")


# ── drains that are left out ────────────────────────────────────────────────────────────────────


class PlainSeat(Seat):
    """A member that drains after every tick, whether there is anything to do or not."""

    def tick(self):
        self.hand(None)
        self.plan(self.time.now + TICK, self.tick)

    def leaves_nothing(self, replica):
        return False


class PlainReplica(Replica):
    """A member that compares its pins after every drain, whether one may have moved or not."""

    def rest(self):
        self._upkeep._footing = None
        return super().rest()


class PlainWorld(World):
    seat = PlainSeat

    def __init__(self, *members, **options):
        super().__init__(*members, replica=PlainReplica, **options)


TINY = ReplicaOptions(
    memtable_bytes=1_500, segment_bytes=1_000, log_bytes=4_000, retain_bytes=2_000, reserve_bytes=0
)
acts = st.sampled_from(["write", "wait", "crash", "restart", "pause", "full", "room", "transfer"])


def act(world, what, number):
    """Do one thing to ``world``, in the same way whichever seats it has."""
    name = world.members[number % 3]
    if what == "write":
        world.client("c").submit({b"k%d" % (number % 7): b"v" * 200}, timeout=300)
    elif what == "full":
        disk = world.disk(name)
        disk.capacity = sum(disk.size(file) for file in disk.names()) + number * 20
    elif what == "room":
        world.disk(name).capacity = None
    elif what == "restart" and name not in world.replicas:
        world.disk(name).capacity = None
        world.restart(name)
    elif what == "crash" and name in world.replicas:
        world.crash(name)
    elif what == "pause" and name in world.replicas:
        world.pause(name, number * 5)
    elif what == "transfer" and world.leader() is not None:
        with suppress(Busy, BadInput):
            world.transfer(name)
    world.run_for(1 + number * 7 % 60)


WRITES = [("write", number) for number in range(8)]
FULL = [*WRITES, ("full", 0), *WRITES, ("room", 0), ("wait", 3), ("wait", 5)]
"""Long work finds the disk full, and the tick after there is space must plan it again."""


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50), st.lists(st.tuples(acts, st.integers(0, 50)), max_size=25))
@example(2, FULL)
@example(9, FULL)
def test_a_world_that_leaves_out_idle_drains_is_the_world_that_does_not(seed, story):
    traces = []
    for kind in (World, PlainWorld):
        world = kind(3, seed=seed, options=TINY)
        seen = []
        for what, number in story:
            held = list(world.replicas.values())
            act(world, what, number)
            seen += [(r.raft.status(), r.marks) for r in held if r in world.replicas.values()]
        world.run_for(500)
        traces.append(list(world.trace.lines()))
        traces.append([*seen, *((r.raft.status(), r.marks) for r in world.replicas.values())])
    assert traces[:2] == traces[2:]


def test_a_member_that_is_idle_learns_of_its_ticks_when_somebody_looks():
    world = World(5, seed=1)
    world.run_until(lambda: world.leader() is not None)
    world.run_for(1_000)
    held = world.replicas
    ticked = {name: [] for name in held}
    for name, replica in held.items():
        replica.tick = partial(count_tick, ticked[name], replica.tick)
    before = {name: replica.raft.status().elapsed for name, replica in held.items()}
    world.run_for(40)  # four ticks
    assert sum(map(len, ticked.values())) <= 5
    after = {name: replica.raft.status().elapsed for name, replica in held.items()}
    assert any(after[name] == before[name] + 4 for name in held)


def count_tick(ticked, tick):
    ticked.append(1)
    return tick()


def test_what_a_member_sent_in_the_step_in_which_it_failed_is_compared_with_what_it_had_saved():
    """Seed 65344 of the swarm: it saved, sent and stopped, all before a checker could look."""
    world = World(3, seed=1)
    checker = WorldChecker(world)
    world.run_until(lambda: world.leader() is not None)
    world.client("a").put(b"k", b"1")
    checker.check()
    follower = next(name for name in world.members if name != world.leader())
    log = world.replicas[follower].wal
    before = log.last_index
    world.client("a").submit({b"k": b"2"})
    world.run_until(lambda: before < log.last_index in [acknowledged(e) for e in world.in_flight])
    world.crash(follower)
    checker.check()


def acknowledged(envelope):
    """Return the last entry that a message says its sender has saved, 0 if it says nothing."""
    return getattr(envelope.message, "match", 0)
