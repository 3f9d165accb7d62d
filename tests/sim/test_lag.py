"""A follower that is away: what it costs to bring it back is counted right."""

from dataclasses import replace

import pytest

from kvraft.course.exercises.truncation import LIMITS
from kvraft.errors import BadInput
from kvraft.record import entry_size
from kvraft.sim import World, last_follower, measure_catch_up, write_values, write_values_for

WHOLE = replace(LIMITS, retain_bytes=1 << 30)


def test_what_is_written_is_there():
    world = World(3, seed=1)
    written = write_values(world, 30, keys=7)
    write_values_for(world, 50, keys=3)
    world.settle()
    assert len(written) == 7
    assert len(set(written.values())) == 7
    tree = world.replicas[last_follower(world)].tree
    assert all(tree.get(key) is not None for key in written)
    assert world.now >= 50_000


def test_a_follower_does_not_lead():
    world = World(3, seed=1)
    write_values(world, 1)
    first = last_follower(world)
    assert first != world.leader()
    world.crash(first)
    assert last_follower(world) not in (first, world.leader())


def test_with_the_whole_log_it_is_sent_exactly_what_it_missed():
    cost = measure_catch_up(300, WHOLE, seed=9, keys=30)
    assert cost.snapshot == 0
    world = World(3, seed=9, options=WHOLE)
    write_values(world, 60, keys=30)
    (entry,) = world.replicas[world.leader()].raft.log.slice(50, 50)
    assert cost.missed > 20
    assert cost.entries == cost.sent == cost.missed * entry_size(entry)  # all writes are alike


def test_behind_a_short_log_it_is_sent_a_snapshot_and_what_follows():
    cost = measure_catch_up(800, LIMITS, seed=9, keys=150)
    assert cost.snapshot > 0
    assert cost.sent == cost.entries + cost.snapshot
    assert cost == measure_catch_up(800, LIMITS, seed=9, keys=150)


def test_one_that_was_hardly_away_missed_nothing():
    cost = measure_catch_up(0, LIMITS, keys=5)
    assert (cost.missed, cost.sent) == (0, 0)
    with pytest.raises(BadInput, match="-1 ms"):
        measure_catch_up(-1, LIMITS)
