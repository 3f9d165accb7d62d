"""The log's bytes as pictures, and what it survives as numbers: both from the real bytes."""

import re
import xml.etree.ElementTree as Xml
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.course.exercises.log import put
from kvraft.disk import frame
from kvraft.errors import BadInput
from kvraft.record import HardState
from kvraft.sim import SimDisk
from kvraft.viz.figures import (
    OUTCOME_COLOURS,
    FileOutcome,
    flips,
    group_commits,
    plot_flips,
    plot_group_commits,
    plot_truncations,
    title_of,
    truncations,
)
from kvraft.viz.panels import (
    FRAME_COLOURS,
    FRAME_NAMES,
    FramePart,
    dissect,
    field_at,
    inspector,
    piece_at,
    segments_of,
    strip,
)
from kvraft.viz.shown import label_of, svg_image
from kvraft.viz.widgets import ByteStepper
from kvraft.wal import FrameKind, Wal, recover


def log(*saves, segment_bytes=1 << 20):
    """A disk with a log of n1: each save is (term, first index, last index)."""
    disk = SimDisk()
    wal = Wal.open(disk, "n1", segment_bytes=segment_bytes)
    for term, first, last in saves:
        state = HardState(term) if term > wal.hard_state.term else None
        wal.save(state, [put(term, index, b"k%d" % index) for index in range(first, last + 1)])
    return disk


PLAIN = ((1, 1, 2), (1, 3, 3), (2, 3, 4))


# ── the anatomy ─────────────────────────────────────────────────────────────────────────────────


@st.composite
def histories(draw):
    """Saves that follow or supersede, into small segments, and then a byte that is changed."""
    saves, last, term = [], 0, 1
    for _ in range(draw(st.integers(1, 8))):
        first = draw(st.integers(max(1, last - 2), last + 1))
        term += first <= last or draw(st.booleans())
        last = first + draw(st.integers(0, 2))
        saves.append((term, first, last))
    disk = log(*saves, segment_bytes=draw(st.sampled_from([300, 500, 1 << 20])))
    if draw(st.booleans()):
        Wal.open(disk, "n1").close()
    return disk


@settings(deadline=None, derandomize=True, max_examples=60)
@given(histories(), st.data())
def test_every_byte_has_one_field_and_what_counts_is_what_is_recovered(disk, data):
    found = dissect(disk, "n1")
    live = [
        placed.entry
        for pieces in found.values()
        for piece in pieces
        for placed in piece.entries
        if not placed.superseded
    ]
    assert live == Wal.open(disk.copy(), "n1").entries()
    name = data.draw(st.sampled_from(segments_of(disk)))
    disk.corrupt(name, data.draw(st.integers(0, disk.size(name) - 1)), 0x10)
    for each, pieces in dissect(disk, "n1").items():
        assert [0, *(piece.end for piece in pieces)] == [
            *(piece.start for piece in pieces),
            disk.size(each),
        ]
        for piece in pieces:
            edges = [piece.start, *(field.end for field in piece.fields)]
            assert [field.start for field in piece.fields] == edges[:-1]
            assert edges[-1] == piece.end
            assert all(low < high for low, high in pairwise(edges))
    assert [piece.kind for piece in dissect(disk, "n1")[name]].count(0) == 1


def test_fields_are_read_as_they_were_written():
    disk = log(*PLAIN)
    (name,) = disk.names()
    pieces = dissect(disk, "n1")[name]
    assert [piece.kind for piece in pieces] == [
        FrameKind.HEADER,
        FrameKind.HARD_STATE,
        FrameKind.ENTRIES,
        FrameKind.ENTRIES,
        FrameKind.HARD_STATE,
        FrameKind.ENTRIES,
    ]
    fields = {field.name: field.value for field in pieces[3].fields}
    assert (fields["magic"], fields["synced"]) == ("kvF2", str(pieces[3].start))
    assert (fields["term"], fields["index"]) == ("1", "3")
    assert (fields["client"], fields["key"], fields["value"]) == ("ann", "k3", "ripe")
    assert fields["length"] == str(pieces[3].end - pieces[3].start - 24)
    data = disk.read(name)
    for piece in pieces:
        for field in piece.fields:
            if field.name == "crc32":
                assert int(field.value, 16).to_bytes(4, "little") == data[field.start : field.end]
    assert field_at(pieces, pieces[3].start + 12).name == "synced"
    assert field_at(pieces, disk.size(name) - 1).part == FramePart.CHECK
    state = {field.name: field.value for field in pieces[4].fields}
    assert (state["term"], state["voted"], "vote" in state) == ("2", "0", False)


def test_torn_reaches_to_the_end_and_damage_to_the_next_frame():
    disk = log(*PLAIN)
    (name,) = disk.names()
    whole = dissect(disk, "n1")[name]
    torn, bad = disk.copy(), disk.copy()
    torn.corrupt(name, whole[4].start + 5)  # the frame behind it is of the same save
    bad.corrupt(name, whole[2].start + 5)
    last = dissect(torn, "n1")[name][-1]
    assert (last.why, last.start, last.end) == ("torn", whole[4].start, disk.size(name))
    middle = dissect(bad, "n1")[name][2]
    assert (middle.why, middle.start, middle.end) == ("damaged", whole[2].start, whole[3].start)
    sealed = log(*((1, n, n) for n in range(1, 6)), segment_bytes=250)
    first = sealed.names()[0]
    sealed.truncate(first, sealed.size(first) - 1)
    assert dissect(sealed, "n1")[first][-1].why == "damaged"


# ── pictures ────────────────────────────────────────────────────────────────────────────────────


def texts(svg):
    return [each.text for each in Xml.fromstring(svg).iter() if each.tag.endswith("}text")]


def test_a_strip_names_what_it_draws():
    disk = log(*PLAIN)
    svg = strip(disk, "n1")
    assert svg == strip(disk.copy(), "n1")
    shown = texts(svg)
    for wanted in ("header", "entries 1 to 2", "entry 3", "entries 3 to 4", "term 2"):
        assert wanted in shown
    assert "hatched: superseded" in svg
    assert "hatched" not in strip(log((1, 1, 2)), "n1")
    torn = disk.copy()
    torn.truncate(disk.names()[0], disk.size(disk.names()[0]) - 1)
    assert "torn" in texts(strip(torn, "n1"))
    row = log(*((1, n, n) for n in range(1, 6)), segment_bytes=250)
    assert texts(strip(row, "n1")).count("seal") == len(row.names()) - 1


def test_a_strip_is_to_scale():
    disk = log(*PLAIN)
    (name,) = disk.names()
    shapes = Xml.fromstring(strip(disk, "n1")).iter("{http://www.w3.org/2000/svg}rect")
    light = [each for each in shapes if each.get("fill-opacity")]
    pieces = dissect(disk, "n1")[name]
    assert len(light) == len(pieces)
    for shape, piece in zip(light, pieces, strict=True):
        share = (piece.end - piece.start) / disk.size(name)
        assert float(shape.get("width")) / 836 == pytest.approx(share, abs=1e-3)


def test_the_inspector_shows_every_field_of_one_frame():
    disk = log(*PLAIN)
    (name,) = disk.names()
    piece = dissect(disk, "n1")[name][3]
    shown = texts(inspector(disk, "n1", name, piece.start + 30))
    for field in piece.fields:
        assert field.name in shown
        assert str(field.start) in shown
    assert "6b 76 46 32" in shown
    with pytest.raises(BadInput, match=r"no byte 9999 in a segment of \d+ bytes"):
        inspector(disk, "n1", name, 9999)
    with pytest.raises(BadInput, match="no segment x here"):
        inspector(disk, "n1", "x", 0)
    with pytest.raises(BadInput, match="no log segment"):
        strip(SimDisk(), "n1")


def test_the_stepper_moves_by_byte_field_and_frame():
    disk = log(*PLAIN)
    (name,) = disk.names()
    third = dissect(disk, "n1")[name][3]
    stepper = ByteStepper(disk, "n1", name, offset=third.start)
    assert "of magic = kvF2" in stepper.words()
    stepper.buttons["byte on"].click()
    assert stepper.words().startswith(f"offset {third.start + 1}: byte 2 of 4 of magic")
    stepper.buttons["next field"].click()
    assert stepper.offset == third.start + 4
    stepper.buttons["byte back"].click()
    assert stepper.offset == third.start + 3
    stepper.buttons["next frame"].click()
    assert stepper.offset == third.end
    stepper.go(10**6)
    assert stepper.offset == disk.size(name) - 1
    stepper.buttons["next frame"].click()
    assert stepper.offset == disk.size(name) - 1
    bundle = stepper._repr_mimebundle_()
    assert bundle["text/html"] == svg_image(stepper.svg())
    assert label_of(stepper.svg()) == stepper.words()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    for wrong in ({"name": "x"}, {"name": name, "offset": -1}):
        with pytest.raises(BadInput):
            ByteStepper(disk, "n1", **wrong)


def test_the_stepper_shows_the_byte_it_names():
    disk = log(*PLAIN)
    (name,) = disk.names()
    disk.truncate(name, disk.size(name) - 1)
    stepper, data = ByteStepper(disk, "n1", name), disk.read(name)
    for offset in range(0, len(data), 7):
        stepper.go(offset)
        here = re.findall(r'fill="#FFFFFF" xml:space="preserve">(..)</text>', stepper.svg())
        assert here == [f"{data[offset]:02x}"]
    assert "is torn" in stepper.words()


# ── what a log survives ─────────────────────────────────────────────────────────────────────────


def test_every_cut_and_every_flip_is_judged():
    disk = log(*PLAIN)
    (name,) = disk.names()
    before, pieces = disk.read(name), dissect(disk, "n1")[name]
    found = truncations(disk, "n1")
    assert [each.size for each in found] == list(range(len(before) + 1))
    ends = {piece.end for piece in pieces}
    for each in found:
        torn = FileOutcome.TRUNCATED if each.size > pieces[0].end else FileOutcome.REFUSED
        assert each.outcome == (FileOutcome.SAME if each.size in ends else torn), each
    assert [found[piece.end].entries for piece in pieces] == [0, 0, 2, 3, 3, 4]
    assert title_of(plot_truncations(found)).endswith("torn tail and 0 wrong contents")
    turned = flips(disk, "n1")
    last_save = pieces[4].start
    for each in turned.flips:
        assert each.outcome == (
            FileOutcome.TRUNCATED if each.offset >= last_save else FileOutcome.REFUSED
        ), each
        assert each.at == piece_at(pieces, each.offset).start
    assert sum(turned.outcomes.values()) == 8 * len(before)
    assert disk.read(name) == before
    title = title_of(plot_flips({"one": turned, "again": turned}))
    assert title.startswith(f"{16 * len(before):,} bits flipped")
    assert title.endswith(" 0 wrong")


def test_a_reader_that_believes_damaged_payloads_would_be_seen(monkeypatch):
    """The outcome *wrong* is alive: with checksums switched off, flips bring wrong contents."""
    blind = SimpleNamespace(crc32=lambda *_: frame.CRC_RESIDUE)
    monkeypatch.setattr("kvraft.disk.frame.zlib", blind)
    found = flips(log((1, 1, 1)), "n1", bits=[0])
    assert str(FileOutcome.WRONG) in found.outcomes
    assert not title_of(plot_flips({"blind": found})).endswith(" 0 wrong")


def test_a_cut_where_no_frame_ends_would_be_seen(monkeypatch):
    def careless(disk, owner):
        found = recover(disk, owner)
        if found.torn:
            found.torn = found.torn._replace(offset=found.torn.offset + 1)
        return found

    monkeypatch.setattr("kvraft.viz.figures.durability.recover", careless)
    outcomes = {each.outcome for each in truncations(log((1, 1, 1)), "n1")}
    assert outcomes == {FileOutcome.REFUSED, FileOutcome.SAME, FileOutcome.WRONG}


def test_group_commits_are_counted():
    entries = [put(1, index, b"key") for index in range(1, 11)]
    found = group_commits(entries, [1, 4, 10])
    assert [each.syncs for each in found] == [10, 3, 1]
    size = sum(52 + len(b"annkeyripe") for _ in entries)
    assert [each.size - size for each in found] == [240, 72, 24]
    title = title_of(plot_group_commits(found))
    assert title == "10 entries: 10 syncs in saves of 1, 1 in saves of 10, and 25% fewer bytes"


@pytest.mark.parametrize(
    ("draw", "nothing"), [(plot_truncations, []), (plot_flips, {}), (plot_group_commits, [])]
)
def test_nothing_measured_is_nothing_to_draw(draw, nothing):
    with pytest.raises(BadInput, match="nothing was measured"):
        draw(nothing)


def test_every_kind_and_every_fate_has_a_colour():
    assert set(OUTCOME_COLOURS) == set(FileOutcome)
    assert set(FRAME_COLOURS) == set(FRAME_NAMES) == set(FrameKind)
