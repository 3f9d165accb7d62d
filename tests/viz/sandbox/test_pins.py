"""The panel of pins: what it shows is what the member says."""

import re

import pytest

from kvraft.course.exercises.truncation import LIMITS
from kvraft.errors import BadInput
from kvraft.events import (
    Marks,
    MemberStarted,
    PinsChanged,
    SegmentOpened,
    SegmentSealed,
    Trace,
)
from kvraft.sim import World, last_follower, write_values
from kvraft.viz.sandbox import PIN_COLOURS, pins_panel
from kvraft.viz.sandbox.film import Film
from kvraft.viz.trace import hardest_pin
from tests.viz.sandbox.drawn import faults


def bars(picture):
    return re.findall(r"<title>([^<]+) pins entries (\d+)(?:\u2013\d+)?</title>", picture)


def test_there_is_a_bar_for_each_pin_on_each_sealed_segment():
    world = World(3, seed=3, options=LIMITS)
    write_values(world, 100)
    world.crash(last_follower(world))
    write_values(world, 50)
    film = Film(world.trace)
    for name, replica in world.replicas.items():
        pins = replica.pins()
        sealed = [segment for segment in replica.wal.segments if segment.sealed]
        wanted = [(pin.pinned_by, str(s.first)) for s in sealed for pin in pins.of(s)]
        picture = pins_panel(film, len(film) - 1, name)
        assert sorted(bars(picture)) == sorted(wanted)
        assert len(wanted) > 5
        strip = re.findall(r'fill="([^"]+)"[^>]*><title>entries \d+(?:\u2013\d+)?, pinned', picture)
        for kind, colour in PIN_COLOURS.items():
            count = sum(hardest_pin([p.pinned_by for p in pins.of(s)]) == kind for s in sealed)
            assert strip.count(colour) == count
        marks = replica.marks
        says = f"The log of {name}: entries {marks.first} to {marks.last}, flushed {marks.flushed};"
        assert says in picture
        assert not faults(picture)


@pytest.mark.parametrize(("needs", "count"), [(10, 2), (11, 1), (20, 1), (21, 0)])
def test_a_segment_is_pinned_as_long_as_its_last_entry_is_needed(needs, count):
    trace = Trace()
    for event in (
        MemberStarted(1, 1, 0, 0),
        SegmentOpened(1, 1),
        SegmentSealed(1, 1, 10, 900),
        SegmentOpened(2, 11),
        SegmentSealed(2, 11, 20, 900),
        SegmentOpened(3, 21),
        Marks(1, 9, 22, 22, 22),
        PinsChanged(("tree",), (needs,)),
    ):
        trace.file(0, "n1", event)
    picture = pins_panel(Film(trace), len(trace) - 1, "n1")
    assert len(bars(picture)) == count
    many = f"{needs} on: {count} sealed segment{'s' * (count > 1)}"
    assert f"tree needs {many if count else 'no sealed segment'}" in picture


def test_without_a_name_it_is_the_leaders_log_and_down_pins_nothing():
    world = World(3, seed=3, options=LIMITS)
    write_values(world, 100)
    film = Film(world.trace)
    assert f"The log of {world.leader()}:" in pins_panel(film, len(film) - 1)
    name = last_follower(world)
    world.crash(name)
    film.follow()
    picture = pins_panel(film, len(film) - 1, name)
    assert "it is down: no pins" in picture
    assert not bars(picture)
    with pytest.raises(BadInput, match="no member called n9"):
        pins_panel(film, len(film) - 1, "n9")
