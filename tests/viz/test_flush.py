"""Pictures of flushes: what they show is what was there, and titles are worked out."""

import re
from random import Random

import pytest

from kvraft.check.storage import RecordingDisk
from kvraft.errors import BadInput
from kvraft.events import (
    Compacted,
    Flushed,
    MemberStarted,
    TableWritten,
    Trace,
    TreeOpened,
)
from kvraft.lsm import Levelled
from kvraft.replica import ReplicaOptions
from kvraft.sim import Gauge, SingleMember
from kvraft.viz.figures import plot_calls, plot_paces, plot_pressure, plot_saw_tooth, title_of
from kvraft.viz.trace import TraceHistory

SMALL = ReplicaOptions(
    stall_memtables=100,
    memtable_bytes=2_000,
    segment_bytes=900,
    log_bytes=4_000,
    strategy=Levelled(tables=3, level_bytes=9_000, table_bytes=4_000),
)


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


@pytest.mark.parametrize("seed", range(4))
def test_a_state_holds_what_the_member_holds(seed):
    random = Random(seed)
    member = SingleMember(SMALL)
    for number in range(300):
        member.put(b"k%03d" % random.randrange(200), b"%d" % number * 12)
        if number // 50 % 2 and random.random() < 0.8:  # every other while there is no time
            member.work(random.randrange(9))
        if random.random() < 0.02:
            member.crash(random)
        state = TraceHistory(member.trace).at(len(member.trace) - 1).members["n1"]
        tree, gauge = member.replica.tree, member.gauge()
        assert state.waiting == gauge.waiting
        assert state.marks.flushed == gauge.flushed
        assert (state.memtable_size, state.memtable_rows) == (gauge.memtable, tree.memtable_rows)
        shown = {(number, state.levels[number], size) for number, size in state.tables}
        assert shown == {(info.number, info.level, info.size) for info in tree.tables}
    assert member.trace.of(Compacted)
    assert max(info.level for info in member.replica.tree.tables) >= 1


def test_a_flush_between_two_slices_of_a_compaction_does_not_lose_the_size_of_its_result():
    trace = Trace()
    for event in (
        MemberStarted(1, 1, 0, 0),
        TreeOpened((2, 1), (0, 0), (20, 10)),
        TableWritten(3, 2, 25, "a", "b"),
        TableWritten(4, 1, 40, "c", "c"),
        Flushed(7, 4),
        Compacted((2, 1), (3,), 1, 30, 25, 0),
        Compacted((3,), (3,), 2, 0, 0, 0),
    ):
        trace.file(0, "n1", event)
    for step, level in ((5, 1), (6, 2)):
        state = TraceHistory(trace).at(step).members["n1"]
        assert sorted(state.tables) == [(3, 25), (4, 40)]
        assert state.levels == {3: level, 4: 0}


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
