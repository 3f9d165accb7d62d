"""Crashes at every call: the promise is kept, and what breaks it is seen."""

from random import Random

import pytest

from kvraft.check.storage import (
    WORKLOAD,
    CrashOutcome,
    contents_after_each_write,
    crash_during,
    crash_everywhere,
    disk_calls,
)
from kvraft.viz.figures import plot_careless, plot_levels, plot_matrix, title_of
from kvraft.wal import Durability


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("level", Durability)
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_every_crash_of_a_store_leaves_a_prefix_with_all_that_was_durable(level, power, seed):
    random = None if seed is None else Random(seed)
    outcomes = crash_everywhere(durability=level, power=power, random=random)
    assert len(outcomes) == len(disk_calls(durability=level))
    broken = [outcome for outcome in outcomes if not outcome.kept]
    assert not broken
    assert {outcome.found for outcome in outcomes} >= {3, 5}


@pytest.mark.parametrize("part", ["log", "table", "manifest", "directory"])
def test_a_disk_that_only_says_that_it_synced_is_found_out(part):
    outcomes = crash_everywhere(careless=part)
    assert any(outcome.damage or outcome.lost for outcome in outcomes)
    assert not all(outcome.kept for outcome in outcomes)


def test_the_states_of_the_workload_differ_and_deletes_delete():
    past = contents_after_each_write(WORKLOAD)
    assert len(past) == 7
    assert len({tuple(sorted(state.items())) for state in past}) == 7
    assert b"b" in past[3]
    assert b"b" not in past[4]


def test_the_calls_are_those_that_were_made():
    made = disk_calls([{b"a": b"1"}, "sync", {b"b": None}])
    assert [str(call) for call in made] == ["append log", "sync log"] * 2
    assert [call.number for call in made] == [1, 2, 3, 4]
    out = crash_during(4, [{b"a": b"1"}, {b"b": b"2"}])
    assert (out.step, out.acknowledged, out.durable, out.found) == (1, 1, 1, 1)


def outcome(acknowledged, durable, found, damage=""):
    (call,) = disk_calls([{b"a": b"1"}])[:1]
    return CrashOutcome(call, 0, acknowledged, durable, found, damage=damage)


@pytest.mark.parametrize(
    ("acknowledged", "durable", "found", "kept", "lost"),
    [
        (2, 2, 2, True, 0),
        (2, 2, 3, True, 0),
        (2, 1, 1, True, 1),
        (2, 2, 1, False, 1),
        (2, 2, 4, False, 0),
        (2, 0, -1, False, 2),
    ],
)
def test_what_keeps_the_promise(acknowledged, durable, found, kept, lost):
    out = outcome(acknowledged, durable, found)
    assert (out.kept, out.lost) == (kept, lost)


def test_the_figures_say_what_the_outcomes_do():
    assert title_of(plot_matrix([outcome(1, 1, 1)], 2)).endswith("none lost a write that was "
    "acknowledged")  # fmt: skip
    assert "1 lost a write" in title_of(plot_matrix([outcome(1, 1, 1), outcome(1, 1, 0)], 2))
    good, bad = [outcome(1, 1, 1)], [outcome(1, 0, 0)]
    levels = {"SYNC": (good, good), "OS": (good, bad), "BUFFERED": (bad, bad)}
    assert title_of(plot_levels(levels)) == "Whatever fails, SYNC loses nothing"
    parts = {"none": good, "log": [*bad, outcome(1, 1, 0)], "table": good}
    assert title_of(plot_careless(parts)).startswith("1 of 2 kinds")
