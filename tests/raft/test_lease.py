"""What a lease rests on: who heard a leader lately listens to no candidate, whatever it hears."""

from random import Random

from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Log,
    PreVote,
    PreVoteReply,
    Raft,
    RaftOptions,
    RequestVote,
    RequestVoteReply,
)
from kvraft.record import HardState

OPTIONS = RaftOptions(election_ticks=10, heartbeat_ticks=2, lease_ticks=8)


def follower(ticks=10):
    """n1, which has run for so long and hears from n2, the leader of term 3, now."""
    voters = Configuration(("n1", "n2", "n3"))
    raft = Raft("n1", voters, Log(), HardState(3), random=Random(1), incarnation=1, options=OPTIONS)
    for _ in range(ticks):
        raft.tick()
    raft.step(AppendEntries("n2", "n1", 3, 0, 0, (), 0, 0, 1))
    raft.ready()
    raft.advance()
    return raft


def grants(raft, ask):
    raft.step(ask)
    ready = raft.ready()
    raft.advance()
    replies = [m for m in ready.messages if isinstance(m, RequestVoteReply | PreVoteReply)]
    return any(reply.granted for reply in replies)


def test_a_newer_term_heard_of_by_the_way_does_not_lift_the_shield():
    """A late answer to a leadership of long ago tells n1 of term 9; n2's lease stands for all that.

    n3 stood for election in term 9 before n2 was elected.  If n1 voted for it now, n3 could commit
    a write while n2 still serves reads.
    """
    raft = follower()
    raft.step(AppendEntriesReply("n3", "n1", 9, False, 0))
    assert (raft.term, raft.leader) == (9, None)
    assert not grants(raft, PreVote("n3", "n1", 10, 0, 0))
    assert not grants(raft, RequestVote("n3", "n1", 9, 0, 0)), "of the term that it is in already"
    assert not grants(raft, RequestVote("n3", "n1", 10, 0, 0))


def test_the_shield_is_over_when_no_leader_was_heard_for_an_election_timeout():
    raft = follower()
    for _ in range(9):
        raft.tick()
    assert not grants(raft, RequestVote("n3", "n1", 4, 0, 0))
    raft.tick()
    assert grants(raft, RequestVote("n3", "n1", 4, 0, 0))


def test_an_election_that_the_leader_ordered_heeds_no_shield():
    assert grants(follower(), RequestVote("n3", "n1", 4, 0, 0, transfer=True))


def test_who_was_restarted_keeps_quiet_for_as_long_as_it_may_have_promised():
    voters = Configuration(("n1", "n2", "n3"))
    raft = Raft("n1", voters, Log(), HardState(3), random=Random(1), incarnation=1, options=OPTIONS)
    for _ in range(9):
        raft.tick()
    assert not grants(raft, RequestVote("n3", "n1", 4, 0, 0))
    raft.tick()
    assert grants(raft, RequestVote("n3", "n1", 4, 0, 0))
