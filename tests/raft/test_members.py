"""Members come and go, and leadership is handed over (Raft §6; thesis §3.10, §4)."""

from random import Random

import pytest

from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.events import TransferEnded, TransferStarted
from kvraft.raft import AppendEntries, Configuration, RaftOptions, RequestVote, Role, TimeoutNow
from kvraft.record import HardState, Kind
from tests.helpers.raft_member import (
    FIVE,
    PAPER,
    THREE,
    ack,
    append,
    change,
    finish,
    lead,
    leader,
    member,
    record,
    ticks,
)


def settled(raft, *names):
    """Let these members have everything, until there is nothing new."""
    while True:
        last = raft.log.last_index
        finish(raft)
        for name in names:
            if raft.role is Role.LEADER:
                ack(raft, name, last)
        done = finish(raft)
        if raft.log.last_index == last:
            return done


# ── joint consensus (§6) ────────────────────────────────────────────────────────────────────────


def test_a_change_is_in_force_as_soon_as_it_is_in_the_log_and_is_left_by_itself():
    raft = leader("n2", "n3", "n4", "n5", learners=("n4", "n5"))
    index = raft.propose_change(["n3", "n4", "n5"])
    assert index == raft.log.last_index == raft.configuration_index == 2
    assert raft.configuration == Configuration(("n3", "n4", "n5"), THREE)
    settled(raft, "n2", "n3", "n4", "n5")
    assert raft.configuration == Configuration(("n3", "n4", "n5"))
    assert [entry.record.kind for entry in raft.log.slice(2)] == [Kind.CONFIGURATION] * 2


@pytest.mark.parametrize(
    ("holders", "enough"),
    [
        (["n2", "n3"], False),  # all of the old ones
        (["n4", "n5"], False),  # a majority of the new ones
        (["n3", "n4"], True),  # a majority of either
        (["n2", "n4", "n5"], True),
    ],
)
def test_in_the_middle_of_a_change_both_majorities_must_have_it(holders, enough):
    raft = leader(learners=("n4", "n5"))
    raft.propose_change(["n3", "n4", "n5"])
    finish(raft)
    for name in holders:
        ack(raft, name, 2)
    assert (raft.commit_index == 2) is enough


def test_a_leader_that_is_leaving_counts_for_the_old_members_only():
    raft = leader("n2", "n3")
    raft.propose_change(["n2", "n3"])
    finish(raft)
    ack(raft, "n2", 2)
    assert raft.commit_index == 1, "of the new ones, n2 alone"
    ack(raft, "n3", 2)
    assert raft.commit_index == 2
    finish(raft)
    ack(raft, "n2", 3)
    assert raft.commit_index == 2, "the leader's own copy does not count any more"
    ack(raft, "n3", 3)
    assert raft.commit_index == 3


def test_a_leader_that_left_tells_all_of_it_hands_over_and_follows():
    raft = leader("n2", "n3")
    raft.propose_change(["n2", "n3"])
    finish(raft)
    ack(raft, "n2", 2)
    ack(raft, "n3", 2)
    finish(raft)
    ack(raft, "n3", 3)
    ack(raft, "n2", 3)
    done = finish(raft)
    assert raft.role is Role.FOLLOWER
    assert {m.to for m in done.of(AppendEntries) if m.commit == 3} == {"n2", "n3"}
    assert [m.to for m in done.of(TimeoutNow)] == ["n2"]
    ticks(raft, 100)
    raft.timeout()
    assert (raft.role, finish(raft).messages) == (Role.FOLLOWER, []), "it stands no more"


def test_of_the_members_that_remain_the_most_complete_is_to_lead():
    raft = leader("n2", "n3", "n4", voters=("n1", "n2", "n3", "n4"))
    raft.propose_change(["n2", "n3", "n4"])
    finish(raft)
    for name in ("n2", "n3", "n4"):
        ack(raft, name, 2)
    finish(raft)
    ack(raft, "n4", 3)
    ack(raft, "n3", 3)
    assert finish(raft).of(TimeoutNow)[0].to in ("n3", "n4")


def test_a_change_is_left_when_it_is_committed_not_when_something_else_is():
    raft = leader("n2")
    raft.propose([record()])
    raft.propose_change(["n1", "n2"])
    finish(raft)
    ack(raft, "n2", 2)
    assert raft.commit_index == 2
    assert raft.configuration.joint
    assert raft.log.last_index == 3


def test_a_new_leader_ends_the_change_that_it_finds():
    joint = change(2, 1, ("n1", "n2"), THREE)
    raft = member([1])
    raft.step(AppendEntries("n2", "n1", 1, 1, 1, (joint,), 2, 0, 1))
    finish(raft)
    lead(raft)
    finish(raft)
    with pytest.raises(Busy, match="entry 2 is under way"):
        raft.propose_change(["n1"])
    ack(raft, "n2")
    assert raft.configuration == Configuration(("n1", "n2"))
    assert raft.configuration_index == 4


def test_a_leader_that_becomes_a_learner_leads_no_more():
    raft = leader("n2", "n3")
    raft.propose_change(["n2", "n3"], ["n1"])
    settled(raft, "n2", "n3")
    assert raft.role is Role.FOLLOWER
    assert raft.configuration == Configuration(("n2", "n3"), (), ("n1",))


def test_a_smaller_cluster_commits_what_the_larger_one_could_not():
    """What waits is counted anew: with two voters gone, n2 is a majority."""
    raft = leader(voters=FIVE)
    raft.propose_change(["n1", "n2", "n3"])
    finish(raft)
    for name in ("n2", "n3"):
        ack(raft, name, 2)
    finish(raft)
    assert raft.configuration == Configuration(THREE)
    raft.propose([record()])
    finish(raft)
    ack(raft, "n2", 4)
    assert raft.commit_index == 4


def test_learners_come_and_go_in_one_step():
    raft = leader("n2", "n3")
    raft.propose_change(THREE, ["n4"])
    assert raft.configuration == Configuration(THREE, (), ("n4",))
    done = finish(raft)
    assert {m.to for m in done.messages} == {"n2", "n3", "n4"}
    ack(raft, "n4", 2)
    assert raft.commit_index == 1
    ack(raft, "n2", 2)
    assert raft.commit_index == 2


@pytest.mark.parametrize("waiting", ["final", "joint"])
def test_one_change_at_a_time(waiting):
    raft = leader("n2")
    raft.propose_change(["n1", "n2"] if waiting == "joint" else THREE, ["n4"])
    finish(raft)
    with pytest.raises(Busy, match="entry 2 is under way"):
        raft.propose_change(["n1"])
    settled(raft, "n2")
    raft.propose_change(["n1", "n2"], ["n5"])


def test_no_change_before_the_leader_has_committed_in_its_own_term():
    """Else two leaders may each change one member, and find majorities that do not meet."""
    raft = lead(member([1, 1], committed=2))
    finish(raft)
    with pytest.raises(Busy, match="has committed nothing"):
        raft.propose_change(["n1", "n2"])
    ack(raft, "n2", 3)
    raft.propose_change(["n1", "n2"])


def test_who_is_to_vote_must_have_been_a_learner_and_have_caught_up():
    raft = leader("n2", terms=[1] * 9, committed=9)
    with pytest.raises(BadInput, match="n4 cannot vote before it caught up"):
        raft.propose_change([*THREE, "n4"])
    raft.propose_change(THREE, ["n4"])
    settled(raft, "n2")
    ticks(raft, 5)
    finish(raft)
    ack(raft, "n4", 8)
    with pytest.raises(Busy, match="n4 cannot vote yet: it holds the log through 8"):
        raft.propose_change([*THREE, "n4"])
    ack(raft, "n4")
    raft.propose_change([*THREE, "n4"])


@pytest.mark.parametrize("voters", [[], ["n1", "n1"], [""], THREE, ["n3", "n2", "n1"]])
def test_what_is_no_change(voters):
    raft = leader("n2")
    with pytest.raises(BadInput):
        raft.propose_change(voters)
    assert raft.log.last_index == 1


def test_who_does_not_lead_changes_nothing():
    with pytest.raises(NotLeader):
        member().propose_change(["n1"])


def test_a_configuration_that_is_superseded_is_not_in_force_any_more():
    raft = member([1])
    new = change(2, 2, ("n1", "n2", "n3", "n4"), THREE)
    raft.step(AppendEntries("n2", "n1", 2, 1, 1, (new,), 0, 0, 1))
    finish(raft)
    assert (raft.configuration_index, raft.configuration.joint) == (2, True)
    assert raft.configuration_at(1) == Configuration(THREE)
    raft.step(append([3], after=(1, 1), term=3, sender="n3"))
    assert (raft.configuration_index, raft.configuration) == (0, Configuration(THREE))


def test_a_configuration_in_the_log_is_in_force_after_a_restart():
    """Before anything was heard, it decides whose votes count."""
    raft = member([1])
    new = change(2, 2, ("n1", "n2", "n3", "n4", "n5"))
    raft.step(AppendEntries("n2", "n1", 2, 1, 1, (new,), 2, 0, 1))
    finish(raft)
    again = type(raft)(
        "n1",
        Configuration(THREE),
        raft.log,
        HardState(raft.term, raft.vote),
        random=Random(0),
        incarnation=2,
        committed=2,
    )
    assert again.configuration.voters == FIVE
    again.compact(2)
    assert (again.configuration_index, again.configuration.voters) == (2, FIVE)


def test_who_left_is_sent_the_log_until_it_knows():
    raft = leader("n2", "n3")
    raft.propose_change(["n1", "n2"])
    settled(raft, "n2")
    assert raft.configuration == Configuration(("n1", "n2"))
    ticks(raft, 5)
    assert finish(raft).to("n3")
    ack(raft, "n3", raft.log.last_index, round=1)
    ticks(raft, 5)
    done = finish(raft)
    assert done.to("n2")
    assert not done.to("n3")


def test_who_left_and_never_answers_is_sent_nothing_in_the_end():
    raft = leader("n2")
    raft.propose_change(["n1", "n2"])
    settled(raft, "n2")
    for _ in range(8):
        ticks(raft, 5)
        done = finish(raft)
        ack(raft, "n2")
    assert done.to("n2")
    assert not done.to("n3")


# ── handing over (thesis §3.10) ─────────────────────────────────────────────────────────────────


def test_leadership_passes_at_once_to_who_holds_everything():
    raft = leader("n2")
    raft.transfer_leader("n2")
    assert finish(raft).of(TimeoutNow) == [TimeoutNow("n1", "n2", 1)]


def test_and_to_who_does_not_as_soon_as_it_does():
    raft = leader("n2")
    raft.propose([record()])
    raft.transfer_leader("n2")
    assert not finish(raft).of(TimeoutNow)
    with pytest.raises(Busy, match="n2"):
        raft.propose([record()])
    with pytest.raises(Busy, match="n2"):
        raft.propose_change(["n1", "n2"])
    ack(raft, "n2", 2)
    assert finish(raft).of(TimeoutNow) == [TimeoutNow("n1", "n2", 1)]
    assert raft.status().transfer == "n2"


def test_it_is_given_up_when_the_other_does_not_take_it():
    raft = leader("n2")
    raft.transfer_leader("n2")
    ticks(raft, 14)
    with pytest.raises(Busy):
        raft.propose([record()])
    ticks(raft, 1)
    raft.propose([record()])


def changes(events):
    return [event for event in events if isinstance(event, TransferStarted | TransferEnded)]


def test_it_can_be_called_off():
    events = []
    raft = leader("n2", report=events.append)
    raft.propose([record()])
    raft.transfer_leader("n2")
    raft.cancel_transfer()
    assert changes(events) == [TransferStarted("n2"), TransferEnded("n2", "it was cancelled")]
    assert raft.status().transfer is None
    raft.propose([record()])
    ack(raft, "n2", raft.log.last_index)
    assert not finish(raft).of(TimeoutNow), "n2 holds everything now, but is not asked any more"
    raft.cancel_transfer()  # there is none
    with pytest.raises(NotLeader):
        member().cancel_transfer()


def test_it_ends_when_the_other_does_not_vote_any_more():
    """It was begun while n3, on its way out, still voted."""
    events = []
    raft = leader("n2", "n3", report=events.append)
    raft.propose_change(["n1", "n2"])
    raft.transfer_leader("n3")
    finish(raft)
    ack(raft, "n2", 2)
    assert raft.configuration == Configuration(("n1", "n2"))
    assert raft.status().transfer is None
    assert changes(events)[-1] == TransferEnded("n3", "it is no longer a voter")
    raft.propose([record()])
    ack(raft, "n3", raft.log.last_index)
    assert not finish(raft).of(TimeoutNow)


def leaving(heir):
    """A leader of four that leaves, and hands over to ``heir`` meanwhile; all but n4 kept up."""
    raft = leader("n2", "n3", "n4", voters=("n1", "n2", "n3", "n4"))
    raft.propose_change(["n2", "n3", "n4"])
    finish(raft)
    raft.transfer_leader(heir)
    for name in ("n2", "n3"):
        ack(raft, name, 2)
    done = finish(raft)
    for name in ("n2", "n3"):
        ack(raft, name, 3)
    last = finish(raft)
    last.messages = done.messages + last.messages
    assert raft.commit_index == 3
    return raft, last


def test_who_leaves_hands_over_to_the_one_that_was_asked_for():
    """n2 would do as well, and is named first."""
    raft, done = leaving("n3")
    assert {message.to for message in done.of(TimeoutNow)} == {"n3"}
    assert raft.role is Role.FOLLOWER


def test_who_leaves_waits_for_the_one_that_was_asked_for():
    raft, done = leaving("n4")
    assert not done.of(TimeoutNow)
    assert raft.role is Role.LEADER
    ack(raft, "n4", 2)
    ack(raft, "n4", 3)
    assert [message.to for message in finish(raft).of(TimeoutNow)] == ["n4"]


@pytest.mark.parametrize("end", ["time", "cancelled"])
def test_but_not_for_ever(end):
    raft, _ = leaving("n4")
    if end == "time":
        ticks(raft, PAPER.election_ticks)
    else:
        raft.cancel_transfer()
    assert [message.to for message in finish(raft).of(TimeoutNow)] == ["n2"]
    assert raft.role is Role.FOLLOWER
    ticks(raft, 1)


@pytest.mark.parametrize("to", ["n1", "n4", "n9", "", None, 7, ["n2"]])
def test_leadership_passes_to_another_voter_only(to):
    raft = leader("n2", learners=("n4",))
    with pytest.raises(BadInput):
        raft.transfer_leader(to)
    raft.propose([record()])


def test_who_does_not_lead_has_nothing_to_hand_over():
    with pytest.raises(NotLeader):
        member().transfer_leader("n2")


def test_who_is_told_to_stands_at_once_and_everybody_listens():
    raft = member([1], options=RaftOptions())
    raft.step(append(after=(1, 1)))
    finish(raft)
    raft.step(TimeoutNow("n2", "n1", 1))
    done = finish(raft)
    assert (raft.role, raft.term) == (Role.CANDIDATE, 2)
    assert done.messages == [RequestVote("n1", to, 2, 1, 1, True) for to in ("n2", "n3")]
    other = member([1], options=RaftOptions())
    other.step(append(after=(1, 1)))
    other.step(done.to("n3")[0]._replace(sender="n3", to="n1"))
    assert finish(other).messages[-1].granted


@pytest.mark.parametrize(
    "order", [TimeoutNow("n3", "n1", 2), TimeoutNow("n2", "n1", 1), TimeoutNow("n9", "n1", 2)]
)
def test_only_the_leader_of_this_term_may_tell(order):
    raft = member([1], term=2)
    raft.step(append(after=(1, 1), term=2))
    finish(raft)
    raft.step(order)
    assert (raft.role, raft.term) == (Role.FOLLOWER, 2)


def test_a_learner_is_not_to_be_told():
    raft = member([1], voters=("n2", "n3"), learners=("n1",))
    raft.step(append(after=(1, 1)))
    finish(raft)
    raft.step(TimeoutNow("n2", "n1", 1))
    assert raft.role is Role.FOLLOWER
