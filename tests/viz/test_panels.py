"""Panels and lamps against what the cluster itself holds; hunts are the same every time."""

import re
import xml.etree.ElementTree as ET
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check import FIGURE_3, Property, Violation
from kvraft.check.bugs import OlderTermsCounted, consensus_bug
from kvraft.check.raft import watch
from kvraft.check.scenario import load
from kvraft.check.sweep import hunt
from kvraft.check.sweep.hunt import random_event
from kvraft.course.exercises.safety import start
from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions
from kvraft.sim import Cluster
from kvraft.viz.figures import plot_hunts, title_of
from kvraft.viz.panels import Lamps, Moment, moment, panel, panels
from kvraft.viz.trace import TraceHistory

HAND = RaftOptions(pre_vote=False, check_quorum=False, max_batch_bytes=1)
SVG = "{http://www.w3.org/2000/svg}"
MODULES = [Raft, OlderTermsCounted, consensus_bug("any log elected")]


class Ledger:
    """A plain model: what was first applied at each index, by anybody, and who has it on disk."""

    def __init__(self, cluster):
        self.cluster, self.first = cluster, {}

    def look(self):
        for member in self.cluster.members.values():
            for entry in member.applied:
                self.first.setdefault(entry.index, entry.term)

    def holders(self, index):
        logs = [member.log for member in self.cluster.members.values()]
        return sum(log.last_index >= index and log.term(index) == self.first[index] for log in logs)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(MODULES), st.integers(5, 120))
def test_a_panel_shows_what_is_on_the_disks_and_what_was_ever_applied(seed, module, events):
    cluster = Cluster(3, options=HAND, consensus=module)
    random, model = Random(seed), Ledger(cluster)
    for _ in range(events):
        random_event(cluster, random)
        model.look()
    found = panel(moment("now", "", cluster))
    for name, member in cluster.members.items():
        seen = found.state.members[name]
        assert [cell.term for cell in seen.log] == [e.term for e in member.log.slice(1)]
        assert seen.running is (member.raft is not None)
    assert found.ledger == model.first
    assert all(found.holders(index) == model.holders(index) for index in model.first)
    texts = [
        "".join(t.itertext()) for t in ET.fromstring(panels([found.moment])).iter(f"{SVG}text")
    ]
    for index in model.first:
        assert f"{model.holders(index)}/3" in texts


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([*MODULES, consensus_bug("votes twice")]))
def test_lamps_go_out_where_a_checker_of_that_property_alone_would_raise(seed, module):
    cluster = start(module)
    lamps, random = Lamps(cluster), Random(seed)
    for _ in range(120):
        random_event(cluster, random)
    for property in FIGURE_3:
        again, random = start(module), Random(seed)
        watch(again, but=[other for other in Property if other is not property])
        step = None
        for _ in range(120):
            try:
                random_event(again, random)
            except Violation as violation:
                step, what = len(again.trace) - 1, violation.what
                break
        if step is None:
            assert property not in lamps.broken
            assert lamps.at(len(cluster.trace))[property] is None
        else:
            at, violation = lamps.broken[property]
            assert (at, violation.what) == (step, what)
            assert lamps.at(step)[property] is violation
            assert lamps.at(step - 1)[property] is None


def figure_8():
    """The scenario in which a committed entry dies, to its end, under lamps."""
    story = load("figure_8_entry_dies")
    cluster = story.cluster()
    lamps, moments = Lamps(cluster), []
    for line in story.lines:
        if line.text in ("crash s1", "crash s5"):
            moments.append(moment(f"before {line.text}", "So far so good", cluster, lamps))
        line.action(cluster)
    moments.append(moment("at the end", "It died", cluster, lamps))
    return cluster, lamps, moments


def test_figure_8_is_seen_to_lose_an_entry():
    _, lamps, moments = figure_8()
    committed, end = panel(moments[-2]), panel(moments[-1])
    assert committed.ledger == {1: 1, 2: 2}
    assert (committed.holders(2), committed.lost(2)) == (3, False)
    assert end.holders(2) == 1
    assert end.lost(2)
    assert not end.lost(1)
    assert set(lamps.broken) == {Property.LEADER_COMPLETENESS, Property.STATE_MACHINE_SAFETY}
    assert "✗ leader completeness   s5 leads term 5 without entry 2" in str(lamps)
    assert "✓ election safety       holds" in str(lamps)


def test_half_of_an_even_cluster_is_no_majority():
    cluster = Cluster(4, options=HAND, logs={"n1": [1], "n2": [1]})
    half = panel(moment("half", "", cluster))._replace(ledger={1: 1})
    assert (half.holders(1), half.lost(1)) == (2, True)


def test_the_picture_says_it_in_text_and_shape():
    _, _, moments = figure_8()
    picture = panels(moments)
    root = ET.fromstring(picture)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts.count("✓ all properties hold") == len(moments) - 1
    assert texts.count("✗ leader completeness") == 1
    assert texts.count("1/5") == 1
    assert len(re.findall('stroke="#D55E00" stroke-width="3"', picture)) == 1
    assert "at the end: s1 down, log 1 2 4" in root.get("aria-label")
    assert "2 of term 2 on 1 of 5" in root.get("aria-label")
    assert panels(moments) == picture


def test_nothing_is_drawn_outside_and_columns_do_not_overlap():
    _, _, moments = figure_8()
    for across in (1, 2, 5):
        root = ET.fromstring(panels(moments, across=across))
        _, _, wide, high = map(float, root.get("viewBox").split())
        for rect in root.iter(f"{SVG}rect"):
            x, y = float(rect.get("x", 0)), float(rect.get("y", 0))
            assert 0 <= x <= x + float(rect.get("width")) <= wide
            assert 0 <= y <= y + float(rect.get("height")) <= high
            at = x % (wide / across)
            assert at + float(rect.get("width")) <= wide / across or not rect.get("x")
        assert all(float(text.get("y")) <= high for text in root.iter(f"{SVG}text"))


def test_the_view_of_the_lamps_goes_with_the_step():
    cluster, lamps, _ = figure_8()
    history = TraceHistory(cluster.trace)
    step, violation = lamps.broken[Property.LEADER_COMPLETENESS]
    before, after = lamps.view(history, step - 1), lamps.view(history, step)
    assert before.count("✓") == 5
    assert "✗" not in before
    assert after.count("✓") == 4
    assert violation.what in after
    assert "leader completeness is broken" in ET.fromstring(after).get("aria-label")


def test_lamps_leave_a_cluster_as_it_would_be_without_them():
    plain, lit = start(), start()
    Lamps(lit)
    for cluster in (plain, lit):
        random = Random(5)
        for _ in range(150):
            random_event(cluster, random)
    assert plain.trace.digest() == lit.trace.digest()


def test_no_moment_is_nothing_to_draw():
    cluster = Cluster(3)
    with pytest.raises(BadInput, match="no moment was chosen"):
        panels([])
    with pytest.raises(BadInput, match="late: the trace has steps 0 to"):
        panels([Moment("late", "", cluster.trace, len(cluster.trace))])


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
