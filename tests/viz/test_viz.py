"""Pictures are drawn from a trace alone: what they show is compared with what really was there."""

from __future__ import annotations

import base64
import copy
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import events
from kvraft.errors import BadInput
from kvraft.events import (
    Compacted,
    CompactionStarted,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    Flushed,
    LinkChanged,
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MemtableFrozen,
    MessageDelivered,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkLossy,
    NetworkPartitioned,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    TableRemoved,
    TableWritten,
    TicketMoved,
    Trace,
    TraceStep,
    TransactionApplied,
    TransactionDiscarded,
    TreeOpened,
)
from kvraft.replica import ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.viz.sandbox import PANELS, Film
from kvraft.viz.trace import (
    ClusterState,
    EntryState,
    MemberState,
    TraceHistory,
    interesting,
    series,
    story_line,
    take,
    text,
)
from kvraft.viz.trace.state import CHECKPOINT

SMALL = ReplicaOptions(memtable_bytes=1_200, segment_bytes=700)
ODD_KEY = "<&\"]]>'"
# ── traces to look at ───────────────────────────────────────────────────────────────────────────


def told(*steps: tuple[int, str, Event]) -> Trace:
    return Trace(TraceStep(at, who, event) for at, who, event in steps)


def leader(term: int, name: str) -> RoleChanged:
    return RoleChanged("leader", term, name)


def elections() -> Trace:
    """n1 leads 100-400 and crashes; n2 leads from 500, cut off; n3 from 700; n2 hears at 900."""
    return told(
        *((0, name, MemberStarted(0, 1, 0, 0)) for name in ("n1", "n2", "n3")),
        (100, "n1", leader(1, "n1")),
        (110, "n2", RoleChanged("follower", 1, "n1")),
        (400, "n1", MemberCrashed(7)),
        (450, "n2", RoleChanged("candidate", 2, "")),
        (500, "n2", leader(2, "n2")),
        (600, "n1", MemberStarted(1, 1, 0, 0)),
        (700, "n3", leader(3, "n3")),
        (900, "n2", RoleChanged("follower", 3, "n3")),
        (950, "n1", MemberStopped("its disk failed")),
        (1_000, "", NetworkHealed()),
    )


def storage() -> Trace:
    """One member fills two segments, flushes, cuts, crashes and returns."""
    return told(
        (0, "n1", SegmentOpened(1, 1)),
        (0, "n1", MemberStarted(0, 1, 0, 0)),
        (0, "n1", Marks(1, 0, 0, 0, 0)),
        (10, "n1", EntriesAppended(1, 1, (1, 1), ("a", "b"), ("c#1", "c#1"), (False, True))),
        (10, "n1", SegmentSealed(1, 1, 2, 500)),
        (10, "n1", SegmentOpened(2, 3)),
        (20, "n1", TransactionApplied(2, "c#1", 2, 2, 1_000)),
        (20, "n1", Marks(1, 0, 2, 2, 2)),
        (30, "n1", MemtableFrozen(2, 1_000, 2)),
        (35, "n1", TableWritten(1, 2, 640, "a", "b")),
        (40, "n1", Flushed(2, 1)),
        (40, "n1", SegmentDropped(1, 1, 2, 500)),
        (40, "n1", Marks(3, 2, 2, 2, 2)),
        (50, "n1", EntriesAppended(2, 3, (1,), ("d",), ("c#2",), (True,))),
        (55, "n1", TransactionApplied(3, "c#2", 1, 1, 300)),
        (55, "n1", Marks(3, 2, 3, 3, 3)),
        (60, "n1", MemberCrashed(0)),
        (80, "n1", MemberStarted(1, 3, 2, 3)),
        (80, "n1", Marks(3, 2, 2, 2, 3)),
        (90, "n1", TransactionApplied(3, "c#2", 1, 1, 300)),
        (90, "n1", Marks(3, 2, 3, 3, 3)),
    )


def lived() -> World:
    """A world where nearly everything happens: crash, partition, flushes, cuts, a lost tail."""
    world = World(3, seed=1, options=ReplicaOptions(memtable_bytes=800, segment_bytes=900))
    client = world.client("alice")
    for i in range(40):
        client.write([(b"k%d" % i, b"v" * 20), (b"j%d" % i, b"w" * 20)])
    first = world.leader()
    assert first is not None
    world.crash(first)
    for i in range(30):
        client.put(b"%s%d" % (ODD_KEY.encode(), i), b"x" * 30)
    world.restart(first)
    world.run_for(300)
    second = world.leader()
    assert second is not None
    world.partition([second], [name for name in world.members if name != second])
    client.submit([(b"p%d" % i, b"1") for i in range(4)])
    world.run_for(900)
    world.heal()
    world.run_for(600)
    return world


LIVED = lived()
WHOLE = LIVED.trace


@pytest.fixture(scope="module")
def world() -> World:
    return LIVED


@pytest.fixture(scope="module")
def history(world: World) -> TraceHistory:
    return TraceHistory(world.trace)


def samples() -> dict[type[Event], Event]:
    """One event of every kind there is, made from its types, with text that is hard to show."""
    values: dict[str, Any] = {
        "int": 3,
        "str": ODD_KEY,
        "bool": True,
        "tuple[int, ...]": (3, 4),
        "tuple[str, ...]": (ODD_KEY, "b"),
        "tuple[bool, ...]": (False, True),
    }
    return {
        kind: kind(*(values[str(field.type)] for field in fields(kind)))
        for kind in events.KINDS.values()
        if kind is not Event
    }


# ── series ──────────────────────────────────────────────────────────────────────────────────────


def test_who_led_when() -> None:
    assert series.leaderships(elections()) == [
        ("n1", 1, 100, 400),
        ("n2", 2, 500, 900),
        ("n3", 3, 700, 1_000),
    ]
    assert series.downtimes(elections()) == [("n1", 400, 600), ("n1", 950, 1_000)]
    assert series.leaderless(elections()) == 100 + 100  # two leaders at once count once


def test_marks_say_when_a_member_was_down() -> None:
    changes = series.marks(storage(), "n1")
    assert [at for at, _ in changes] == [0, 20, 40, 55, 60, 80, 90]
    assert [at for at, marks in changes if marks is None] == [60]
    assert changes[2].marks == Marks(3, 2, 2, 2, 2)


def test_segments_live_on_through_a_restart() -> None:
    assert series.segments(storage(), "n1") == [
        (1, 1, 2, 0, 10, 40),
        (2, 3, 3, 10, None, None),
    ]
    assert max(count for _, count in series.alive(storage(), "n1")) == 2


def test_a_segment_begun_and_one_dropped_at_once_were_both_there() -> None:
    trace = told(
        (0, "n1", SegmentOpened(1, 1)),
        (5, "n1", SegmentSealed(1, 1, 4, 10)),
        (5, "n1", SegmentOpened(2, 5)),
        (5, "n1", SegmentDropped(1, 1, 4, 10)),
    )
    assert series.alive(trace, "n1") == [(0, 1), (5, 2), (5, 1)]


def test_a_segment_whose_end_was_never_told_is_gone_when_the_member_starts_without_it() -> None:
    trace = told(
        (0, "n1", SegmentOpened(1, 1)),
        (0, "n1", MemberStarted(0, 1, 0, 0)),
        (5, "n1", SegmentSealed(1, 1, 4, 10)),
        (5, "n1", SegmentOpened(2, 5)),
        (6, "n1", MemberCrashed(0)),  # the power went when segment 1 was off the disk already
        (9, "n1", MemberStarted(1, 5, 4, 4)),
    )
    lives = [(1, 1, 4, 0, 5, 9), (2, 5, 0, 5, None, None)]
    assert [
        life._replace(last=0) if n else life for n, life in enumerate(series.segments(trace, "n1"))
    ] == lives
    assert [segment.number for segment in TraceHistory(trace).at(4).members["n1"].segments] == [
        1,
        2,
    ]
    assert [segment.number for segment in TraceHistory(trace).at(5).members["n1"].segments] == [2]


def test_sizes_fall_at_a_freeze_and_at_a_crash_but_tables_stay() -> None:
    assert series.sizes(storage(), "n1") == [
        (20, 1_000, 0, 0),
        (30, 0, 0, 0),
        (40, 0, 640, 1),
        (55, 300, 640, 1),
        (60, 0, 640, 1),
        (90, 300, 640, 1),
    ]


@pytest.mark.parametrize("tables", [[], [(4, 70)]])
def test_a_table_counts_once_it_is_live_even_if_the_power_went_before_that_was_told(
    tables: list[tuple[int, int]],
) -> None:
    numbers, sizes = (tuple(column) for column in zip(*tables, strict=True)) if tables else ((), ())
    trace = told(
        (0, "n1", MemberStarted(0, 1, 0, 0)),
        (0, "n1", Marks(1, 0, 9, 9, 9)),
        (10, "n1", TableWritten(4, 2, 70, "a", "b")),
        (20, "n1", MemberCrashed(0)),
        (30, "n1", TreeOpened(numbers, tuple(0 for _ in numbers), sizes)),
        (30, "n1", MemberStarted(1, 1, 9 * len(tables), 9)),
    )
    assert TraceHistory(trace).at(5).members["n1"].tables == tables
    assert [size.tables for size in series.sizes(trace, "n1")][-1] == sum(b for _, b in tables)


def merges() -> Trace:
    """Tables 2 and 3 become 5 while 4 is flushed; 5 moves; the power goes in the next merge."""
    return told(
        (0, "n1", TreeOpened((3, 2), (0, 0), (30, 20))),
        (0, "n1", MemberStarted(0, 1, 0, 0)),
        (10, "n1", CompactionStarted((3, 2), 1)),
        (11, "n1", MemtableFrozen(2, 90, 5)),
        (12, "n1", TableWritten(5, 3, 45, "a", "b")),
        (12, "n1", TableWritten(4, 2, 40, "a", "b")),
        (12, "n1", Flushed(5, 4)),
        (20, "n1", Compacted((3, 2), (5,), 1, 50, 45, 1)),
        (21, "n1", TableRemoved(2)),
        (21, "n1", TableRemoved(3)),
        (30, "n1", CompactionStarted((5,), 2)),
        (30, "n1", Compacted((5,), (5,), 2, 0, 0, 0)),
        (40, "n1", CompactionStarted((4, 5), 2)),
        (41, "n1", TableWritten(6, 3, 50, "a", "b")),
        (42, "n1", MemberCrashed(0)),
        (50, "n1", TreeOpened((4, 5), (0, 2), (40, 45))),
        (50, "n1", MemberStarted(0, 1, 5, 5)),
        (60, "n1", TableWritten(8, 9, 80, "a", "z")),
        (60, "n1", TableWritten(9, 9, 90, "a", "z")),
        (60, "n1", SnapshotInstalled(7, (9, 8))),
    )


def test_tables_are_those_that_are_live_whatever_becomes_of_them() -> None:
    history = TraceHistory(merges())
    opened, merged = [(2, 20), (3, 30)], [(5, 45), (4, 40)]
    seen = [history.at(step).members["n1"].tables for step in range(len(merges()))]
    assert seen == [
        *[opened] * 6,
        [*opened, (4, 40)],
        *[merged] * 12,  # moved, and begun to be merged again, but that came to nothing
        [(8, 80), (9, 90)],
    ]
    assert [size[2:] for size in series.sizes(merges(), "n1")] == [
        *[(50, 2)] * 2,
        (90, 3),
        *[(85, 2)] * 4,
        (170, 2),
    ]
    assert text.tables(merges(), width=6).splitlines()[0] == "SSTables (highest bar: 170 bytes)"


def test_a_merge_of_tables_that_were_never_told_of_leaves_what_came_out() -> None:
    trace = merges()[4:8]
    trace.file(98, "n1", Flushed(9, 0))  # nothing was to be written: no table comes of it
    trace.file(99, "n1", Marks(1, 0, 0, 0, 0))
    assert TraceHistory(trace).at(5).members["n1"].tables == [(5, 45), (4, 40)]
    assert [size[2:] for size in series.sizes(trace, "n1")] == [(40, 1), (85, 2), (85, 2)]


def test_what_becomes_of_tables_in_words() -> None:
    said = {n: story_line(merges(), n).partition("  ")[2] for n in range(len(merges()))}
    assert said[0] == "n1 opens its tree: tables 3 and 2"
    assert said[2] == "n1 begins to merge tables 3 and 2 into level 1"
    assert said[7] == "n1 has merged tables 3 and 2 into table 5, on level 1; 1 tombstone is gone"
    assert said[8] == "n1 removes the file of table 2, which has no reader any longer"
    assert said[11] == "n1 moves table 5 to level 2 as it is"
    trace = told((0, "n1", TreeOpened((), (), ())), (1, "n1", Compacted((7,), (), 1, 9, 0, 2)))
    assert story_line(trace, 0).endswith("n1 opens its tree: no tables")
    nothing = "n1 has merged table 7 into nothing, on level 1; 2 tombstones are gone"
    assert story_line(trace, 1).endswith(nothing)
    assert [merges()[stop].event for stop in interesting(merges())] == [
        step.event
        for step in merges().of(MemberStarted, MemtableFrozen, Flushed, Compacted, MemberCrashed)
    ]


def test_tickets_and_discarded() -> None:
    trace = told(
        (1, "alice", TicketMoved("alice#1", "SENT", "n1", 0)),
        (2, "bob", TicketMoved("bob#1", "SENT", "n1", 0)),
        (3, "alice", TicketMoved("alice#1", "APPLIED", "n2", 5)),
        (4, "n2", TransactionDiscarded("bob#1", 6, 8)),
    )
    assert series.tickets(trace) == [
        ("alice#1", "alice", ((1, "SENT", "n1"), (3, "APPLIED", "n2"))),
        ("bob#1", "bob", ((2, "SENT", "n1"),)),
    ]
    assert series.discarded(trace) == [(4, "n2", "bob#1", 6, 8)]


# ── the state: what a trace says against what there is ──────────────────────────────────────────


def assert_true(world: World, history: TraceHistory) -> None:
    """The state after the last step is the state that the world is in."""
    state = history.at(len(world.trace) - 1)
    assert sorted(state.in_flight) == sorted(envelope.id for envelope in world.in_flight)
    for name, member in state.members.items():
        assert member.running == (name in world.replicas)
    for name, replica in world.replicas.items():
        member, raft, tree = state.members[name], replica.raft, replica.tree
        assert (member.role, member.term) == (raft.role.value, raft.term)
        assert (member.leader or None, member.vote or None) == (raft.leader, raft.vote)
        assert member.marks == replica.marks
        assert (member.memtable_rows, member.memtable_size) == (
            tree.memtable_rows,
            tree.memtable_size,
        )
        assert member.waiting == tree.immutable_memtables
        assert sorted(member.tables) == sorted((t.number, t.size) for t in tree.tables)
        flushed = [t.number for t in reversed(tree.tables) if t.level == 0]
        assert [number for number, _ in member.tables if number in flushed] == flushed
        there = replica.wal.segments
        assert [s.number for s in member.segments] == [s.id for s in there]
        assert [s.last for s in member.segments] == [s.high if s.sealed else None for s in there]
        lives = series.segments(world.trace, name)
        assert [life.segment for life in lives if life.dropped is None] == [s.id for s in there]
        entries = {e.index: e for e in replica.wal.entries()}
        for cell in member.log:
            if (entry := entries.get(cell.index)) is not None:
                assert (cell.term, cell.end) == (entry.term, entry.record.commit)
        assert not entries or member.log[-1].index == max(entries)


def test_the_state_is_what_the_world_is(world: World, history: TraceHistory) -> None:
    assert world.trace.of(EntriesSuperseded)
    assert world.trace.of(SegmentDropped)
    assert world.trace.of(Compacted)
    assert_true(world, history)


@pytest.mark.parametrize("seed", range(12))
def test_power_cuts_between_deed_and_report_leave_the_state_true(seed: int) -> None:
    random = Random(seed)
    world = World(3, seed=seed, options=SMALL)
    client = world.client("c")
    for _ in range(5):
        victim = random.choice(world.members)
        disk = world.disk(victim)
        assert isinstance(disk, SimDisk)
        disk.fail_at(random.randrange(1, 60), random)
        for _ in range(12):
            count = random.randrange(1, 5)
            client.submit([(b"k%d" % random.randrange(30), b"v" * 40) for _ in range(count)])
            world.run_for(random.randrange(5, 30))
        disk.restore()
        world.run_for(5)
        for name in world.members:
            if name not in world.replicas:
                world.restart(name)
    client.put(b"the", b"end")
    world.settle()
    assert_true(world, TraceHistory(world.trace))


def test_a_trace_that_begins_on_used_disks_can_be_drawn() -> None:
    before = World(3, seed=5, options=SMALL)
    client = before.client("c")
    for i in range(40):
        client.put(b"k%d" % i, b"v" * 60)
    before.close()
    world = World(3, seed=6, options=SMALL, disk=before.disk)
    client = world.client("d")
    for i in range(40):
        client.put(b"k%d" % i, b"v" * 60)
    world.settle()
    state = TraceHistory(world.trace).at(len(world.trace) - 1)
    for name, replica in world.replicas.items():
        there = [segment.id for segment in replica.wal.segments]
        assert [s.number for s in state.members[name].segments] == there
        lives = series.segments(world.trace, name)
        assert [life.segment for life in lives if life.dropped is None] == there
    assert "segments" in text.overview(world.trace)


@given(begin=st.integers(0, len(WHOLE) - 1), length=st.integers(1, 400))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_slice_of_a_trace_can_be_drawn(begin: int, length: int) -> None:
    trace = WHOLE[begin : begin + length]
    text.overview(trace)
    history = Film(trace)
    for panel in PANELS.values():
        ET.fromstring(panel(history, len(trace) - 1))
    for name, member in history.at(len(trace) - 1).members.items():
        alive = [life.segment for life in series.segments(trace, name) if life.dropped is None]
        assert [segment.number for segment in member.segments] == alive


@given(at=st.lists(st.integers(0, len(WHOLE) - 1), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_state_at_any_step_is_the_fold_of_all_steps_before_it(at: list[int]) -> None:
    assert len(WHOLE) > 3 * CHECKPOINT
    history = TraceHistory(WHOLE)
    for step in at:
        state = ClusterState(members={name: MemberState() for name in history.names})
        for number in range(step + 1):
            take(state, WHOLE, number)
        assert history.at(step) == state


def test_a_state_once_given_stays_as_it_was() -> None:
    history = TraceHistory(WHOLE)
    order = list(range(0, len(WHOLE), 90))
    Random(3).shuffle(order)
    given_out = [(step, history.at(step)) for step in order]
    as_it_was = [copy.deepcopy(state) for _, state in given_out]
    for step in reversed(order):
        history.at(step)
    assert [state for _, state in given_out] == as_it_was
    for (step, state), wanted in zip(given_out, as_it_was, strict=True):
        for member in state.members.values():  # nor does it share anything with what is kept
            member.log.clear()
            member.segments.clear()
            member.tables.clear()
        state.in_flight.clear()
        state.members.clear()
        assert history.at(step) == wanted


def test_there_is_no_step_beyond_the_ends(history: TraceHistory) -> None:
    for step in (-1, len(history.trace)):
        with pytest.raises(IndexError, match=f"not {step}"):
            history.at(step)


NETWORK = (LinkChanged, NetworkPartitioned, NetworkHealed, NetworkLossy)
"""What happens to no member."""


@pytest.mark.parametrize("kind", samples(), ids=lambda kind: kind.__name__)
def test_every_event_has_its_sentence_and_hard_text_does_not_break_a_view(
    kind: type[Event],
) -> None:
    trace = told((0, "n1", MemberStarted(1, 1, 0, 0)), (0, "n1", Marks(1, 0, 0, 0, 0)))
    trace.file(1, "n1", samples()[kind])
    trace.file(2, "\x07\ud800 <client>", MessageSent(9, "Submit", "n1", 0, 0, 0, "<b>&\x00"))
    sentence = story_line(trace, 2)
    assert kind.__name__ not in sentence
    assert "n1" in sentence or kind in NETWORK
    for panel in PANELS.values():
        ET.fromstring(panel(Film(trace), 3))


def test_a_log_keeps_only_its_end_and_what_overwrote_it() -> None:
    trace = told(
        (0, "n1", MemberStarted(0, 1, 0, 0)),
        (1, "n1", EntriesAppended(1, 1, (1,) * 3, ("a", "b", "c"), ("x",) * 3, (False,) * 3)),
        (2, "n1", EntriesAppended(1, 2, (2,), ("z",), ("y",), (True,))),
    )
    assert TraceHistory(trace).at(2).members["n1"].log == [
        EntryState(1, 1, "a", "x", False),
        EntryState(2, 2, "z", "y", True),
    ]


def test_interesting_steps_are_the_rare_ones(world: World) -> None:
    trace = world.trace
    stops = interesting(trace)
    assert stops == sorted(set(stops))
    assert 20 < len(stops) < len(trace) / 10
    kinds = {type(trace[stop].event) for stop in stops}
    assert kinds >= {
        RoleChanged,
        MemberCrashed,
        MemberStarted,
        Flushed,
        SegmentDropped,
        EntriesSuperseded,
        NetworkPartitioned,
    }
    assert not kinds & {
        MessageSent,
        MessageDelivered,
        MessageLost,
        Marks,
        TransactionApplied,
        EntriesAppended,
        TicketMoved,
    }
    assert sum(isinstance(trace[stop].event, RoleChanged) for stop in stops) == len(
        trace.of(RoleChanged)
    )


# ── text ────────────────────────────────────────────────────────────────────────────────────────


def test_lanes_of_text() -> None:
    lines = text.leaders(elections(), width=10).splitlines()
    assert lines[1:] == ["  n1 ·111xx···x", "  n2 ·····2222·", "  n3 ·······333"]


def test_sparklines_reach_their_top_where_the_most_is() -> None:
    head, line = text.memtables(storage(), width=9).splitlines()
    assert "1,000 bytes" in head
    assert line == "  n1   ██ ▃▃ ▃"
    assert text.final_marks(storage()).splitlines()[1].split() == ["n1", "3", "2", "3", "3", "3"]


@pytest.mark.parametrize("width", [20, text.WIDTH])
def test_an_overview_has_one_lane_a_member_all_of_one_width(world: World, width: int) -> None:
    pictures = {
        picture.split("\n")[0].split()[0]: picture.split("\n")[1:]
        for picture in text.overview(world.trace, width).split("\n\n")
    }
    assert len(pictures) == 6
    for title, lanes in pictures.items():
        assert [lane[:5] for lane in lanes] == [f"  {name} " for name in world.members]
        assert title == "The" or {len(lane) for lane in lanes} == {5 + width}
    for name, lane in zip(world.members, pictures["The"], strict=True):
        at_end = world.replicas[name].marks
        numbers = [int(word.replace(",", "")) for word in lane.split()[1:]]
        assert numbers == [getattr(at_end, field.name) for field in fields(Marks)]


def test_an_overview_of_nothing_is_four_titles() -> None:
    assert len(text.overview(Trace()).split("\n\n")) == 6


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def titles(trace: Trace) -> dict[str, str]:
    from kvraft.viz.figures import picture, plots

    return {name: picture.title_of(plot(trace)) for name, plot in plots.ALL.items()}


def test_titles_state_what_was_counted() -> None:
    trace = Trace(TraceStep(at * 1_000, who, event) for at, who, event in elections())
    assert titles(trace)["leaders"] == "3 leaderships in 3 terms: nobody led for 0.20 s of 1.0 s"
    said = titles(storage())
    assert said["marks"] == "The log grows to 3 entries, but no member ever keeps more than 2"
    assert said["segments"].startswith("2 log segments were written, but never more than 2 ")
    assert said["sizes"].startswith("1 flush: no memtable grows above 1 KiB")


def test_a_limit_is_never_rounded_below_what_was_reached() -> None:
    trace = told(
        (0, "n1", MemberStarted(0, 1, 0, 0)), (1, "n1", TransactionApplied(1, "c#1", 1, 1, 1_300))
    )
    assert "above 2 KiB" in titles(trace)["sizes"]


def test_titles_of_a_long_trace_agree_with_the_members(world: World) -> None:
    said = titles(world.trace)
    last = max(replica.marks.last for replica in world.replicas.values())
    assert f"grows to {last:,} entries" in said["marks"]
    written = sum(replica.wal.segments[-1].id for replica in world.replicas.values())
    assert said["segments"].startswith(f"{written} log segments were written")
    flushes = sum(step.event.table > 0 for step in world.trace.of(Flushed))
    assert said["sizes"].startswith(f"{flushes} flushes")


def test_figures_have_a_lane_or_panel_a_member_units_and_labels(world: World) -> None:
    from kvraft.viz.figures import plots

    figure = plots.plot_leaders(world.trace)
    lanes = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert lanes == ["n1", "n2", "n3"]
    written = [label.get_text() for label in figure.axes[0].texts]
    terms = [span.term for span in series.leaderships(world.trace)]
    assert [int(words.removeprefix("term ")) for words in written] == terms
    for name, panels in (("marks", 3), ("segments", 3), ("sizes", 4)):
        axes = plots.ALL[name](world.trace).axes
        assert len(axes) == panels
        assert axes[-1].get_xlabel() == "virtual time (s)"
        assert all(one.get_title(loc="left") for one in axes)
    assert len(plots.plot_marks(world.trace, ["n2"]).axes) == 1


def test_a_figure_of_nothing_or_nobody_says_so(world: World) -> None:
    from kvraft.viz.figures import plots

    for plot in plots.ALL.values():
        with pytest.raises(BadInput, match="nothing to draw"):
            plot(Trace())
    with pytest.raises(BadInput, match="no member called n9"):
        plots.plot_marks(world.trace, ["n9"])


@pytest.mark.filterwarnings("error")
def test_figures_are_drawn_without_a_warning_even_of_a_single_moment(world: World) -> None:
    from kvraft.viz.figures import picture, plots

    for trace in (world.trace, world.trace[:3], world.trace[1_500:]):
        for plot in plots.ALL.values():
            assert picture.png(plot(trace)).startswith(b"\x89PNG")


# ── showing ─────────────────────────────────────────────────────────────────────────────────────


def test_a_digest_changes_with_the_data_and_with_nothing_else() -> None:
    from kvraft.viz.figures import digest

    data = [("n1", 1, 0.1 + 0.2), Marks(1, 2, 3, 4, 5), {"b": 1, "a": None}]
    assert re.fullmatch(r"[0-9a-f]{12}", digest(data))
    assert digest(data) == digest([("n1", 1, 0.3), Marks(1, 2, 3, 4, 5), {"a": None, "b": 1}])
    for other in (
        [("n1", 1, 0.3001), *data[1:]],
        [data[0], Marks(1, 2, 3, 4, 6), data[2]],
        data[:2],
        [data[1], data[0], data[2]],
    ):
        assert digest(other) != digest(data)


@given(
    numbers=st.lists(st.integers() | st.floats(1e-3, 1e6), min_size=1, max_size=5), data=st.data()
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_digest_tells_any_two_numbers_apart_down_to_nine_digits(
    numbers: list[float], data: st.DataObject
) -> None:
    from kvraft.viz.figures import digest

    at = data.draw(st.integers(0, len(numbers) - 1))
    other = list(numbers)
    other[at] = numbers[at] + 1 if isinstance(numbers[at], int) else numbers[at] * 1.000_01
    assert digest(numbers) == digest(tuple(numbers))
    assert digest({"a": [numbers]}) == digest({"a": (tuple(numbers),)})
    assert digest(other) != digest(numbers)
    assert digest([1.23456, *numbers]) == digest([1.234_560_000_01, *numbers])  # the 12th digit


def test_show_displays_once_and_prints_the_digest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import IPython.display

    from kvraft.viz.figures import picture, plots

    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    figure = plots.plot_leaders(elections())
    data = series.leaderships(elections())
    assert picture.show(figure, data) is None  # else a notebook would show it a second time
    assert [sorted(bundle) for bundle in shown] == [["text/html", "text/plain"]]
    assert shown[0]["text/plain"].startswith("3 leaderships")
    assert capsys.readouterr().out == f"figure data sha256:{picture.digest(data)}\n"
    picture.save(figure, tmp_path / "x.png")
    saved = base64.b64encode((tmp_path / "x.png").read_bytes()).decode()
    assert saved in shown[0]["text/html"]


def test_each_library_is_loaded_by_the_module_that_needs_it_only() -> None:
    heavy = "matplotlib ipywidgets IPython"
    for rooms, loads in (
        ("", ""),
        (".trace .panels .sandbox", ""),
        (".figures", "matplotlib"),
    ):
        program = (
            f"import sys, importlib\nfor room in {['', *rooms.split()]!r}:\n"
            f"    importlib.import_module('kvraft.viz' + room)\n"
            f"print(*[m for m in {heavy.split()!r} if m in sys.modules])\n"
            "print('matplotlib.pyplot' in sys.modules)"
        )
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        assert out.splitlines() == [loads, "False"]
