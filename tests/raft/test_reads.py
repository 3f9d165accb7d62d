"""Linearizable reads: what each waits for, at the leader, at a follower and under a lease."""

from dataclasses import replace

import pytest

from kvraft.errors import BadInput, NotLeader
from kvraft.raft import RaftOptions, ReadIndex, ReadIndexReply, ReadReady, Role
from tests.helpers.raft_member import (
    FIVE,
    PAPER,
    ack,
    append,
    finish,
    lead,
    leader,
    member,
    record,
    refuse,
    round_of,
    ticks,
)

LEASE = RaftOptions(lease_ticks=10, election_ticks=15)


def reading(**keywords):
    """A leader of three whose no-op, entry 1, is committed; round 1 is answered by n2."""
    return leader("n2", **keywords)


# ── at the leader (§8, thesis §6.4) ─────────────────────────────────────────────────────────────


def test_a_read_waits_for_a_majority_to_answer_a_round_begun_after_it():
    raft = reading()
    ticks(raft, 5)  # round 2 begins before the read is asked for
    sent = finish(raft).to("n2")
    raft.read_index(7)
    sent += finish(raft).to("n2")
    assert [m.round for m in sent] == [2, 3]
    ack(raft, "n2", 1, round=2)
    ack(raft, "n3", 1, round=2)
    assert not finish(raft).reads
    ack(raft, "n2", 1, round=3)
    assert finish(raft).reads == [ReadReady(7, 1)]
    ack(raft, "n3", 1, round=3)
    assert not finish(raft).reads


def test_with_five_members_one_answer_is_not_enough_and_two_of_one_are_one():
    raft = leader("n2", "n3", voters=FIVE)
    raft.read_index(7)
    finish(raft)
    ack(raft, "n2", 1, round=2)
    ack(raft, "n2", 1, round=2)
    assert not finish(raft).reads
    ack(raft, "n4", 0, round=2)
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_the_answers_of_learners_do_not_count():
    raft = leader("n2", learners=("n4", "n5"))
    raft.read_index(7)
    finish(raft)
    ack(raft, "n4", 1, round=2)
    ack(raft, "n5", 1, round=2)
    assert not finish(raft).reads


def test_a_refusal_confirms_leadership_too():
    raft = reading()
    raft.read_index(7)
    finish(raft)
    refuse(raft, "n3", 1, (0, 0), round=2)
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_one_round_serves_all_reads_that_gathered():
    raft = reading()
    for token in (1, 2, 3):
        raft.read_index(token)
    assert len(finish(raft).messages) == 2
    ack(raft, "n2", 1, round=2)
    assert finish(raft).reads == [ReadReady(1, 1), ReadReady(2, 1), ReadReady(3, 1)]


def test_a_late_answer_to_an_earlier_round_takes_nothing_back():
    raft = leader("n2", "n3", voters=FIVE)
    raft.read_index(7)
    finish(raft)
    ack(raft, "n2", 1, round=2)
    ack(raft, "n2", 1, round=1)
    ack(raft, "n3", 1, round=2)
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_a_read_is_as_of_the_commit_index_when_it_was_asked_for_not_later():
    raft = reading()
    raft.propose([record(1)])
    raft.read_index(7)
    finish(raft)
    ack(raft, "n2", 2, round=2)
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_a_new_leader_reads_once_its_own_term_has_committed():
    """Before that, more may be committed than it knows."""
    raft = lead(member([1, 1, 1], committed=1))
    raft.read_index(7)
    finish(raft)
    ack(raft, "n2", 3, round=1)
    assert not finish(raft).reads
    ack(raft, "n2", 4, round=1)
    done = finish(raft)
    assert done.reads == [ReadReady(7, 4)]
    assert done.committed[-1].index == 4


def test_reads_fail_when_leadership_is_lost():
    raft = reading()
    raft.read_index(7)
    raft.step(append(term=5, sender="n3"))
    done = finish(raft)
    assert (done.reads, done.failed) == ([], [7])


def test_a_cluster_of_one_reads_by_itself():
    raft = lead(member(voters=("n1",)))
    finish(raft)
    raft.read_index(1)
    assert finish(raft).reads == [ReadReady(1, 1)]


def test_reads_send_no_entries_again():
    raft = reading()
    raft.propose([record(1)])
    assert [len(m.entries) for m in finish(raft).to("n2")] == [1]
    for token in range(5):
        raft.read_index(token)
        (sent,) = finish(raft).to("n2")
        assert not sent.entries


# ── under a lease (thesis §6.4.1) ───────────────────────────────────────────────────────────────


def leased():
    """A leader that sent its first heartbeat at tick 15, and had it answered at once."""
    raft = member(options=LEASE)
    ticks(raft, 15)  # a member keeps quiet at first
    lead(raft)
    assert not raft.lease
    finish(raft)
    ack(raft, "n2", 1)
    finish(raft)
    return raft


def test_under_its_lease_a_leader_serves_a_read_without_asking_anybody():
    raft = leased()
    assert raft.lease
    assert raft.status().lease
    raft.read_index(7)
    done = finish(raft)
    assert (done.reads, done.messages) == ([ReadReady(7, 1)], [])


def test_a_lease_begins_when_the_heartbeat_was_sent_not_when_it_was_answered():
    raft = leased()
    ticks(raft, 4)
    finish(raft)
    ack(raft, "n3", 1, round=1)  # of tick 15, at tick 19
    ticks(raft, 6)
    assert not raft.lease


def test_a_round_that_was_answered_renews_the_lease_and_one_that_was_not_does_not():
    raft = leased()
    ticks(raft, 5)
    finish(raft)
    ack(raft, "n2", 1, round=2)
    ticks(raft, 9)
    assert raft.lease
    ticks(raft, 1)
    finish(raft)
    assert not raft.lease
    raft.read_index(7)
    assert not finish(raft).reads, "without a lease, it asks"


def test_a_new_leader_has_no_lease_before_its_term_has_committed():
    raft = member([1, 1], options=LEASE)
    ticks(raft, 15)
    lead(raft)
    finish(raft)
    ack(raft, "n2", 2)
    assert not raft.lease


def test_who_hands_leadership_over_has_no_lease_any_more():
    """The election that it orders heeds no shield, even if it comes about late."""
    raft = leased()
    raft.transfer_leader("n2")
    assert not raft.lease
    ticks(raft, 15)
    finish(raft)
    ack(raft, "n2", 1, round=2)
    ack(raft, "n2", 1, round=3)
    assert raft.role is Role.LEADER
    assert raft.status().transfer is None
    assert not raft.lease


# ── at a follower (thesis §6.4) ─────────────────────────────────────────────────────────────────


def following(**keywords):
    """A follower of n2 that holds three entries, one of them committed, and asks for a read."""
    raft = member([1, 1, 1], committed=1, **keywords)
    raft.step(append(after=(3, 1), commit=1))
    finish(raft)
    raft.read_index(7)
    (ask,) = finish(raft).messages
    assert (type(ask), ask.to) == (ReadIndex, "n2")
    return raft, ask


def answer(ask, index, **changes):
    reply = ReadIndexReply(ask.to, ask.sender, ask.term, ask.incarnation, ask.token, index)
    return reply._replace(**changes)


def test_a_follower_serves_a_read_once_it_knows_what_the_leader_knew():
    raft, ask = following()
    raft.step(append(after=(3, 1), commit=1))  # a heartbeat is no reason to give it up
    raft.step(answer(ask, 3))
    done = finish(raft)
    assert (done.reads, done.failed) == ([], [])
    assert raft.status().waiting_reads == 1
    raft.step(append(after=(3, 1), commit=2))
    assert not finish(raft).reads
    raft.step(append(after=(3, 1), commit=3))
    done = finish(raft)
    assert done.reads == [ReadReady(7, 3)]
    assert done.committed[-1].index == 3
    raft.step(answer(ask, 3))
    assert not finish(raft).reads, "the answer came twice"


def test_an_answer_to_a_question_from_before_a_crash_is_none():
    """Though it starts with the same random numbers, and asks the same."""
    _, before = following(incarnation=1)
    raft, ask = following(incarnation=2)
    raft.step(answer(before, 1))
    done = finish(raft)
    assert (done.reads, done.failed) == ([], [])
    raft.step(answer(ask, 1))
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_an_answer_that_comes_late_is_none_to_a_later_question_under_the_same_token():
    raft, first = following()
    ticks(raft, PAPER.election_ticks - 1)
    raft.step(append(after=(3, 1), commit=1))  # it still hears its leader
    ticks(raft, 1)
    assert finish(raft).failed == [7]
    raft.read_index(7)
    (second,) = finish(raft).of(ReadIndex)
    raft.step(answer(first, 1))
    assert not finish(raft).reads, "more may be committed by now"
    raft.step(answer(second, 1))
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_a_read_at_a_follower_that_hears_no_more_fails_in_two_election_timeouts():
    """It was removed, or cut off: it has an answer, but never comes so far."""
    raft, ask = following(options=RaftOptions(spread_ticks=1000), seed=3)
    ticks(raft, 14)
    raft.step(answer(ask, 3))
    ticks(raft, 14)
    done = finish(raft)
    assert (done.reads, done.failed) == ([], [])
    ticks(raft, 1)
    assert finish(raft).failed == [7]
    assert raft.status().waiting_reads == 0
    raft.step(append(after=(3, 1), commit=3))
    assert not finish(raft).reads, "it failed already"


def test_a_read_that_waits_at_who_becomes_leader_fails_as_well():
    raft, ask = following(options=PAPER)
    raft.step(answer(ask, 3))
    lead(raft)
    ticks(raft, 15)
    assert finish(raft).failed == [7]


def test_a_read_at_a_leader_that_can_confirm_nothing_fails_in_an_election_timeout():
    """Without check-quorum it would lead, and wait, for ever; others who asked it are told, too."""
    raft = reading(options=PAPER)
    raft.read_index(7)
    raft.step(ReadIndex("n3", "n1", 1, 5, 70))
    finish(raft)
    ticks(raft, 14)
    done = finish(raft)
    assert (done.failed, done.of(ReadIndexReply)) == ([], [])
    ticks(raft, 1)
    done = finish(raft)
    assert done.failed == [7]
    assert done.of(ReadIndexReply) == [ReadIndexReply("n1", "n3", 1, 5, 70, -1)]
    ack(raft, "n2", 1, round=round_of(raft))
    assert not finish(raft).reads


@pytest.mark.parametrize("token", [-1, 2**63, "x", 1.0, True, None])
@pytest.mark.parametrize("role", ["leader", "follower", "alone"])
def test_a_token_is_a_number_that_can_be_written_down(role, token):
    raft = {"leader": reading, "follower": lambda: following()[0], "alone": member}[role]()
    with pytest.raises(BadInput, match="token"):
        raft.read_index(token)
    finish(raft)


def test_a_read_at_a_follower_fails_if_the_leader_leads_no_more():
    raft, ask = following()
    raft.step(answer(ask, -1))
    assert finish(raft).failed == [7]


def test_a_read_at_a_follower_fails_with_its_leader_and_when_no_answer_comes():
    raft, _ = following()
    raft.step(append(after=(3, 1), term=2, sender="n3"))
    assert finish(raft).failed == [7]
    raft, ask = following(options=replace(RaftOptions(), spread_ticks=100), seed=3)
    ticks(raft, 14)
    assert not finish(raft).failed
    ticks(raft, 1)
    assert finish(raft).failed == [7]
    raft.step(answer(ask, 1))
    assert not finish(raft).reads, "too late"


def test_without_a_leader_nobody_can_be_asked():
    with pytest.raises(NotLeader):
        member().read_index(1)


def test_a_leader_answers_a_follower_once_a_round_is_answered():
    raft = leader("n2")
    raft.step(ReadIndex("n3", "n1", 1, 5, 70))
    finish(raft)
    ack(raft, "n2", 1, round=2)
    assert finish(raft).of(ReadIndexReply) == [ReadIndexReply("n1", "n3", 1, 5, 70, 1)]


def test_who_does_not_lead_says_so_at_once_and_so_does_who_leads_no_more():
    raft = member()
    raft.step(ReadIndex("n3", "n1", 0, 5, 70))
    assert finish(raft).of(ReadIndexReply) == [ReadIndexReply("n1", "n3", 0, 5, 70, -1)]
    raft = leader("n2")
    raft.step(ReadIndex("n3", "n1", 1, 5, 70))
    finish(raft)
    raft.step(append(term=4))
    assert finish(raft).of(ReadIndexReply) == [ReadIndexReply("n1", "n3", 1, 5, 70, -1)]
