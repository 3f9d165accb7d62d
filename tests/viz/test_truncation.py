"""Pictures of who holds the log: what they show is what the members say, at every moment."""

import re
from itertools import pairwise
from random import Random

import pytest

from kvraft.course.exercises.truncation import LIMITS
from kvraft.errors import BadInput
from kvraft.events import (
    Marks,
    MemberCrashed,
    MemberStarted,
    MessageDelivered,
    MessageLost,
    MessageSent,
    PinsChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    Trace,
)
from kvraft.sim import CatchUp, World, last_follower, write_values
from kvraft.viz.figures import (
    bands,
    last_pins,
    plot_bands,
    plot_catching_up,
    plot_log_bytes,
    title_of,
)
from kvraft.viz.trace import between, hardest_pin, pins_over_time, sealed_sizes, series


@pytest.fixture(scope="module")
def story():
    """A follower goes away twice: too long, and then for a short while."""
    world = World(3, seed=3, options=LIMITS)
    write_values(world, 100)
    away = last_follower(world)
    for count in (200, 60):
        world.crash(away)
        write_values(world, count)
        world.restart(away)
        world.settle()
    return world, away


def trace_of(*steps):
    trace = Trace()
    for at, event in steps:
        trace.file(at, "n1", event)
    return trace


# ── holds and bands ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(3))
def test_events_say_of_each_sealed_segment_what_the_member_says(seed):
    random = Random(seed)
    world = World(3, seed=seed, options=LIMITS)
    write_values(world, 5)
    compared = 0
    for _ in range(60):
        name = random.choice(world.members)
        if name not in world.replicas:
            world.restart(name)
        elif random.random() < 0.15 and len(world.replicas) == 3:
            world.crash(name)
        write_values(world, random.randrange(1, 15))
        for name, replica in world.replicas.items():
            told = pins_over_time(world.trace, name)[-1].pins
            if told is None or replica.unsaved:  # it has just started, or reports when it has saved
                continue
            lives = {life.segment: life for life in series.segments(world.trace, name)}
            for segment in replica.wal.segments:
                assert lives[segment.id].dropped is None
                if segment.sealed:
                    own = [hold.pinned_by for hold in replica.pins().of(segment)]
                    assert [hold.pinned_by for hold in told.of(segment)] == own
                    compared += bool(own)
    assert compared > 500


def test_the_bands_of_a_segment_cover_its_life_without_a_gap(story):
    world, _ = story
    for name in world.members:
        found = bands(world.trace, name)
        for life in series.segments(world.trace, name):
            own = [band for band in found if band.segment == life.segment]
            assert [band.active for band in own] == [True] + [False] * (len(own) - 1)
            assert own[0].start == life.opened
            assert own[-1].end == (life.dropped or series.end_of(world.trace))
            assert all(a.end == b.start for a, b in pairwise(own))


def test_who_held_a_segment_last_is_who_let_go_last():
    trace = trace_of(
        (0, SegmentOpened(1, 1)),
        (10, SegmentSealed(1, 1, 9, 900)),
        (10, SegmentOpened(2, 10)),
        (10, PinsChanged(("tree", "n2"), (1, 1))),
        (20, SegmentSealed(2, 10, 19, 900)),
        (20, SegmentOpened(3, 20)),
        (30, PinsChanged(("tree", "n2"), (20, 5))),
        (40, PinsChanged(("tree", "n2"), (20, 10))),
        (50, SegmentDropped(1, 1, 9, 900)),
        (60, PinsChanged(("tree", "snapshot for n2"), (20, 12))),
        (70, MemberCrashed(0)),
        (80, MemberStarted(1, 10, 19, 25)),
        (80, PinsChanged(("tree", "members"), (20, 20))),
        (90, SegmentDropped(2, 10, 19, 900)),
        (95, Marks(20, 19, 25, 25, 25)),
    )
    assert last_pins(trace, "n1") == {1: ("n2",), 2: ("snapshot for n2",)}
    one = [(b.start, b.end, b.pinned_by) for b in bands(trace, "n1") if b.segment == 1]
    both = ("tree", "n2")
    assert one == [(0, 10, ()), (10, 30, both), (30, 40, ("n2",)), (40, 50, ())]
    two = [(b.start, b.end, b.pinned_by) for b in bands(trace, "n1") if b.segment == 2]
    assert two[-2:] == [(70, 80, None), (80, 90, ())]


def test_the_hardest_hold_gives_the_colour():
    assert hardest_pin(("n3", "tree")) == "tree"
    assert hardest_pin(("members", "snapshot for n3", "n2")) == "a follower"
    assert hardest_pin(("snapshot for tree",)) == "a snapshot"
    assert hardest_pin(()) == "nobody"


def test_between_keeps_what_two_do_and_say_to_each_other():
    trace = Trace()
    for who, event in (
        ("n1", MessageSent(1, "A", "n2", 1, 0, 0, "")),
        ("n1", MessageSent(2, "A", "n3", 1, 0, 0, "")),
        ("n2", MessageDelivered(1)),
        ("n3", MessageDelivered(2)),
        ("n3", MessageSent(3, "B", "n1", 1, 0, 0, "")),
        ("n1", MessageLost(3, "")),
        ("n3", MemberCrashed(0)),
        ("n1", Marks(1, 0, 0, 0, 0)),
    ):
        trace.file(0, who, event)
    assert [s.event for s in between(trace, "n1", "n2")] == [trace[n].event for n in (0, 2, 7)]


# ── the figures ─────────────────────────────────────────────────────────────────────────────────


def test_the_title_of_the_bands_counts_who_let_go_last(story):
    world, away = story
    leader = world.leader()
    figure = plot_bands(world.trace, leader, away)
    counts = re.match(
        rf"(\d+) log segments of {leader} dropped: pinned last (\d+) by the tree, "
        r"(\d+) by a follower",
        title_of(figure),
    )
    went, tree, follower = (int(number) for number in counts.groups())
    assert went == len(world.trace.of(SegmentDropped, who=leader))
    held = list(last_pins(world.trace, leader).values())
    assert tree == sum("tree" in who for who in held) > 5
    assert follower == sum(hardest_pin(who) == "a follower" for who in held) > 5
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"pinned: tree", "pinned: a follower", f"last of {away}", f"{away} is down"} <= set(
        labels
    )


def test_the_bytes_drawn_are_the_bytes_held():
    trace = trace_of(
        (0, SegmentOpened(1, 1)),
        (10, SegmentSealed(1, 1, 9, 1024)),
        (10, SegmentOpened(2, 10)),
        (10, PinsChanged(("tree", "n2"), (1, 1))),
        (20, SegmentSealed(2, 10, 19, 2048)),
        (20, SegmentOpened(3, 20)),
        (30, PinsChanged(("tree", "n2"), (10, 10))),
        (40, SegmentDropped(1, 1, 9, 1024)),
        (50, Marks(10, 9, 19, 19, 19)),
    )
    figure = plot_log_bytes(trace, "n1", 1024)
    assert title_of(figure) == ("n1: 3.0 KiB of sealed log at most; the budget is 1.0 KiB")
    axes = figure.axes[0]
    assert [line.get_ydata()[0] for line in axes.lines] == [1.0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["pinned: tree", "not pinned", "retain_bytes"]


def test_the_sealed_bytes_of_a_world_are_its_members(story):
    world, _ = story
    for name, replica in world.replicas.items():
        sealed = {segment.id: segment.size for segment in replica.wal.segments if segment.sealed}
        sizes = sealed_sizes(world.trace, name)
        assert {number: sizes[number] for number in sealed} == sealed


def test_the_title_of_catching_up_says_from_when_on_it_is_cheaper_for_good():
    whole = [CatchUp(n * 100, 0, 1024 * n, 0, 0) for n in range(5)]
    short = [CatchUp(n * 100, 0, 0, 1024 * size, 0) for n, size in enumerate((0, 0, 3, 2, 2))]
    title = title_of(plot_catching_up({"all": whole, "short": short}))
    assert title == "From 0.3 s away on, short is cheaper than all"  # 0.1 s was no more than luck
    title = title_of(plot_catching_up({"short": short, "all": whole}))
    assert title == "short is never dearer in the end than all"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_bands(Trace(), "n1"),
        lambda: plot_log_bytes(Trace(), "n1", 1),
        lambda: plot_catching_up({}),
        lambda: plot_catching_up({"a": []}),
    ],
)
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(BadInput, match="nothing to draw"):
        draw()
