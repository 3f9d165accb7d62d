"""The checker of truncations: traces made by hand, each one detail off the rule, and real ones."""

import pytest

from kvraft.check import Violation
from kvraft.check.storage import RetentionChecker, RetentionProperty
from kvraft.events import (
    ConfigurationChanged,
    EntriesAppended,
    Flushed,
    LogReset,
    MemberStarted,
    MessageDuplicated,
    MessageSent,
    ProgressChanged,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    Trace,
)

MEMBERS = ("n1", "n2", "n3")
BUDGET = 250


class History:
    """A trace written by hand.  Segments of ten entries and of 100 bytes."""

    def __init__(self):
        self.trace = Trace()
        self.checker = RetentionChecker(self.trace, MEMBERS, BUDGET)
        for name in MEMBERS:
            self.add(name, MemberStarted(0, 1, 0, 0), SegmentOpened(0, 1))

    def add(self, who, *events):
        for event in events:
            self.trace.file(0, who, event)

    def append(self, who, first, last, term=1):
        count = last - first + 1
        text = ("",) * count
        segment = (first - 1) // 10
        self.add(who, EntriesAppended(segment, first, (term,) * count, text, text, (True,) * count))

    def fill(self, who, last, flushed=0):
        """Let a member have a log through ``last``, a multiple of ten, and flush."""
        for first in range(1, last, 10):
            self.append(who, first, first + 9)
            segment = first // 10
            self.add(who, SegmentSealed(segment, first, first + 9, 100))
            self.add(who, SegmentOpened(segment + 1, first + 10))
        if flushed:
            self.add(who, Flushed(flushed, 1))

    def drop(self, who, *segments):
        for segment in segments:
            low = 10 * segment + 1
            self.add(who, SegmentDropped(segment, low, low + 9, 100))
        self.checker.check()

    def snapshot(self, who, to, through):
        note = f"through {through}, bytes to 9 of 99"
        self.add(who, RoleChanged("leader", 1, who))
        self.add(who, ProgressChanged(to, "snapshot", 1, 0))
        self.add(who, MessageSent(1, "InstallSnapshot", to, 1, 0, 0, note))


def all_have(last, flushed=0):
    history = History()
    for name in MEMBERS:
        history.fill(name, last, flushed)
    return history


def found(history, who, *segments):
    with pytest.raises(Violation) as caught:
        history.drop(who, *segments)
    return caught.value.property


def test_what_is_in_tables_and_everywhere_may_go():
    history = all_have(40, flushed=25)
    history.drop("n1", 0, 1)
    assert history.checker.judged == 2
    assert found(history, "n1", 2) is RetentionProperty.TABLES  # 21 … 30, and 25 is flushed


def test_to_the_entry():
    history = all_have(40, flushed=29)
    history.drop("n1", 0, 1)
    assert found(history, "n1", 2) is RetentionProperty.TABLES
    history = all_have(40, flushed=30)
    history.drop("n1", 0, 1, 2)


def test_a_hole_is_found():
    assert found(all_have(40, flushed=40), "n1", 1) is RetentionProperty.KEPT


def behind(last, lacks):
    """n1 and n2 have all through ``last`` and n3 all through ``lacks``."""
    history = History()
    history.fill("n1", last, flushed=last)
    history.fill("n2", last, flushed=last)
    history.fill("n3", lacks)
    return history


def test_what_one_member_lacks_is_kept_within_the_budget_and_no_longer():
    history = behind(40, 10)
    history.drop("n1", 0)
    history.drop("n1", 1)  # 300 bytes from there on: more than the budget
    history = behind(30, 10)
    history.drop("n1", 0)
    assert found(history, "n1", 1) is RetentionProperty.FOLLOWERS  # 200 bytes


def test_what_another_log_holds_there_is_not_the_same_if_its_term_is_another():
    history = behind(30, 10)
    history.append("n3", 11, 20, term=2)
    history.drop("n1", 0)
    assert found(history, "n1", 1) is RetentionProperty.FOLLOWERS


def test_one_that_is_behind_the_log_already_needs_nothing_of_it():
    history = behind(40, 0)
    history.drop("n1", 0)  # 400 bytes: over the budget
    history.append("n1", 41, 41)
    history.drop("n1", 1, 2)


def test_a_member_that_is_no_member_needs_nothing():
    history = behind(20, 0)
    history.add("n1", ConfigurationChanged(5, ("n1", "n2"), (), ()))
    history.drop("n1", 0)
    history = behind(20, 0)
    history.add("n1", ConfigurationChanged(5, ("n1", "n2"), (), ("n3",)))
    assert found(history, "n1", 0) is RetentionProperty.FOLLOWERS


def test_tables_hold_what_a_log_held():
    """And a log that makes place for a snapshot drops all it has, what lies behind it too."""
    history = behind(20, 0)
    history.add(
        "n3", SnapshotInstalled(20, (1,)), SegmentOpened(7, 21), SegmentDropped(0, 1, 30, 30)
    )
    history.add("n3", LogReset(20, 1))
    history.drop("n1", 0, 1)


def test_a_snapshot_on_its_way_holds_what_follows_it_and_twice_the_budget():
    history = behind(60, 0)
    history.snapshot("n1", "n3", 20)
    history.drop("n1", 0, 1)  # the snapshot has it
    assert found(history, "n1", 2) is RetentionProperty.SNAPSHOTS  # 400 bytes, of 500 that may be
    history = behind(80, 0)
    history.snapshot("n1", "n3", 20)
    history.drop("n1", 0, 1, 2)  # 600 bytes
    assert found(history, "n1", 3) is RetentionProperty.SNAPSHOTS
    for over in (ProgressChanged("n3", "replicate", 21, 20), RoleChanged("follower", 2, "n2")):
        history = behind(60, 0)
        history.snapshot("n1", "n3", 20)
        history.drop("n1", 0, 1)
        history.add("n1", over)
        history.drop("n1", 2)


def test_a_snapshot_for_one_that_was_removed_holds_nothing():
    """Its last chunk was made before, and leaves after it."""
    history = behind(60, 0)
    history.snapshot("n1", "n3", 20)
    history.add("n1", ConfigurationChanged(5, ("n1", "n2"), (), ()))
    history.add(
        "n1", MessageSent(2, "InstallSnapshot", "n3", 1, 0, 0, "through 20, bytes to 99 of 99")
    )
    history.drop("n1", 0, 1, 2)


@pytest.mark.parametrize("ended", [True, False])
def test_a_copy_of_a_chunk_is_not_sent_by_the_leader(ended):
    """Seed 65381 of the swarm: the network repeats a chunk after the last one was answered."""
    history = behind(60, 0)
    history.snapshot("n1", "n3", 20)
    history.drop("n1", 0, 1)
    if ended:
        history.add("n1", ProgressChanged("n3", "replicate", 21, 20))
    copy = MessageSent(2, "InstallSnapshot", "n3", 1, 0, 0, "through 10, bytes to 9 of 99")
    history.add("n1", copy)
    history.add("n3", MessageDuplicated(1, 2))
    if ended:
        history.drop("n1", 2)
    else:
        assert found(history, "n1", 2) is RetentionProperty.SNAPSHOTS


def test_one_that_is_sent_a_snapshot_does_not_need_what_is_in_it():
    history = behind(30, 10)
    history.drop("n1", 0)
    history.snapshot("n1", "n3", 20)
    history.drop("n1", 1)


def test_a_segment_whose_size_nobody_told_may_be_large():
    """The power went between its seal and the report of it."""
    history = behind(30, 10)
    history.drop("n1", 0)
    history.add("n1", SegmentOpened(4, 41))  # and segment 3 was never said to be sealed
    history.drop("n1", 1)


def test_a_segment_that_went_unreported_is_not_missed():
    """The disk failed when the removal was to be synced."""
    history = all_have(40, flushed=30)
    history.drop("n1", 0)
    history.add("n1", MemberStarted(1, 21, 30, 40))
    history.drop("n1", 2)
    assert found(history, "n1", 3) is RetentionProperty.TABLES


def test_what_a_crash_took_is_held_no_more():
    history = behind(30, 30)
    history.add("n3", MemberStarted(1, 1, 0, 10))
    history.drop("n1", 0)
    assert found(history, "n1", 1) is RetentionProperty.FOLLOWERS


def test_the_flushed_mark_and_the_log_outlive_a_crash():
    history = all_have(40, flushed=30)
    history.add("n1", MemberStarted(1, 1, 20, 40))
    with pytest.raises(Violation, match="only through 20"):
        history.checker.check()
    history = all_have(40, flushed=30)
    history.add("n1", MemberStarted(1, 32, 30, 40))
    with pytest.raises(Violation, match="a log from 32"):
        history.checker.check()


def test_segments_of_superseded_entries_are_still_there_after_a_crash():
    """A run of the swarm: their successors begin below them, where the new leader's entries do."""
    history = all_have(50, flushed=50)
    history.drop("n1", 0, 1)
    for segment, first in ((5, 13), (6, 22), (7, 31), (8, 41)):
        history.add("n1", SegmentSealed(segment - 1, 0, 0, 100), SegmentOpened(segment, first))
    history.add("n1", MemberStarted(1, 21, 50, 50))
    history.drop("n1", 2, 3, 4)


def test_what_was_found_after_a_crash_counts_though_nobody_told_its_terms():
    """The power went when the entries were synced, before anybody could say so."""
    history = behind(20, 10)
    history.add("n3", MemberStarted(1, 1, 0, 20))
    history.drop("n1", 0, 1)
    history = behind(20, 10)
    history.add("n3", MemberStarted(1, 1, 0, 20))
    history.append("n3", 12, 20, term=9)  # others took their place
    history.drop("n1", 0)
    assert found(history, "n1", 1) is RetentionProperty.FOLLOWERS


@pytest.mark.parametrize("left", ["seen", "unseen", ""])
def test_who_left_and_came_back_is_a_newcomer(left):
    """It may still lack what was dropped before it came back; only a leader knows how far it is.

    A follower may know the others from before that.
    """
    history = all_have(50, flushed=50)
    history.append("n2", 51, 60)
    history.add("n2", SegmentSealed(5, 51, 60, 100), SegmentOpened(6, 61), Flushed(60, 2))
    if left:
        knows = "n2" if left == "seen" else "n1"
        history.add(knows, ConfigurationChanged(52, ("n1", "n2"), (), ()))
    history.add("n1", ConfigurationChanged(65, ("n1", "n2"), (), ("n3",)))
    if left != "unseen":
        history.add("n2", ConfigurationChanged(65, ("n1", "n2"), (), ("n3",)))
    history.drop("n2", 0, 1, 2, 3, 4)
    history.append("n1", 51, 60)
    if left:
        history.drop("n2", 5)
    else:
        assert found(history, "n2", 5) == RetentionProperty.FOLLOWERS
