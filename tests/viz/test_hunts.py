"""Hunts are the same every time, and are drawn as they ended."""

import pytest

from kvraft.check.bugs import OlderTermsCounted, consensus_bug
from kvraft.check.sweep import hunt
from kvraft.course.exercises.safety import start
from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions
from kvraft.viz.figures import plot_hunts, title_of

HAND = RaftOptions(pre_vote=False, check_quorum=False, max_batch_bytes=1)
SVG = "{http://www.w3.org/2000/svg}"
MODULES = [Raft, OlderTermsCounted, consensus_bug("any log elected")]


# ── hunts ───────────────────────────────────────────────────────────────────────────────────────


def test_a_hunt_is_the_same_every_time_and_spares_the_real_module():
    module = consensus_bug("any log elected")
    found = [hunt(start(module, trace=False), seed, 100) for seed in range(30)]
    assert found == [hunt(start(module), seed, 100) for seed in range(30)]
    assert any(found)
    assert not any(hunt(start(Raft, trace=False), seed, 200) for seed in range(10))
    seed = next(n for n, end in enumerate(found) if end)
    assert hunt(start(module), seed, found[seed] - 1) is None


def test_hunts_are_drawn_as_they_ended():
    figure = plot_hunts({"a": [3, None, 1, None], "b": [None, None, 7, None]}, 10)
    assert title_of(figure) == "Of schedules of 10 events 50% find “a”, 25% find “b”"
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == ["a: 2 of 4", "b: 1 of 4"]
    assert list(lines[0].get_xdata()) == [0, 1, 3, 10]
    assert list(lines[0].get_ydata()) == [0, 25, 50, 50]
    assert "none finds anything" in title_of(plot_hunts({"a": [None]}, 10))
    with pytest.raises(BadInput, match="no schedule was tried"):
        plot_hunts({}, 10)
