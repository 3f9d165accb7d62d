"""What an owner may count on, and what it cannot get wrong unnoticed (raft/interface.py)."""

import pytest

from kvraft.errors import BadInput, Busy, WrongType
from kvraft.events import AcknowledgedEntriesLost
from kvraft.raft import Configuration, DecidedProposal, ProposalOutcome, RaftOptions, Role
from kvraft.record import Kind, Position
from kvraft.sim import Cluster
from kvraft.sim.member import InMemorySnapshot
from tests.helpers.raft_member import (
    PAPER,
    THREE,
    ack,
    append,
    at,
    finish,
    lead,
    leader,
    member,
    record,
    refuse,
    ticks,
)

# ── rounds of ready and advance ─────────────────────────────────────────────────────────────────


def test_what_was_handed_out_must_be_done_before_more_is():
    """Else what the first round handed out would count as durable, saved or not."""
    raft = lead(member(voters=("n1",)))
    raft.propose([record(1)])
    first = raft.ready()
    assert [entry.index for entry in first.entries] == [2]
    with pytest.raises(BadInput, match="advance"):
        raft.ready()
    assert (raft.durable_index, raft.commit_index) == (1, 1), "nobody said that it was saved"
    raft.advance()
    assert (raft.durable_index, raft.commit_index) == (2, 2)
    assert [entry.index for entry in raft.ready().committed] == [2]


def test_nothing_is_done_that_was_not_handed_out():
    raft = member()
    with pytest.raises(BadInput, match="ready"):
        raft.advance()
    raft.ready()
    raft.advance()
    with pytest.raises(BadInput, match="ready"):
        raft.advance()


def test_input_may_come_while_a_round_is_being_done():
    raft = leader("n2")
    raft.propose([record(1)])
    ready = raft.ready()
    raft.propose([record(2)])
    raft.step(append([9], after=(1, 1), term=9))  # another leader's entry takes the place of both
    raft.advance()
    assert [entry.index for entry in ready.entries] == [2]
    assert raft.durable_index == 1
    assert [entry.term for entry in finish(raft).entries] == [9]
    assert raft.durable_index == 2


# ── fates ───────────────────────────────────────────────────────────────────────────────────────


def test_only_what_was_proposed_has_a_fate():
    """A leader leaves a joint configuration of its own accord: nobody proposed that entry."""
    raft = leader("n2", "n3")
    index = raft.propose_change(["n1", "n2"])
    finish(raft)
    ack(raft, "n2")
    decided = finish(raft).decided
    assert raft.log.last_index == index + 1
    assert raft.status().undecided == 0
    ack(raft, "n2")
    decided += finish(raft).decided
    assert raft.commit_index == index + 1
    assert raft.log.slice(index + 1)[0].record.kind is Kind.CONFIGURATION
    assert decided == [DecidedProposal(index, index, 1, ProposalOutcome.COMMITTED)]


# ── a follower that lost its log ────────────────────────────────────────────────────────────────


def losing(**keywords):
    """A leader of five entries, all of them on n2, and the events that it reports."""
    events = []
    raft = leader("n2", terms=[1] * 4, committed=4, report=events.append, **keywords)
    return raft, events


def lost(events):
    return [event for event in events if isinstance(event, AcknowledgedEntriesLost)]


def test_a_follower_that_lost_what_it_acknowledged_is_reported_once_and_counts_for_nothing_new():
    raft, events = losing()
    for round in (2, 3):
        ticks(raft, 5)
        (sent,) = finish(raft).to("n2")
        assert (sent.prev_index, sent.round) == (5, round)
        refuse(raft, "n2", 5, (0, 0), round=round)
    assert lost(events) == [AcknowledgedEntriesLost("n2", 5, 0)]
    assert raft.status().progress["n2"].lost_entries
    assert "lost its log" in str(raft.status())
    assert at(raft, "n2") == (6, 5), "a majority may rest on what it said"
    raft.propose([record()])
    finish(raft)
    assert raft.commit_index == 5


def test_a_refusal_from_before_the_acknowledgement_is_no_loss():
    raft, events = losing()
    refuse(raft, "n2", 5, (4, 1), round=1)
    refuse(raft, "n2", 3, (2, 1), round=1)
    assert not lost(events)
    assert not raft.status().progress["n2"].lost_entries


def test_who_lost_its_log_does_not_become_a_voter():
    raft, _ = losing()
    raft.propose_change(THREE, ["n4"])
    finish(raft)
    for name in ("n2", "n4"):
        ack(raft, name)
    ticks(raft, 5)
    (sent,) = finish(raft).to("n4")
    refuse(raft, "n4", 6, (0, 0), round=sent.round)
    with pytest.raises(BadInput, match="n4 cannot vote: it lost entries"):
        raft.propose_change([*THREE, "n4"])


def test_in_a_cluster_a_disk_that_was_wiped_is_noticed_by_its_leader():
    cluster = Cluster(3, seed=1)
    cluster.timeout("n1")
    cluster.settle()
    cluster.propose("n1", "x")
    cluster.settle()
    cluster.crash("n3")
    member = cluster.members["n3"]
    member.log.truncate_from(1)
    cluster.restart("n3")
    cluster.run(30)
    (step,) = cluster.trace.of(AcknowledgedEntriesLost)
    assert (step.who, step.event) == ("n1", AcknowledgedEntriesLost("n3", 2, 0))
    assert not cluster.rafts["n3"].log.last_index, "nothing hides it"


def test_who_never_lost_anything_is_never_said_to_have():
    cluster = Cluster(3, seed=1, latency=(1, 9))
    cluster.loss = 0.2
    for n in range(60):
        cluster.run(10)
        name = cluster.leader()
        if name and not n % 3:
            cluster.propose(name, f"k{n}")
        if n % 7 == 5:
            cluster.crash("n2")
            cluster.run(8)
            cluster.restart("n2")
        for letter in cluster.in_flight[::2]:
            cluster.duplicate(id=letter.id)
    assert not cluster.trace.of(AcknowledgedEntriesLost)
    assert cluster.rafts[cluster.leader()].commit_index > 10


# ── options ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [
        {"election_ticks": "x"},
        {"election_ticks": 15.0},
        {"spread_ticks": None},
        {"heartbeat_ticks": True},
        {"max_batch_bytes": 1e6},
        {"window": "16"},
        {"pre_vote": 1},
        {"check_quorum": "no"},
        {"lease_ticks": 2.5},
    ],
    ids=str,
)
def test_options_of_a_wrong_type_are_refused_by_name(options):
    with pytest.raises(WrongType, match=next(iter(options))):
        RaftOptions(**options)


# ── changes of members, and silence ─────────────────────────────────────────────────────────────


def test_a_learner_that_has_fallen_silent_does_not_become_a_voter():
    """It has caught up once; a cluster of one and a dead learner could commit nothing together."""
    raft = lead(member(voters=("n1",)))
    finish(raft)
    raft.propose_change(["n1"], ["n2"])
    finish(raft)
    ack(raft, "n2")
    ticks(raft, 200)
    finish(raft)
    with pytest.raises(Busy, match="n2 cannot vote yet: it has not been heard"):
        raft.propose_change(["n1", "n2"])
    assert raft.role is Role.LEADER
    ack(raft, "n2", round=1)
    raft.propose_change(["n1", "n2"])


def test_an_election_timeout_is_how_long_a_newcomer_may_be_silent():
    raft = leader("n2", "n3", "n4", learners=("n4",))
    ticks(raft, PAPER.election_ticks - 1)
    finish(raft)
    ack(raft, "n2", round=1)
    raft.propose_change([*THREE, "n4"])


def test_no_change_leaves_the_cluster_to_members_that_are_silent():
    """n3 is down.  With n1 and n3 as the only voters, nothing would ever be committed again."""
    raft = leader("n2")
    ticks(raft, 20)
    finish(raft)
    ack(raft, "n2", round=1)
    with pytest.raises(Busy, match="n3 has not been heard"):
        raft.propose_change(["n1", "n3"])
    assert raft.log.last_index == 1
    raft.propose_change(["n1", "n2"])


def test_a_learner_whose_snapshot_is_on_its_way_does_not_become_a_voter():
    raft = leader("n2", terms=[1] * 9, committed=9, learners=("n4",))
    raft.compact(
        10, InMemorySnapshot(Position(10, 2), Configuration(THREE, (), ("n4",)), b"snapshot")
    )
    finish(raft)
    refuse(raft, "n4", 10, (0, 0))
    finish(raft)
    assert raft.status().progress["n4"].state == "snapshot"
    with pytest.raises(Busy, match="n4 cannot vote yet: it holds the log through 0"):
        raft.propose_change([*THREE, "n4"])
