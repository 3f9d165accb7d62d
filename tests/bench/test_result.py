"""Ratios come from paired rounds, whatever the machine does; what is written comes back."""

import json
import platform
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvraft.bench import KVRAFT, Result, Row, Sample, Spread
from kvraft.bench.result import facts, figure, grid
from kvraft.cli import cli
from kvraft.errors import BadInput
from kvraft.viz.figures import plot_ratios, ratios_text, ratios_title, save, title_of

COST = Row("put", "µs")
RATE = Row("idle", "simulated s", more_is_better=True)
SYNC = Row("sync", "µs", by_wall=True)
BUFFERED = Row("put, buffered", "µs", peer_row="put")


def result_of(*rounds, **options):
    """A result of rounds that are given as {side: {row: (CPU, wall)}}."""
    measured = tuple(
        {
            side: {row.name: Sample(row, *times) for row, times in rows.items()}
            for side, rows in round.items()
        }
        for round in rounds
    )
    return Result("part", "a title", tuple(rounds[0]), measured, {"python": "3"}, **options)


slow_downs = st.lists(st.floats(0.1, 10), min_size=1, max_size=9)


@given(slow_downs, st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_machine_that_slows_down_changes_no_ratio(slower, mine, theirs):
    result = result_of(
        *(
            {
                KVRAFT: {COST: (mine * by, 9), RATE: (1 / mine / by, 9)},
                "peer": {COST: (theirs * by, 7), RATE: (1 / theirs / by, 7)},
            }
            for by in slower
        )
    )
    for row in (COST, RATE):  # better is less of the one and more of the other
        assert result.ratios("peer", row) == pytest.approx([theirs / mine] * len(slower))


def test_a_ratio_pairs_one_round_with_itself():
    """The ratio of the medians would be 1; in no round was it."""
    result = result_of(
        {KVRAFT: {COST: (1, 1)}, "peer": {COST: (2, 2)}},
        {KVRAFT: {COST: (2, 2)}, "peer": {COST: (8, 8)}},
        {KVRAFT: {COST: (8, 8)}, "peer": {COST: (1, 1)}},
    )
    assert result.ratios("peer", COST) == [2, 4, 1 / 8]
    assert Spread.of(result.ratios("peer", COST)) == Spread(2, 1 / 8, 4)


def test_a_disk_is_compared_by_wall_time_and_all_else_where_it_is_asked_for():
    round = {KVRAFT: {COST: (1, 4), SYNC: (1, 4)}, "peer": {COST: (2, 2), SYNC: (2, 2)}}
    assert result_of(round).ratios("peer", COST) == [2]
    assert result_of(round).ratios("peer", SYNC) == [0.5]
    assert result_of(round, wall=True).ratios("peer", COST) == [0.5]


def test_a_buffered_row_is_compared_with_the_usual_one_of_a_peer_that_has_no_other():
    ours = {COST: (4, 4), BUFFERED: (2, 2)}
    result = result_of({KVRAFT: ours, "peer": {COST: (1, 1)}, "older": ours})
    assert result.ratios("peer", BUFFERED) == [0.5]
    assert result.ratios("older", BUFFERED) == [1]


def test_what_was_too_short_for_the_clock_has_no_ratio():
    result = result_of({KVRAFT: {COST: (0, 0)}, "peer": {COST: (1, 1)}})
    assert result.ratios("peer", COST) == []
    assert result.conclusion("peer") == "Nothing is measured of both kvraft and peer"
    assert "-" in list(result.lines())[-3]


def test_only_what_is_so_in_every_round_is_called_better_or_worse():
    rows = [Row(name, "µs") for name in "abc"]
    peer = dict.fromkeys(rows, (2, 2))
    result = result_of(
        {KVRAFT: dict(zip(rows, [(1, 1), (4, 4), (1, 1)], strict=True)), "peer": peer},
        {KVRAFT: dict(zip(rows, [(1, 1), (4, 4), (4, 4)], strict=True)), "peer": peer},
    )
    assert result.conclusion("peer") == (
        "Against peer, kvraft is better in 1 and worse in 1 of 3 rows; the median ratio is 1.25"
    )


def test_everything_comes_back_from_json():
    result = result_of(
        {KVRAFT: {COST: (1, 4), SYNC: (3, 5), RATE: (1, 1)}, "peer": {COST: (2, 2)}},
        {KVRAFT: {COST: (2, 4), SYNC: (3, 6), RATE: (2, 2)}, "peer": {COST: (1, 2)}},
        wall=True,
    )
    document = json.loads(json.dumps(result.to_dict()))
    assert Result.from_dict(document) == result
    assert document["medians"][KVRAFT] == {"put": 4, "sync": 5.5, "idle": 1.5}
    assert document["ratios"] == {
        "peer": {"put": {"median": 0.5, "low": 0.5, "high": 0.5, "rounds": [0.5, 0.5]}}
    }
    with pytest.raises(BadInput, match="has format 9, not 1"):
        Result.from_dict(document | {"format": 9})


def test_a_report_names_no_host_and_no_directory():
    text = json.dumps(facts())
    assert {"python", "processor", "cores", "date", "system", "kvraft"} == set(facts())
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert "/" not in text.replace("/proc", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.000"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (12345, "12,345")],
)
def test_figures_are_short(value, shown):
    assert figure(value) == shown


def test_a_table_is_aligned():
    assert list(grid(["", "us"], [["long name", "1"], ["x", "1,000"]])) == [
        "              us",
        "long name      1",
        "x          1,000",
    ]


# ── the figure ──────────────────────────────────────────────────────────────────────────────────

DRAWN = result_of(
    {KVRAFT: {COST: (1, 1), SYNC: (1, 1)}, "LevelDB": {COST: (2, 2), SYNC: (0.5, 0.5)}, "old": {}},
    {KVRAFT: {COST: (1, 1), SYNC: (1, 1)}, "LevelDB": {COST: (4, 4)}, "old": {COST: (3, 3)}},
)


def test_a_figure_is_titled_by_what_it_shows():
    drawn = plot_ratios(DRAWN)
    assert title_of(drawn) == ratios_title(DRAWN)
    assert ratios_title(DRAWN) == (
        "part: of 2 rows, kvraft is better than LevelDB in 1 and than old in 1 of 1"
    )
    (axes,) = drawn.axes
    assert [label.get_text() for label in axes.texts] == ["put", "sync"]
    points = {
        line.get_label(): (line.get_marker(), line.get_color())
        for line in axes.lines
        if line.get_marker() not in ("None", "")
    }
    assert set(points) == {"LevelDB", "old"}
    assert len(set(points.values())) == len({mark for mark, _ in points.values()}) == 2


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_figure_says_in_words_what_it_shows(tmp_path, suffix):
    save(plot_ratios(DRAWN), tmp_path / f"figure{suffix}", ratios_text(DRAWN))
    saved = (tmp_path / f"figure{suffix}").read_bytes()
    assert ratios_title(DRAWN).encode() in saved
    assert b"put: 3.00 of LevelDB, 3.00 of old; sync: 0.50 of LevelDB." in saved


def test_without_a_peer_there_is_nothing_to_draw():
    with pytest.raises(BadInput, match="there is nothing to draw: the benchmark has no peer"):
        plot_ratios(result_of({KVRAFT: {COST: (1, 1)}}))


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_writes_and_draws(tmp_path, capsys):
    out, figure_file = tmp_path / "out.json", tmp_path / "out.svg"
    line = f"bench consensus --rounds 2 --records 256 --json {out} --figure {figure_file}"
    assert cli.main(line.split()) == 0
    printed = capsys.readouterr().out
    document = json.loads(out.read_text(encoding="utf-8"))
    result = Result.from_dict(document)
    assert len(result.rounds) == 2
    assert result.sides == (KVRAFT, "loop")
    assert printed.startswith("\n".join(result.lines()))
    assert re.search(r"<title>consensus: of 6 rows", figure_file.read_text(encoding="utf-8"))
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
