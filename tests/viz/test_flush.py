"""Pictures of flushes: what they show is what was there, and titles are worked out."""

import re
import xml.etree.ElementTree as ET
from random import Random

import pytest

from kvraft.check.storage import RecordingDisk
from kvraft.errors import BadInput
from kvraft.events import (
    Compacted,
    Flushed,
    Marks,
    SegmentOpened,
    SegmentSealed,
    TableWritten,
    Trace,
    TreeOpened,
)
from kvraft.lsm import Levelled
from kvraft.replica import ReplicaOptions
from kvraft.sim import Gauge, SingleMember, World
from kvraft.viz.figures import plot_calls, plot_paces, plot_pressure, plot_saw_tooth, title_of
from kvraft.viz.panels import FLUSHED, NEEDED, flush_view, storage_at
from kvraft.viz.trace import TraceHistory

SMALL = ReplicaOptions(
    stall_memtables=100,
    memtable_bytes=2_000,
    segment_bytes=900,
    log_bytes=4_000,
    strategy=Levelled(tables=3, level_bytes=9_000, table_bytes=4_000),
)


def there(replica):
    return [(info.number, info.level, info.size) for info in replica.tree.tables]


@pytest.mark.parametrize("seed", range(4))
def test_a_shelf_holds_what_the_member_holds(seed):
    random = Random(seed)
    member = SingleMember(SMALL)
    for number in range(300):
        member.put(b"k%03d" % random.randrange(200), b"%d" % number * 12)
        if number // 50 % 2 and random.random() < 0.8:  # every other while there is no time
            member.work(random.randrange(9))
        if random.random() < 0.02:
            member.crash(random)
        shelf, tree = storage_at(member.trace, len(member.trace) - 1)["n1"], member.replica.tree
        gauge = member.gauge()
        assert len(shelf.frozen) == gauge.waiting
        assert sum(size for size, _ in shelf.frozen) == gauge.frozen
        assert shelf.marks.flushed == gauge.flushed
        assert (shelf.size, shelf.rows) == (gauge.memtable, tree.memtable_rows)
        found = there(member.replica)  # deeper levels by key, which the picture does not know
        assert sorted(shelf.tables) == sorted(found)
        assert [t for t in shelf.tables if not t[1]] == [t for t in found if not t[1]]
    assert member.trace.of(Compacted)
    assert max(level for _, level, _ in there(member.replica)) >= 1


def test_a_flush_between_two_slices_of_a_compaction_does_not_lose_the_size_of_its_result():
    trace = Trace()
    for event in (
        TreeOpened((2, 1), (0, 0), (20, 10)),
        TableWritten(3, 2, 25, "a", "b"),
        TableWritten(4, 1, 40, "c", "c"),
        Flushed(7, 4),
        Compacted((2, 1), (3,), 1, 30, 25, 0),
        Compacted((3,), (3,), 2, 0, 0, 0),
    ):
        trace.file(0, "n1", event)
    assert storage_at(trace, 4)["n1"].tables == [(4, 0, 40), (3, 1, 25)]
    assert storage_at(trace, 5)["n1"].tables == [(4, 0, 40), (3, 2, 25)]


def test_frozen_memtables_are_named_by_where_they_end():
    member = SingleMember(SMALL)
    member.drive([(b"k%d" % n, b"v" * 40) for n in range(140)], slices=0)
    frozen = storage_at(member.trace, len(member.trace) - 1)["n1"].frozen
    assert len(frozen) >= 3
    member.work()
    through = [step.event.through for step in member.trace.of(Flushed)]
    assert [end for _, end in frozen] == through


# ── the view ────────────────────────────────────────────────────────────────────────────────────


def test_the_view_shows_each_members_segments_in_the_colour_of_who_needs_them():
    world = World(3, seed=2, options=SMALL)
    client = world.client("c")
    client.put(b"k", b"v")
    away = next(name for name in world.members if name != world.leader())
    world.crash(away)
    for number in range(70):
        client.put(b"k%03d" % number, b"v" * 40)
    history, last = TraceHistory(world.trace), len(world.trace) - 1
    svg = flush_view(history, last)
    assert svg == flush_view(TraceHistory(world.trace), last)
    root = ET.fromstring(svg)
    fills = [each.get("fill") for each in root.iter("{http://www.w3.org/2000/svg}rect")]
    grey = blue = 0
    for replica in world.replicas.values():
        sealed = [segment for segment in replica.wal.segments if segment.sealed]
        grey += sum(s.high <= replica.tree.flushed.index for s in sealed)
        blue += sum(s.high > replica.tree.flushed.index for s in sealed)
    assert grey > 4
    assert (fills.count(FLUSHED), fills.count(NEEDED)) == (grey, blue)
    label = root.get("aria-label")
    for name, replica in world.replicas.items():
        assert f"{name}: {len(replica.wal.segments)} log segments, flushed through" in label
    assert all(f"{name}: " in label for name in world.members)


@pytest.mark.parametrize(("flushed", "fill"), [(9, NEEDED), (10, FLUSHED), (11, FLUSHED)])
def test_a_segment_is_needed_until_its_last_entry_is_flushed(flushed, fill):
    trace = Trace()
    for event in (
        SegmentOpened(1, 1),
        SegmentSealed(1, 1, 10, 900),
        SegmentOpened(2, 11),
        Marks(1, flushed, 12, 12, 12),
    ):
        trace.file(0, "n1", event)
    svg = flush_view(TraceHistory(trace), 3)
    (found,) = re.findall(r'fill="(#\w+)" stroke="#000000"><title>segment 1: entries 1 to 10', svg)
    assert found == fill


def test_the_view_draws_every_step_within_its_frame():
    member = SingleMember(SMALL)
    member.drive([(b"k%03d" % n, b"v" * 40) for n in range(150)], slices=0.05)
    history = TraceHistory(member.trace)
    for step in range(0, len(member.trace), 23):
        root = ET.fromstring(flush_view(history, step))
        width = float(root.get("width"))
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            right = float(rect.get("x", 0)) + float(rect.get("width"))
            assert 0 <= right <= width, ET.tostring(rect)


# ── the figures ─────────────────────────────────────────────────────────────────────────────────


def test_the_title_of_the_calls_is_their_order():
    member = SingleMember(SMALL, disk=RecordingDisk())
    for number in range(40):
        member.put(b"k%d" % number, b"v" * 40)
    before = len(member.disk.calls)
    member.work()
    calls = member.disk.calls[before:]
    title = title_of(plot_calls(calls))
    found = re.match(
        r"Table synced at call (\d+), manifest synced at call (\d+), log truncated at call (\d+)$",
        title,
    )
    at = [int(number) - 1 for number in found.groups()]
    assert at == sorted(at)
    assert [(calls[n].kind, calls[n].part) for n in at] == [
        ("sync", "table"),
        ("sync", "manifest"),
        ("remove", "log"),
    ]
    drawn = sum(len(points.get_offsets()) for points in plot_calls(calls).axes[0].collections)
    assert drawn == len(calls)  # the directory's syncs, too
    assert title_of(plot_calls(calls[:2])) == "No table, no manifest and no truncation"
    assert title_of(plot_calls(calls[-2:])).startswith("Log truncated at call 1")


def gauge(writes, memtable=0, frozen=0, sealed=0, active=0, waiting=0, flushed=0):
    return Gauge(writes, memtable, frozen, sealed, active, waiting, 0, flushed)


def test_the_title_of_a_saw_tooth_counts_flushes_and_peaks():
    gauges = [
        gauge(1, memtable=1024, active=512),
        gauge(2, memtable=2048, sealed=3072, active=1024),
        gauge(3, frozen=2048, sealed=4096),
        gauge(4, memtable=100, flushed=3),
        gauge(5, memtable=100, flushed=3),
    ]
    figure = plot_saw_tooth(gauges, 2048, 8192)
    assert title_of(figure) == "1 flush: at most 2.0 KiB of memory and 4.0 KiB of log"
    memory, log = figure.axes
    assert memory.get_ylim()[1] > 2
    assert log.get_ylim()[1] > 8
    dotted = [line.get_xdata()[0] for line in memory.lines if line.get_linestyle() == ":"]
    assert dotted == [4]


def test_the_title_of_the_paces_names_the_extremes():
    runs = {
        "1": [gauge(1, sealed=2048), gauge(2, sealed=1024)],
        "1/9": [gauge(1, sealed=2048, waiting=1), gauge(2, sealed=7168, active=1024, waiting=2)],
    }
    title = title_of(plot_paces(runs, 4096))
    assert title == "Log held at the most: 2 KiB at a pace of 1, 8 KiB at 1/9"


def test_the_title_of_pressure_names_the_peaks():
    measured = {"a": [(1, 0.0, 0), (2, 1.0, 1)], "b": [(1, 0.25, 0), (2, 0.5, 0)]}
    assert title_of(plot_pressure(measured)) == "Highest pressure: 1.0 (a), 0.5 (b)"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_calls([]),
        lambda: plot_saw_tooth([], 1, 1),
        lambda: plot_paces({}, 1),
        lambda: plot_pressure({}),
        lambda: plot_pressure({"a": []}),
    ],
)
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(BadInput, match="nothing to draw"):
        draw()
