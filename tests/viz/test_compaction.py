"""Figures of compaction: what they show is what was measured."""

from dataclasses import replace
from random import Random

import pytest

from kvraft.course.exercises.compaction import SITUATIONS
from kvraft.errors import BadInput
from kvraft.lsm import Levelled, Tiered
from kvraft.sim import (
    SMALL_TREE,
    Amplification,
    NoCompaction,
    TreeLoad,
    TreeSample,
    amplification_of,
    random_writes,
    run_load,
)
from kvraft.sim.load import runs_of
from kvraft.viz import figures
from kvraft.viz.figures import png

STRATEGIES = {
    "levelled": Levelled(tables=3, level_bytes=4096, fanout=3, table_bytes=2048),
    "tiered": Tiered(tables=3),
}


def loaded(strategy, count=400):
    load = TreeLoad(replace(SMALL_TREE, memtable_bytes=1024, strategy=strategy))
    for key, value in random_writes(3, count, 120):
        load.write(key, value, slices=2)
    return load


@pytest.fixture(scope="module")
def runs():
    writes = list(random_writes(8, 1200, 300))
    names = {"never": NoCompaction()} | STRATEGIES
    return {
        name: run_load(replace(SMALL_TREE, strategy=each), writes) for name, each in names.items()
    }


def test_a_timeline_draws_each_run_and_each_cost(runs):
    figure = figures.plot_timeline(runs)
    bands, lines = figure.axes[:3], figure.axes[3:]
    for axes, samples in zip(bands, runs.values(), strict=True):
        tops = [path.vertices[:, 1].max() for path in axes.collections[0].get_paths()]
        assert max(tops) == pytest.approx(
            max(sum(size for _, size in sample.runs) / 1024 for sample in samples)
        )
        seen = [sample.runs for sample in samples]
        layouts = [now for now, before in zip(seen, [None, *seen], strict=False) if now != before]
        assert len(tops) == sum(map(len, layouts))
    for axes, cost in zip(lines, Amplification._fields, strict=True):
        assert axes.get_title(loc="left").startswith(cost)
        for line, samples in zip(axes.lines, runs.values(), strict=True):
            assert list(line.get_ydata()) == [getattr(s, cost) for s in samples if s.runs]
    assert f"never: {runs['never'][-1].write:.1f} bytes written" in figures.title_of(figure)
    assert len(png(figure)) > 10_000


def test_costs_are_what_the_samples_say(runs):
    for name, samples in runs.items():
        assert not any(sample.wrong for sample in samples)
        assert amplification_of(samples)[0] == samples[-1].write > 1
        assert [sample.writes for sample in samples] == list(range(20, 1201, 20)), name
    never, levelled, tiered = (amplification_of(samples) for samples in runs.values())
    assert never.write < tiered.write < levelled.write
    assert never.read > max(tiered.read, levelled.read)
    assert never.space > max(tiered.space, levelled.space)


def test_a_sample_counts_every_file_and_only_its_own_reads():
    load = loaded(Tiered(tables=3))
    table_files = {n for n in load.disk.names() if n.endswith(".sst")}
    while len(table_files) <= len(load.tree.tables):  # until a merge has begun to write
        load.write(b"key 0001", b"more" * 20)
        table_files = {n for n in load.disk.names() if n.endswith(".sst")}
    first, again = (load.sample(Random(1)) for _ in range(2))
    assert first == again
    live = sum(info.size for info in load.tree.tables)
    files = sum(map(load.disk.size, table_files))
    alive = sum(len(key) + len(value) for key, value in load.tree.scan())
    assert first.space == pytest.approx(files / alive)
    assert files > live == sum(size for _, size in first.runs)
    assert 1 < first.read <= len(load.tree.tables)


def test_runs_are_levels_and_the_tables_of_level_0():
    assert runs_of(SITUATIONS["B"]) == ((2, 59 * 1024), (1, 51 * 1024), *[(0, 4096)] * 3)


def test_a_triangle_says_who_is_lowest(runs):
    costs = {name: amplification_of(samples) for name, samples in runs.items()}
    title = figures.title_of(figures.plot_triangle(costs))
    assert title.startswith("None is lowest in all three. Lowest write: never; read: ")
    small, large = Amplification(1, 1, 1), Amplification(2, 2, 2)
    figure = figures.plot_triangle({"large": large, "small": small})
    assert figures.title_of(figure) == "small is lowest in all three"
    corners = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_label()[0] != "_"]
    assert corners == [pytest.approx(1), pytest.approx(0.5)]


def test_there_is_something_to_draw_or_it_is_said():
    for plot in (figures.plot_timeline, figures.plot_triangle):
        with pytest.raises(BadInput, match="nothing to draw"):
            plot({})
    for samples in ([], [TreeSample(20, (), 0.0, 0.0, 0.0, 0.0, 0)]):
        with pytest.raises(BadInput, match="nothing to draw"):
            figures.plot_timeline({"one": samples})
