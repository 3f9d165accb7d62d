"""Coverage marks: each is noticed where it happens, and not where it nearly does."""

from collections import Counter

import pytest

from kvraft.check.marks import MARKS, MarkSpotter
from kvraft.events import (
    Compacted,
    CompactionStarted,
    ConfigurationChanged,
    EntriesAppended,
    EntriesSuperseded,
    Flushed,
    MemberCrashed,
    MessageDelivered,
    MessageLost,
    MessageSent,
    RoleChanged,
    SnapshotReceived,
    SpaceRecovered,
    TableWritten,
    TransactionDiscarded,
    TransferEnded,
    TransferStarted,
)
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import World

VOTERS = ("n1", "n2", "n3")


def spotted(*steps, lease_ticks=0):
    """Return the marks of a trace of (member, event), each once."""
    options = ReplicaOptions(raft=RaftOptions(lease_ticks=lease_ticks))
    world, tally = World(3, options=options), Counter()
    spotter = MarkSpotter(world, tally)
    for who, event in steps:
        world.report(who, event)
        spotter.check([])
    return {name for name in MARKS if tally[name]}


def role(who, name, term):
    return who, RoleChanged(name, term, "")


def sent(id, kind, sender, to, term, note=""):
    return sender, MessageSent(id, kind, to, term, 0, 0, note)


def delivered(id, to):
    return to, MessageDelivered(id)


def configured(who, index, voters, outgoing=(), learners=()):
    return who, ConfigurationChanged(index, tuple(voters), tuple(outgoing), tuple(learners))


def appended(who, first, *terms):
    many = tuple("" for _ in terms)
    return who, EntriesAppended(0, first, terms, many, many, tuple(True for _ in terms))


LEADS = role("n1", "leader", 2)
JOINT = configured("n1", 9, ("n1", "n2", "n4"), VOTERS)
FINAL = configured("n2", 10, ("n1", "n2", "n4"))
DOWN = MemberCrashed(0)
CHUNK = sent(5, "InstallSnapshot", "n1", "n2", 2, "through 7, bytes to 100 of 300")
RECEIVED = "n2", SnapshotReceived(7, 1, 300)
GO_ON = sent(6, "InstallSnapshotReply", "n2", "n1", 2, "go on at 100")

SHOWN = {
    "split vote": [role("n2", "candidate", 2), role("n3", "candidate", 3)],
    "quorum lost": [LEADS, role("n1", "follower", 2)],
    "vote refused": [sent(1, "RequestVoteReply", "n2", "n1", 2, "refused")],
    "old reply": [
        sent(1, "AppendEntriesReply", "n2", "n1", 1),
        role("n1", "follower", 2),
        delivered(1, "n1"),
    ],
    "reply overtaken": [
        sent(1, "AppendEntriesReply", "n2", "n1", 1),
        sent(2, "AppendEntriesReply", "n2", "n1", 1),
        delivered(2, "n1"),
        delivered(1, "n1"),
    ],
    "log replaced over terms": [appended("n1", 4, 1, 2), ("n1", EntriesSuperseded(4, 5))],
    "transaction undone": [("n1", TransactionDiscarded("c.1#1", 4, 5))],
    "joint left after a crash": [LEADS, JOINT, ("n1", DOWN), FINAL],
    "configuration rolled back": [JOINT, configured("n1", 1, VOTERS)],
    "learner became voter": [
        LEADS,
        configured("n1", 3, VOTERS, learners=["n4"]),
        configured("n1", 5, (*VOTERS, "n4")),
    ],
    "leader removed": [LEADS, configured("n1", 5, ("n2", "n3")), role("n1", "follower", 2)],
    "member rejoined": [
        LEADS,
        configured("n1", 3, (*VOTERS, "n4")),
        configured("n1", 5, VOTERS),
        configured("n1", 7, VOTERS, learners=["n4"]),
    ],
    "transfer done": [LEADS, ("n1", TransferStarted("n2")), role("n2", "leader", 3)],
    "transfer given up": [("n1", TransferEnded("n2", "it was not elected in time"))],
    "snapshot resumed": [CHUNK, ("n2", MessageLost(5, "loss")), GO_ON, RECEIVED],
    "snapshot after a crash": [CHUNK, delivered(5, "n2"), ("n2", DOWN), RECEIVED],
    "table without manifest": [("n1", TableWritten(3, 1, 100, "a", "b")), ("n1", DOWN)],
    "compaction cut short": [("n1", CompactionStarted((1, 2), 1)), ("n1", DOWN)],
    "space returned": [("n1", SpaceRecovered())],
}
"""The shortest trace that shows each mark; leases have none, as no event reports them."""

MISSED = {
    "split vote": [role("n2", "candidate", 2), role("n2", "leader", 2), role("n3", "candidate", 3)],
    "quorum lost": [LEADS, role("n1", "follower", 3)],
    "vote refused": [sent(1, "RequestVoteReply", "n2", "n1", 2, "granted")],
    "old reply": [sent(1, "AppendEntriesReply", "n2", "n1", 1), delivered(1, "n1")],
    "reply overtaken": [
        sent(1, "AppendEntriesReply", "n2", "n1", 1),
        sent(2, "AppendEntriesReply", "n3", "n1", 1),
        delivered(2, "n1"),
        delivered(1, "n1"),
    ],
    "log replaced over terms": [appended("n1", 4, 1, 1), ("n1", EntriesSuperseded(4, 5))],
    "joint left after a crash": [LEADS, JOINT, ("n3", DOWN), FINAL],
    "configuration rolled back": [configured("n1", 1, VOTERS), JOINT],
    "leader removed": [LEADS, configured("n1", 5, ("n1", "n2")), role("n1", "follower", 2)],
    "member rejoined": [
        LEADS,
        configured("n1", 3, (*VOTERS, "n4")),
        configured("n1", 7, VOTERS, learners=["n4"]),
    ],
    "transfer done": [LEADS, ("n1", TransferStarted("n2")), role("n3", "leader", 3)],
    "snapshot resumed": [CHUNK, delivered(5, "n2"), GO_ON, RECEIVED],
    "snapshot after a crash": [CHUNK, delivered(5, "n2"), ("n3", DOWN), RECEIVED],
    "table without manifest": [
        ("n1", TableWritten(3, 1, 100, "a", "b")),
        ("n1", Flushed(7, 3)),
        ("n1", DOWN),
    ],
    "compaction cut short": [
        ("n1", CompactionStarted((1, 2), 1)),
        ("n1", Compacted((1, 2), (3,), 1, 200, 150, 0)),
        ("n1", DOWN),
    ],
}
"""Traces that look like it, and are not."""


def test_every_mark_has_a_trace_that_shows_it():
    leases = {name for name in MARKS if name.startswith("lease")}
    assert set(SHOWN) | leases == set(MARKS)


@pytest.mark.parametrize("name", SHOWN)
def test_a_mark_is_noticed(name):
    assert name in spotted(*SHOWN[name])
    assert name not in spotted(*SHOWN[name][:-1])


@pytest.mark.parametrize("name", MISSED)
def test_what_looks_like_a_mark_is_none(name):
    assert name not in spotted(*MISSED[name])


@pytest.mark.parametrize(
    ("what", "mark"),
    [
        (lambda world, leader, other: world.crash(leader), "lease lost by a restart"),
        (lambda world, leader, other: world.pause(leader, 500), "lease lost by a pause"),
        (lambda world, leader, other: world.transfer(other), "lease lost by a transfer"),
        (lambda world, leader, other: world.crash(other), None),
    ],
)
def test_leases_that_are_lost_are_noticed(what, mark):
    options = ReplicaOptions(raft=RaftOptions(lease_ticks=10))
    world, tally = World(3, seed=1, options=options), Counter()
    spotter = MarkSpotter(world, tally)
    world.stepped = lambda: spotter.check(list(world.members))
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    world.run_until(lambda: world.replicas[leader].raft.lease)
    other = next(name for name in world.members if name != leader)
    what(world, leader, other)
    world.run_for(1_000)
    assert {name for name in MARKS if name.startswith("lease") and tally[name]} == {mark} - {None}
