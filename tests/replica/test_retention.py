"""Who holds which part of the log, case by case, and against brute force."""

from random import Random
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.log_and_tree import waiting_log
from kvraft.raft import FollowerStatus
from kvraft.replica import Pin, Pins, Replica, ReplicaOptions, tree_pin
from kvraft.replica.retention import follower_pins, members_pin, oldest_within_budget
from kvraft.sim import World
from kvraft.wal import Segment


def row(*sizes):
    """Segments of ten entries each, sealed but for the last."""
    return [
        Segment(n, 10 * n + 1, 10 * n + 1, 10 * n + 10, size, n + 1 < len(sizes))
        for n, size in enumerate(sizes)
    ]


def follower(match, *, next=None, state="replicate", snapshot=0, sent=0):
    return FollowerStatus(state, next or match + 1, match, 0, True, snapshot, sent)


def holds_of(followers, base=0, reach=0, far=0):
    return {h.pinned_by: h.needed_from for h in follower_pins(followers, base, reach, far)}


def test_a_segment_may_go_when_nobody_needs_any_of_it_and_it_is_sealed():
    holds = Pins((tree_pin(25), Pin("n2", 18, "")))
    zero, one, two, active = row(1, 1, 1, 1)
    assert [holds.frees(s) for s in (zero, one, two, active)] == [True, False, False, False]
    assert [h.pinned_by for h in holds.of(one)] == ["n2"]
    assert [h.pinned_by for h in holds.of(two)] == ["tree", "n2"]
    assert not Pins((tree_pin(100),)).frees(active)


def test_the_boundaries_are_exact():
    one = row(1, 1, 1)[1]  # 11 … 20
    assert Pins((tree_pin(20),)).frees(one)
    assert not Pins((tree_pin(19),)).frees(one)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 200))
def test_the_budget_reaches_as_far_back_as_whole_sealed_segments_fit(sizes, budget):
    segments = row(*sizes)
    reach = oldest_within_budget(segments, budget)
    kept = [s for s in segments if s.sealed and s.high >= reach]
    assert sum(s.size for s in kept) <= budget
    more = [s for s in segments if s.sealed and s.high < reach]
    if more:
        assert sum(s.size for s in kept) + more[-1].size > budget
        assert reach == more[-1].high + 1


def test_a_follower_holds_what_it_lacks_within_the_budget():
    assert holds_of({"n2": follower(30), "n3": follower(12)}) == {"n2": 31, "n3": 13}
    assert holds_of({"n2": follower(30), "n3": follower(12)}, reach=21) == {"n2": 31, "n3": 21}


def test_one_that_needs_what_is_gone_holds_nothing():
    assert holds_of({"n3": follower(12)}, base=20, reach=31) == {}
    assert holds_of({"n3": follower(20)}, base=20) == {"n3": 21}


def test_one_whose_answers_lag_behind_the_cut_is_not_given_up():
    """It was sent what follows on the cut, and nothing says that it did not get it."""
    assert holds_of({"n3": follower(12, next=40)}, base=20) == {"n3": 21}
    assert holds_of({"n3": follower(12, next=40)}, base=20, reach=31) == {"n3": 31}


def test_one_that_is_probed_has_what_is_on_its_way_until_that_is_known_to_be_lost():
    probed = follower(18, state="probe", sent=20)
    assert holds_of({"n3": probed}, base=20) == {"n3": 21}
    assert holds_of({"n3": probed}, base=21) == {}
    assert holds_of({"n3": follower(18, state="probe")}, base=20) == {}


def test_one_that_has_not_answered_yet_may_need_everything_there_is():
    unknown = follower(0, next=51, state="probe")
    assert holds_of({"n3": unknown}, base=20) == {"n3": 21}
    assert holds_of({"n3": unknown}, base=20, reach=31) == {"n3": 31}
    refused = follower(0, next=5, state="probe")  # it has: next is below what is there
    assert holds_of({"n3": refused}, base=20) == {}


def test_a_snapshot_in_flight_holds_what_follows_it_and_twice_the_budget():
    sending = follower(3, state="snapshot", snapshot=25)
    assert holds_of({"n3": sending}, base=20, reach=41, far=0) == {"snapshot for n3": 26}
    assert holds_of({"n3": sending}, base=20, reach=41, far=31) == {"snapshot for n3": 31}


def test_a_member_that_does_not_lead_keeps_the_same_budget():
    assert members_pin(30, 0).needed_from == 31
    assert members_pin(3, 21).needed_from == 21


def test_an_empty_log_is_held_by_nobody():
    empty = Segment(0, 1, 1, 0, 100, True)
    assert Pins((tree_pin(0),)).frees(empty)


class AddsUp(Replica):
    """Adds up the log that waits each time anew, and compares."""

    seen: ClassVar[set[int]] = set()

    def should_freeze(self, memtable_bytes, log_bytes, waiting):
        assert log_bytes == waiting_log(self.wal.segments, self.tree.flushed.index)
        self.seen.add(log_bytes)
        return super().should_freeze(memtable_bytes, log_bytes, waiting)


@pytest.mark.parametrize("seed", range(3))
def test_the_log_that_waits_for_a_memtable_is_what_adding_it_up_gives(seed):
    options = ReplicaOptions(
        memtable_bytes=2_000, segment_bytes=600, log_bytes=1_500, retain_bytes=1_000
    )
    world, random = World(3, seed=seed, options=options, replica=AddsUp), Random(seed)
    AddsUp.seen.clear()
    world.run_until(lambda: world.leader() is not None)
    client = world.client("c")
    for number in range(40):
        client.submit({b"%d" % (number % 5): b"v" * random.choice([10, 200])})
        name = random.choice(world.members)
        if number % 8 == 7 and name in world.replicas:
            world.crash(name)
        world.run_for(random.choice([20, 200]))
        for down in [name for name in world.members if name not in world.replicas]:
            world.restart(down)
    assert len(AddsUp.seen) > 3
