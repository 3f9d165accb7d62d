"""A cluster by hand: what it does to messages, disks and time, compared with its own trace."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, Busy, NotLeader, TimedOut
from kvraft.events import (
    EntriesAppended,
    LinkChanged,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStarted,
    MessageDelayed,
    MessageDelivered,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkPartitioned,
)
from kvraft.raft import (
    AppendEntries,
    Configuration,
    RaftOptions,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import HardState
from kvraft.sim import Cluster
from kvraft.sim.cluster import MOMENT
from kvraft.sim.timeline import TICK
from kvraft.viz.sandbox import logs_panel, ring_panel
from kvraft.viz.sandbox.film import Film

PAPER = RaftOptions(pre_vote=False, check_quorum=False)
HASTY = RaftOptions(election_ticks=5, spread_ticks=5, heartbeat_ticks=2, max_batch_bytes=150)


def storm(seed: int, steps: int = 200, *, trace: bool = True) -> Cluster:
    """Return a cluster to which everything has happened that can happen."""
    random = Random(seed)
    cluster = Cluster(3, seed=seed, options=HASTY, latency=(1, 3), trace=trace)
    cluster.loss = 0.05
    for step in range(steps):
        act(cluster, random.randrange(12), random.choice(list(cluster.members)), step, random)
    return cluster


def act(cluster: Cluster, action: int, name: str, step: int, random: Random) -> None:
    """Do one thing, if it can be done."""
    leader = cluster.leader() or name
    try:
        match action:
            case 0:
                cluster.crash(name)
            case 1 | 2:
                cluster.restart(name)
            case 3:
                cluster.partition([name])
            case 4:
                cluster.heal()
            case 5:
                cluster.propose(leader, f"k{step}")
            case 6:
                cluster.truncate_log(name, len(cluster.members[name].applied))
            case 7 if cluster.in_flight:
                cluster.duplicate(id=random.choice(cluster.in_flight).id)
            case 8:
                cluster.deliver(to=name)
            case 9:
                cluster.read(name, step)
            case _:
                cluster.run(random.randint(1, 4))
    except (BadInput, NotLeader, Busy):
        pass  # it is down, or has nothing to deliver, or does not lead: not this time


# ── the whole of it, against its trace ──────────────────────────────────────────────────────────


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6))
def test_every_message_is_sent_once_and_delivered_or_lost_at_most_once(seed):
    cluster = storm(seed)
    open_: dict[int, str] = {}
    groups: dict[str, int] = {}
    down: set[str] = set()
    sender: dict[int, str] = {}
    copies = set()
    for _, who, event in cluster.trace:
        match event:
            case MessageSent():
                assert event.id not in sender, "a number was used twice"
                copy = (who, replace(event, id=0))
                assert who not in down or copy in copies, "said by a member that is down"
                copies.add(copy)
                open_[event.id], sender[event.id] = event.to, who
            case MessageDelivered():
                assert open_.pop(event.id) == who
                assert who not in down
                assert groups.get(sender[event.id]) == groups.get(who), "through a partition"
            case MessageLost():
                assert open_.pop(event.id) == who
            case NetworkPartitioned():
                groups = {n: i for i, group in enumerate(event.groups) for n in group.split()}
            case NetworkHealed():
                groups = {}
            case MemberCrashed():
                down.add(who)
            case MemberStarted():
                down.discard(who)
    assert open_ == {letter.id: letter.message.to for letter in cluster.in_flight}


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 10**6))
def test_the_pictures_show_what_is_there(seed):
    """What the trace tells, folded by the viewer's own code, is the state of the cluster."""
    cluster = storm(seed)
    history = Film(cluster.trace)
    last = len(cluster.trace) - 1
    state = history.at(last)
    for name, member in cluster.members.items():
        shown, raft = state.members[name], member.raft
        assert shown.running == (raft is not None)
        terms = {e.index: e.term for e in member.log.slice(member.log.first_index)}
        cells = {c.index: c.term for c in shown.log if c.index >= member.log.first_index}
        assert cells == dict(list(terms.items())[-64:])
        if raft is not None:
            assert (shown.role, shown.term, shown.leader) == (
                raft.role.value,
                raft.term,
                raft.leader or "",
            )
            assert shown.marks == member.marks
    assert set(state.in_flight) == {letter.id for letter in cluster.in_flight}
    for panel in (ring_panel, logs_panel):
        assert panel(history, last).startswith("<svg")


def test_the_same_seed_is_the_same_history_and_the_trace_does_not_matter():
    one, same, other, dark = storm(5), storm(5), storm(6), storm(5, trace=False)
    assert one.trace.digest() == same.trace.digest() != other.trace.digest()
    assert len(dark.trace) == 0
    assert str(dark) == str(one)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6))
def test_a_restarted_member_has_what_was_on_its_disk_and_nothing_else(seed):
    cluster = storm(seed)
    for name, member in cluster.members.items():
        if member.raft is not None:
            cluster.crash(name)
        state, log, applied = member.hard_state, member.log, len(member.applied)
        assert applied == log.base.index
        assert member.decided == member.reads == member.failed_reads == []
        cluster.restart(name)
        raft = member.raft
        assert (raft.term, raft.vote) == state
        assert raft.log.base == log.base
        assert raft.log.slice(raft.log.first_index) == log.slice(log.first_index)
        assert raft.commit_index == log.base.index


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────


def test_only_what_is_picked_arrives_in_the_order_sent():
    cluster = Cluster(3, options=PAPER)
    cluster.timeout("n1")
    cluster.timeout("n2")
    assert cluster.deliver(kind=RequestVote, to="n3") == 2
    assert [step.event.id for step in cluster.trace.of(MessageDelivered)] == [2, 4]
    assert cluster.members["n3"].hard_state == HardState(1, "n1"), "the first asked first"
    assert [m.to for _, _, m in cluster.find(kind=RequestVoteReply)] == ["n1", "n2"]
    assert cluster.drop(sender="n3", to="n1") == 1
    assert cluster.duplicate(sender="n3") == 1
    assert len(cluster.find(sender="n3", to="n2")) == 2
    with pytest.raises(BadInput, match="no such message is in flight: from n3, to n1"):
        cluster.deliver(sender="n3", to="n1")


def test_by_hand_no_two_inputs_are_at_one_time():
    cluster = Cluster(3, options=PAPER)
    cluster.timeout("n1")
    cluster.settle()
    times = [step.at for step in cluster.trace.of(MessageDelivered)]
    assert times == sorted(set(times))
    assert cluster.now == MOMENT * (1 + len(times))


def test_logs_and_terms_to_begin_with_are_shown_and_used():
    logs = {"n1": [1, 1, 2], "n2": [1]}
    cluster = Cluster(3, options=PAPER, logs=logs, hard_states={"n3": HardState(4, "n2")})
    first = cluster.trace.of(EntriesAppended, who="n1")[0].event
    assert first.terms == (1, 1, 2)
    assert cluster.rafts["n3"].vote == "n2"
    assert cluster.rafts["n1"].term == 2
    one, two = (cluster.rafts[name].log.slice(1, 1) for name in ("n1", "n2"))
    assert one == two, "entries of one index and term are the same"
    cluster.timeout("n2")
    cluster.settle()
    assert cluster.members["n1"].hard_state == HardState(2, None), "its log is more complete"


def test_a_cut_log_is_sent_as_a_snapshot_that_holds_everything_applied():
    cluster = Cluster(3, options=PAPER)
    cluster.timeout("n1")
    cluster.settle()
    cluster.crash("n3")
    for key in "abc":
        cluster.propose("n1", key)
    cluster.settle()
    with pytest.raises(BadInput, match=r"truncated where applied \(1 to 4\), not 5"):
        cluster.truncate_log("n1", 5)
    cluster.truncate_log("n1", 3)
    cluster.restart("n3")
    for _ in range(2):
        cluster.timeout("n1")
        cluster.settle()
    n1, n3 = cluster.members["n1"], cluster.members["n3"]
    assert n3.log.base.index == 3
    assert n3.applied == n1.applied
    assert n3.raft.snapshot == n1.snapshot, "it can send it on"
    cluster.crash("n3")
    assert [e.index for e in n3.applied] == [1, 2, 3]


def test_a_severed_link_carries_nothing_one_way_until_it_is_mended():
    cluster = Cluster(2, options=PAPER)
    cluster.cut_link("n1", "n2")
    cluster.timeout("n1")
    assert not cluster.in_flight
    cluster.timeout("n2")
    cluster.timeout("n2")
    assert cluster.deliver() == 2
    assert cluster.rafts["n1"].vote == "n2"
    assert not cluster.in_flight, "the answer is lost"
    assert cluster.trace[-1].event.reason == "n1 does not reach n2"
    cluster.heal()
    cluster.timeout("n2")
    cluster.settle()
    assert cluster.leader() == "n2"


def test_a_new_member_knows_only_whom_it_is_told():
    cluster = Cluster(3)
    cluster.add("n4", ["n2", "n3"])
    assert cluster.rafts["n4"].configuration == Configuration(("n2", "n3"))
    cluster.timeout("n4")
    assert not cluster.in_flight, "it has no vote"


WRONG = {
    "there is no member called x": lambda c: c.timeout("x"),
    "n2 does not run": lambda c: (c.crash("n2"), c.tick("n2")),
    "n1 runs already": lambda c: c.restart("n1"),
    "there is a member called n3 already": lambda c: c.add("n3"),
    "no such message is in flight: number 7": lambda c: c.deliver(id=7),
    "no such message is in flight: there is none": lambda c: c.drop(),
    r"can be truncated where applied \(none\), not 1": lambda c: c.truncate_log("n1", 1),
    "latency of 3 to 2 ticks": lambda c: Cluster(latency=(3, 2)),
    "cannot be of term 0": lambda c: Cluster(logs={"n1": [0]}),
    "there is no member called y": lambda c: c.partition(["n1"], ["y"]),
}


@pytest.mark.parametrize("says", WRONG)
def test_what_makes_no_sense_is_said(says):
    with pytest.raises(BadInput, match=says):
        WRONG[says](Cluster(3))


# ── by clock ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("latency", [(1, 1), (2, 5)])
def test_messages_take_their_time(latency):
    cluster = Cluster(3, seed=1, latency=latency)
    cluster.run(200)
    sent = {step.event.id: step.at for step in cluster.trace.of(MessageSent)}
    took = [step.at - sent[step.event.id] for step in cluster.trace.of(MessageDelivered)]
    assert {t // TICK for t in took} == set(range(latency[0], latency[1] + 1))
    assert not cluster.trace.of(MessageLost)


def test_loss_is_a_share_of_what_is_sent():
    cluster = Cluster(3, seed=1)
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.loss = 0.25
    before = len(cluster.trace.of(MessageSent))
    cluster.run(2_000)
    sent = len(cluster.trace.of(MessageSent)) - before
    assert 0.2 < len(cluster.trace.of(MessageLost)) / sent < 0.3


def test_waiting_ends_at_once_at_the_limit_or_never():
    cluster = Cluster(3, seed=1)
    assert cluster.run_until(lambda: True) == 0
    with pytest.raises(TimedOut, match="within 3 ticks"):
        cluster.run_until(lambda: False, limit=3)
    assert cluster.now == 3 * TICK
    assert cluster.run_until(lambda: cluster.now == 5 * TICK, limit=2) == 2


def test_heartbeats_come_by_the_clock():
    cluster = Cluster(3, seed=1)
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(10)
    before = len(cluster.trace)
    cluster.run(50)
    appends = cluster.trace[before:].of(MessageSent)
    kinds = [step.event.kind for step in appends if step.event.kind == AppendEntries.__name__]
    assert len(kinds) == 2 * 50 // cluster.options.heartbeat_ticks


def test_a_link_that_is_cut_one_way_and_repaired_is_seen_in_the_trace():
    cluster = Cluster(3)
    cluster.cut_link("n2", "n1")
    cluster.timeout("n1")
    cluster.settle()
    lost = [step.event.reason for step in cluster.trace.of(MessageLost)]
    assert set(lost) == {"n2 does not reach n1"}
    cluster.repair_link("n2", "n1")
    with pytest.raises(BadInput, match="the link from n2 to n1 works"):
        cluster.repair_link("n2", "n1")
    states = [(step.event.sender, step.event.cut) for step in cluster.trace.of(LinkChanged)]
    assert states == [("n2", True), ("n2", False)]
    cluster.timeout("n1")
    cluster.settle()
    assert len(cluster.trace.of(MessageLost)) == len(lost)


def test_a_message_that_is_delayed_comes_later_by_the_clock():
    cluster = Cluster(3, options=RaftOptions(pre_vote=False))
    cluster.timeout("n1")
    assert cluster.delay(4, to="n3") == 1
    cluster.run(3)
    assert [letter.message.to for letter in cluster.find(kind=RequestVote)] == ["n3"]
    (delayed,) = cluster.trace.of(MessageDelayed)
    cluster.run(2)
    assert not cluster.find(kind=RequestVote)
    assert delayed.event.arrives <= cluster.now
    with pytest.raises(BadInput, match="the ticks of a delay must be at least 1"):
        cluster.delay(0)


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────


def paused(*, ticks: bool) -> Cluster:
    """A cluster of which the leader, n1, was paused for as long as it took to elect another."""
    cluster = Cluster(3, seed=4, options=RaftOptions(pre_vote=False))
    cluster.timeout("n1")
    cluster.settle()
    cluster.pause("n1", ticks=ticks)
    cluster.run_until(lambda: cluster.leader() != "n1")
    return cluster


@pytest.mark.parametrize("ticks", [True, False])
def test_a_paused_leader_is_replaced_and_steps_down_when_it_goes_on(ticks):
    cluster = paused(ticks=ticks)
    assert cluster.rafts["n1"].role is Role.LEADER
    assert cluster.rafts["n1"].term == 1
    ticked = cluster.members["n1"].put_off.count(None)
    assert (ticked > 10) == ticks
    cluster.resume("n1")
    cluster.run(5)
    assert cluster.rafts["n1"].role is Role.FOLLOWER
    assert cluster.rafts["n1"].term == cluster.rafts[cluster.leader()].term > 1
    assert [s.event for s in cluster.trace.of(MemberPaused)] == [MemberPaused(ticks)]
    assert len(cluster.trace.of(MemberResumed)) == 1


def test_the_same_pause_gives_the_same_trace():
    assert paused(ticks=True).trace.digest() == paused(ticks=True).trace.digest()


def test_a_paused_member_takes_no_input_and_forgets_its_pause_in_a_crash():
    cluster = paused(ticks=True)
    with pytest.raises(BadInput, match="n1 is paused"):
        cluster.timeout("n1")
    cluster.crash("n1")
    with pytest.raises(BadInput, match="n1 is not paused"):
        cluster.resume("n1")
    cluster.restart("n1")
    cluster.settle()
    assert not cluster.members["n1"].put_off
