"""The panel of levels: the tables that it shows are the tables that there are."""

import re
from dataclasses import replace

import pytest

from kvraft.course.exercises.compaction import SITUATIONS
from kvraft.errors import BadInput
from kvraft.events import Compacted, CompactionStarted, SnapshotInstalled
from kvraft.lsm import Levelled, Tiered
from kvraft.replica import ReplicaOptions
from kvraft.sim import SMALL_TREE, NoCompaction, TreeLoad, World, random_writes, write_values
from kvraft.viz.sandbox import Session, conclusion, levels_panel, tables_picture
from kvraft.viz.sandbox.film import COMPACTION, Film
from kvraft.viz.trace import TreeTables, box_of, tables_at
from tests.viz.sandbox.drawn import faults

STRATEGIES = {
    "levelled": Levelled(tables=3, level_bytes=4096, fanout=3, table_bytes=2048),
    "tiered": Tiered(tables=3),
}


def loaded(strategy, count=400):
    load = TreeLoad(replace(SMALL_TREE, memtable_bytes=1024, strategy=strategy))
    for key, value in random_writes(3, count, 120):
        load.write(key, value, slices=2)
    return load


def boxes(picture):
    """Return the numbers of tables by the style in which they are drawn."""
    found = re.findall(
        r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="[\d.]+" rx="2"'
        r' fill="([^"]*)"([^>]*)>'
        r"<title>table (\d+):",
        picture,
    )
    return {
        int(number): (float(x), float(x) + float(wide), fill, "dasharray" in rest)
        for x, wide, fill, rest, number in found
    }


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_tables_shown_are_those_of_the_tree_after_every_write(strategy):
    load = TreeLoad(replace(SMALL_TREE, memtable_bytes=1024, strategy=strategy))
    tables, taken, compacted = TreeTables(), 0, 0
    for key, value in random_writes(3, 400, 120):
        load.write(key, value, slices=2)
        for _, _, event in load.trace[taken:]:
            tables.take(event)
            compacted += isinstance(event, Compacted)
        taken = len(load.trace)
        shown = [box for _, row in tables.rows() for box in row if box not in tables.dead]
        assert shown == [box_of(info) for info in load.tree.tables]
        files = {int(name[:6]) for name in load.disk.names() if name.endswith(".sst")}
        known = {box.number for box in tables.live + tables.dead}
        assert known <= files
        if not load.tree.has_work:
            assert known == files
    assert compacted > 5


def test_tables_that_are_no_neighbours_in_age_become_as_new_as_the_newest():
    load = loaded(NoCompaction())
    first, _, third, *_ = load.tree.tables
    load.merge([first.number, third.number], level=0)
    shown = tables_at(load.trace, len(load.trace) - 1, "tree").live
    assert shown == [box_of(info) for info in load.tree.tables]


def test_members_have_the_tables_of_their_trees_also_after_restarts_and_snapshots():
    options = ReplicaOptions(
        memtable_bytes=1200, segment_bytes=700, log_bytes=3000, retain_bytes=0, reserve_bytes=0,
        strategy=STRATEGIES["levelled"],
    )  # fmt: skip
    world = World(3, seed=4, options=options)
    for name in world.members:
        write_values(world, 60)
        world.crash(name)
        write_values(world, 120)
        world.restart(name)
        world.settle()
    for name, replica in world.replicas.items():
        shown = tables_at(world.trace, len(world.trace) - 1, name).live
        tables = replica.tree.tables
        assert {box.number for box in shown} == {info.number for info in tables}
        if not world.trace.of(SnapshotInstalled, who=name):
            whole = {(info.number, info.level, info.size) for info in tables}
            assert {(box.number, box.level, box.size) for box in shown} == whole


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_moment_shows_what_is_merged_and_what_came_of_it(strategy):
    trace = loaded(strategy).trace
    film, seen = Film(trace), 0
    for step in range(len(trace)):
        event = trace[step].event
        if not isinstance(event, CompactionStarted | Compacted):
            continue
        picture = levels_panel(film, step)
        drawn, now = boxes(picture), tables_at(trace, step, "tree")
        assert set(drawn) == {box.number for box in now.live + now.dead}
        assert {number for number, box in drawn.items() if box[3]} == {b.number for b in now.dead}
        if isinstance(event, CompactionStarted):
            dark = {number for number, box in drawn.items() if box[2] == "#AEB5C0"}
            assert dark == set(event.inputs)
            assert f"merged into level {event.level}" in picture
        seen += 1
        assert not faults(picture)
        assert conclusion(film, step).lower() == str(now)
    assert seen > 10
    assert len(film.moments[COMPACTION]) > 5


def test_spans_are_drawn_where_the_keys_are():
    drawn = boxes(tables_picture(SITUATIONS["A"], merging=(9, 8), into=1))
    for one in SITUATIONS["A"]:
        for other in SITUATIONS["A"]:
            (left, right, *_), (low, high, *_) = drawn[one.number], drawn[other.number]
            assert one.overlaps(other.start, other.stop) == (left < high and low < right)


def test_a_span_without_an_end_reaches_to_the_edge():
    one, *others = SITUATIONS["A"]
    picture = tables_picture([replace(one, start=b"\xff\x00<", stop=b""), *others])
    assert "table 9: 4,096 bytes, \\xff\\x00&lt; to " in picture
    assert min(right - left for left, right, *_ in boxes(picture).values()) > 5


def test_no_tables_are_a_picture_too_and_a_member_that_is_not_there_is_named():
    assert 'aria-label="tables: none."' in tables_picture([])
    film = Film(World(3, seed=1).trace)
    with pytest.raises(BadInput, match="no member called n9"):
        levels_panel(film, len(film) - 1, "n9")


def test_a_sitting_over_a_tree_jumps_from_pick_to_pick_and_offers_no_election():
    trace = loaded(STRATEGIES["tiered"]).trace
    session = Session(trace, panels=["levels", "timeline"])
    session.take({"act": "next compaction", "seq": 1})
    assert isinstance(trace[session.branch.step].event, CompactionStarted)
    time = session.slots()["time"]
    assert "next compaction" in time
    assert "next election" not in time
