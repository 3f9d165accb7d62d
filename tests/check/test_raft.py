"""The checker of consensus: shown states and messages that break one property each, it names it.

Scenarios and storms show that it lets a sound module pass and catches unsound ones; here the states
are made up, so that each property is seen to break for the reason that it has, and for no other.
"""

from random import Random

import pytest

from kvraft.check import Property, Violation
from kvraft.check.properties import named
from kvraft.check.raft import ObservedMember, RaftChecker, watch
from kvraft.errors import BadInput
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Log,
    PreVote,
    PreVoteReply,
    Raft,
    RaftOptions,
    ReadReady,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import HardState, Position, configuration_record
from kvraft.sim import Cluster, entry_of_term

NAMES = ("n1", "n2", "n3")
WHOLE = Configuration(NAMES)
PAPER = RaftOptions(pre_vote=False, check_quorum=False)


class Show:
    """Three members whose states are what the test says, and a checker that looks at them."""

    def __init__(self, *, but=()):
        self.seen = {}
        for name in NAMES:
            self.put(name, [])
        self.checker = RaftChecker(self.seen.__getitem__, lambda: NAMES, but=but)
        for name in NAMES:
            self.checker.stepped(name)

    def put(
        self,
        name,
        terms,
        *,
        hard=None,
        commit=0,
        role=Role.FOLLOWER,
        durable=None,
        base=None,
        before=WHOLE,
    ):
        """Show ``name`` with a log of ``terms`` (or entries) that is durable, by default whole.

        ``before`` is the configuration from which the member started.
        """
        log = Log(base or Position(0, 0))
        log.append(
            [entry_of_term(term, index) for index, term in enumerate(terms, log.first_index)]
        )
        state = hard or HardState(log.last_term)
        raft = Raft(
            name,
            before,
            log,
            state,
            random=Random(0),
            incarnation=1,
            options=PAPER,
            committed=log.base.index,
        )
        raft._core.commit_index, raft._core.role = max(commit, log.base.index), role
        earlier = self.seen.get(name)
        if earlier is not None and earlier.raft is not None:
            earlier.raft.__dict__.update(raft.__dict__)  # the same member, a moment later
            raft = earlier.raft
        self.seen[name] = ObservedMember(
            raft, state, log, log.last_index if durable is None else durable
        )

    def step(self, name, terms, **how):
        """Show it, and have it checked."""
        self.put(name, terms, **how)
        self.checker.stepped(name)

    def lead(self, name, terms, **how):
        self.step(name, terms, role=Role.LEADER, **how)


def expect(property, says, *steps):
    """Do ``steps``; the last one, and none before it, breaks ``property``."""
    show = Show()
    *before, last = steps
    for step in before:
        step(show)
    with pytest.raises(Violation, match=says) as caught:
        last(show)
    assert caught.value.property == property
    assert caught.value.members
    unwatched = Show(but=list(Property))
    for step in steps:
        step(unwatched)


def test_two_leaders_of_one_term():
    expect(
        Property.ELECTION_SAFETY,
        "n1 and n2 both lead term 1",
        lambda s: s.lead("n1", [1]),
        lambda s: s.lead("n2", [1]),
    )


def test_who_sends_entries_leads():
    expect(
        Property.ELECTION_SAFETY,
        "n1 and n2 both lead term 1",
        lambda s: (s.put("n1", [1]), s.put("n2", [1])),
        lambda s: s.checker.sent(AppendEntries("n1", "n3", 1, 0, 0, (), 0)),
        lambda s: s.checker.sent(AppendEntries("n2", "n3", 1, 0, 0, (), 0)),
    )


def test_a_leader_that_drops_what_it_has():
    expect(
        Property.LEADER_APPEND_ONLY,
        "n1, leader of term 2, drops entries 2 to 3",
        lambda s: s.lead("n1", [1, 1, 2]),
        lambda s: s.lead("n1", [1], hard=HardState(2)),
    )


def test_logs_that_agree_at_an_entry_and_not_before_it():
    expect(
        Property.LOG_MATCHING,
        "entry 3 of term 3 at n2 is .* after term 1, elsewhere .* after term 2",
        lambda s: s.step("n1", [1, 2, 3]),
        lambda s: s.step("n2", [1, 1, 3]),
    )


def test_two_entries_of_one_index_and_term():
    other = entry_of_term(1, 2)
    other = other._replace(record=other.record._replace(value=b"other"))
    expect(
        Property.LOG_MATCHING,
        "entry 2 of term 1 at n2",
        lambda s: s.step("n1", [1, 1]),
        lambda s: s.step("n2", [1, other]),
    )


def held_by_two(show):
    """Entry 2 of term 1 is committed, by n1, held by n1 and n2."""
    show.step("n2", [1, 1])
    show.lead("n1", [1, 1], commit=2)


def test_a_later_leader_that_lacks_a_committed_entry():
    expect(
        Property.LEADER_COMPLETENESS,
        "n3 leads term 2 without entry 2 of term 1",
        held_by_two,
        lambda s: s.lead("n3", [1, 2]),
    )


def test_a_leader_is_looked_at_again_when_something_older_is_committed_late():
    expect(
        Property.LEADER_COMPLETENESS,
        "n3 leads term 2 without entry 2 of term 1",
        lambda s: s.lead("n3", [1, 2]),
        held_by_two,
    )


def test_two_members_that_take_different_entries_for_committed():
    expect(
        Property.STATE_MACHINE_SAFETY,
        "n3 commits entry 2 of term 2, but the one of term 1 is committed",
        held_by_two,
        lambda s: s.step("n3", [1, 2], commit=2),
    )


def test_a_member_that_applies_something_else():
    def applies(show, *entries):
        show.put("n2", [1, 1], commit=2)
        show.seen["n2"] = show.seen["n2"]._replace(applied=entries)
        show.checker.stepped("n2")

    right = (entry_of_term(1, 1), entry_of_term(1, 2))
    expect(
        Property.STATE_MACHINE_SAFETY,
        "n2 applied entry 2 of term 2 as its entry number 2",
        held_by_two,
        lambda s: applies(s, *right),
        lambda s: applies(s, right[0], entry_of_term(2, 2)),
    )
    expect(
        Property.STATE_MACHINE_SAFETY,
        "n2 applied entry 2 of term 1 as its entry number 1",
        held_by_two,
        lambda s: applies(s, right[1]),
    )


def test_a_log_that_begins_behind_another_entry_than_the_committed():
    expect(
        Property.STATE_MACHINE_SAFETY,
        "the log of n3 begins after entry 2 of term 2",
        held_by_two,
        lambda s: s.step("n3", [2], base=Position(2, 2)),
    )


def test_what_is_committed_must_be_on_a_majority_of_disks():
    expect(
        Property.COMMITTED_KEPT,
        "entry 2 of term 1 is only on the disks of n1, out of n1 n2 n3, and n1 commits it",
        lambda s: s.step("n2", [1, 1], durable=1),
        lambda s: s.lead("n1", [1, 1], commit=2),
    )


def configured(index, configuration):
    """An entry of term 1 that changes members."""
    return entry_of_term(1, index)._replace(record=configuration_record(configuration.to_bytes()))


def test_a_joint_configuration_is_committed_by_both_halves_though_it_is_left_at_once():
    joint = Configuration(("n1",), outgoing=NAMES)
    entries = [configured(1, joint), configured(2, joint.leave_joint())]
    expect(
        Property.COMMITTED_KEPT,
        "entry 1 of term 1 is only on the disks of n1, out of n1 n2 n3, and n1 commits it",
        lambda s: s.lead("n1", entries[:1]),
        lambda s: s.lead("n1", entries, commit=1),
    )
    show = Show()
    show.step("n2", entries[:1])
    show.lead("n1", entries, commit=1)


def test_what_is_committed_must_stay_on_a_majority_of_disks():
    expect(
        Property.COMMITTED_KEPT,
        "entry 2 of term 1 is only on the disks of n1, out of n1 n2 n3, and n2 drops it",
        held_by_two,
        lambda s: s.step("n2", [1]),
    )


def test_a_vote_for_two():
    def votes(show, candidate):
        show.put("n3", [], hard=HardState(1, candidate))
        show.checker.sent(RequestVoteReply("n3", candidate, 1, True))

    expect(
        Property.ONE_VOTE,
        "n3 votes for n1 and for n2 in term 1",
        lambda s: votes(s, "n1"),
        lambda s: votes(s, "n2"),
    )


def test_a_candidate_votes_for_itself_and_so_for_nobody_else():
    def stands(show):
        show.put("n1", [], hard=HardState(1, "n1"))
        show.checker.sent(RequestVote("n1", "n2", 1, 0, 0))

    def votes(show):
        show.put("n1", [], hard=HardState(1, "n2"))
        show.checker.sent(RequestVoteReply("n1", "n2", 1, True))

    expect(Property.ONE_VOTE, "n1 votes for n1 and for n2 in term 1", stands, votes)


UNBORNE = {
    "a vote": RequestVoteReply("n3", "n1", 1, True),
    "a candidacy": RequestVote("n3", "n1", 1, 2, 1),
    "a term": RequestVoteReply("n3", "n1", 2, False),
    "an entry": AppendEntriesReply("n3", "n1", 1, True, 1, match=2),
}


@pytest.mark.parametrize("what", UNBORNE)
def test_what_is_said_must_be_on_disk(what):
    expect(
        Property.DURABLE_FIRST,
        "n3 .*but its disk holds",
        lambda s: s.step("n3", [1, 1], durable=1),
        lambda s: s.checker.sent(UNBORNE[what]),
    )


def test_what_is_acknowledged_must_be_what_the_leader_has():
    expect(
        Property.DURABLE_FIRST,
        "n3 acknowledges entry 2 of n1, of term 2, but its disk holds one of term 1",
        lambda s: s.lead("n1", [1, 2]),
        lambda s: s.step("n3", [1, 1], hard=HardState(2)),
        lambda s: s.checker.sent(AppendEntriesReply("n3", "n1", 2, True, 1, match=2)),
    )


def test_a_question_about_a_later_term_needs_no_disk():
    show = Show()
    show.checker.sent(PreVote("n3", "n1", 7, 0, 0))
    show.checker.sent(PreVoteReply("n3", "n1", 7, True))
    with pytest.raises(Violation, match="sends term 7"):
        show.checker.sent(PreVoteReply("n3", "n1", 7, False))


BACK = {
    "the term on the disk of n3 falls from 3 to 2": (
        lambda s: s.step("n3", [], hard=HardState(3)),
        lambda s: s.step("n3", [], hard=HardState(2)),
    ),
    "the vote on the disk of n3 changes from n1 to n2 in term 3": (
        lambda s: s.step("n3", [], hard=HardState(3, "n1")),
        lambda s: s.step("n3", [], hard=HardState(3, "n2")),
    ),
    "the vote on the disk of n3 changes from n1 to None in term 3": (
        lambda s: s.step("n3", [], hard=HardState(3, "n1")),
        lambda s: s.step("n3", [], hard=HardState(3)),
    ),
    "the base of the log of n2 falls from 2 to 1": (
        held_by_two,
        lambda s: s.step("n2", [], base=Position(2, 1)),
        lambda s: s.step("n2", [1], base=Position(1, 1)),
    ),
    "the commit index of n1 falls from 2 to 1": (
        held_by_two,
        lambda s: s.lead("n1", [1, 1], commit=1),
    ),
}


@pytest.mark.parametrize("says", BACK)
def test_nothing_goes_back(says):
    expect(Property.NOTHING_GOES_BACK, says, *BACK[says])


def test_a_restarted_member_may_know_less_to_be_committed():
    show = Show()
    held_by_two(show)
    show.seen["n1"] = show.seen["n1"]._replace(raft=None)
    show.checker.stepped("n1")
    show.step("n1", [1, 1], commit=0)


CHANGES = {
    "n1 changes from members n1 n2 n3 to n1 n2 n4 in one step": [Configuration(("n1", "n2", "n4"))],
    "n1 adopts configuration 2 before 1 is committed": [
        Configuration(("n4",), NAMES),
        Configuration(("n4",)),
    ],
    "n1 changes from members n4, outgoing n1 n2 n3 to n5 in one step": [
        Configuration(("n4",), NAMES),
        Configuration(("n5",)),
    ],
}


@pytest.mark.parametrize("says", CHANGES)
def test_members_change_one_step_at_a_time(says):
    show = Show()
    entries = [
        entry_of_term(1, index)._replace(record=configuration_record(configuration.to_bytes()))
        for index, configuration in enumerate(CHANGES[says], 1)
    ]
    if "before" not in says:
        show.checker.committed = len(entries) - 1
    with pytest.raises(Violation, match=says) as caught:
        show.step("n1", entries)
    assert caught.value.property == Property.ONE_CHANGE


FOUND = {"n1 alone had it": ((), True), "it was on another disk, too": (("n2",), False)}


@pytest.mark.parametrize("says", FOUND)
def test_what_a_crash_hid_of_a_change_is_told_from_disks(says):
    """In the step that it crashed in, n1 saw the first change committed and saved the second.

    Nobody saw the end of that step.  The first one is on a majority of disks, or n1 was wrong.
    """
    others, wrong = FOUND[says]
    show = Show()
    change = (Configuration(("n1", "n2"), NAMES), Configuration(("n1", "n2")))
    first, second = [
        entry_of_term(1, index)._replace(record=configuration_record(configuration.to_bytes()))
        for index, configuration in enumerate(change, 1)
    ]
    for name in ("n1", *others):
        show.step(name, [first])
    show.seen["n1"] = show.seen["n1"]._replace(raft=None)
    if not wrong:
        show.step("n1", [first, second])
        show.step(others[0], [first, second])  # n1 leads again, and sends what it saved
        return
    with pytest.raises(Violation, match="adopts configuration 2 before 1 is committed"):
        show.step("n1", [first, second])


def test_a_crash_hides_nothing_of_a_member_that_did_not_crash():
    show = Show()
    change = (Configuration(("n1", "n2"), NAMES), Configuration(("n1", "n2")))
    first, second = [
        entry_of_term(1, index)._replace(record=configuration_record(configuration.to_bytes()))
        for index, configuration in enumerate(change, 1)
    ]
    show.step("n2", [first])
    with pytest.raises(Violation, match="adopts configuration 2 before 1 is committed"):
        show.step("n1", [first, second])


def test_the_newest_configuration_is_in_force():
    show = Show()
    show.put("n1", [])
    new = Configuration(("n4",), NAMES)
    show.seen["n1"].raft._core.configurations.append((0, new))
    with pytest.raises(Violation, match="n1 uses n4, outgoing n1 n2 n3, but its log has"):
        show.checker.stepped("n1")


def test_a_snapshot_brings_the_members_that_are_committed_there():
    new, later = Configuration(("n1", "n2", "n3"), (), ("n4",)), Configuration(("n1", "n2"), NAMES)

    def taken(members, index=3):
        """Members 1 and 2 commit a change; 3 takes a snapshot through ``index`` with members."""
        show = Show()
        entries = [entry_of_term(1, 1), configured(2, new), entry_of_term(1, 3)]
        show.step("n2", entries)
        show.lead("n1", entries, commit=3)
        show.step("n3", [], base=Position(index, 1), before=members)

    for members, index in ((new, 2), (new, 3), (WHOLE, 1), (later, 4)):
        taken(members, index)
    for members, index in ((WHOLE, 3), (later, 3), (new, 1)):
        with pytest.raises(Violation, match=f"n3 goes by members .* a snapshot through {index}"):
            taken(members, index)


def test_a_read_that_does_not_see_what_was_committed_when_it_was_asked():
    def asked_late(show):
        held_by_two(show)
        show.checker.asked("n3", 7)

    expect(
        Property.FRESH_READS,
        "n3 serves read 7 as of entry 1, but 2 was committed when it was requested",
        asked_late,
        lambda s: s.checker.served("n3", ReadReady(7, 1)),
    )
    show = Show()
    show.checker.asked("n3", 7)
    held_by_two(show)
    show.checker.served("n3", ReadReady(7, 0))


def test_the_last_look_finds_what_no_step_has_touched():
    show = Show()
    show.step("n1", [1, 1, 2])
    log = Log()
    log.append([entry_of_term(1, 1), entry_of_term(2, 2), entry_of_term(2, 3)])
    show.seen["n2"] = show.seen["n2"]._replace(raft=None, log=log, durable=3)
    with pytest.raises(Violation, match="entry 3 of term 2 at n2 is"):
        show.checker.check_everything()


def test_a_watched_cluster_is_checked_from_the_first_step():
    cluster = Cluster(3, options=PAPER)
    checker = watch(cluster)
    cluster.timeout("n1")
    cluster.settle()
    cluster.propose("n1", "x", "y")
    cluster.settle()
    assert checker.committed == cluster.rafts["n1"].commit_index == 3
    assert [checker.ledger[i] for i in (1, 2, 3)] == cluster.members["n1"].applied
    checker.check_everything()
    cluster.rafts["n1"]._core.commit_index = 1
    with pytest.raises(Violation, match="commit index of n1 falls from 3 to 1"):
        cluster.tick("n1")


def test_properties_have_names():
    assert named("one lease") is Property.ONE_LEASE
    with pytest.raises(BadInput, match="there is no property 'luck': election safety, "):
        named("luck")
    assert str(Violation("p", ["n1"], "so")) == "p: so"


def test_a_snapshot_that_was_lost_in_a_crash_leaves_the_log_as_it_was_before():
    """Seed 65381 of the swarm: a member begins anew where its disk does, before the snapshot."""
    show = Show()
    show.step("n1", [], base=Position(5, 1), durable=0)
    show.seen["n1"] = show.seen["n1"]._replace(raft=None)
    show.put("n1", [1, 1])
    show.checker.stepped("n1")
    show.step("n1", [1, 1, 1])


def test_entries_whose_segments_outlived_a_crash_are_not_new():
    """Seed 66215 of the swarm: with them a change that was long over seemed to begin again."""
    show = Show()
    joint = Configuration(("n1", "n3"), outgoing=NAMES)
    end = Configuration(("n1", "n3"))
    entries = [
        entry_of_term(1, 1),
        *(
            entry_of_term(1, index)._replace(record=configuration_record(change.to_bytes()))
            for index, change in ((2, joint), (3, end))
        ),
        entry_of_term(1, 4),
    ]
    for count in (1, 2, 3, 4):
        for name in NAMES:
            show.step(name, entries[:count], commit=count - 1)
    show.step("n1", entries[3:], base=Position(3, 1), commit=3, before=end)
    show.seen["n1"] = show.seen["n1"]._replace(raft=None)
    show.step("n1", entries[1:], base=Position(1, 1), commit=3, before=end)
