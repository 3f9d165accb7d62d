"""Range deletes in fragments against a plain list of the ranges that were asked for."""

import doctest
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import range_tombstones as module
from kvraft.range_tombstones import NEVER_DELETED, RangeTombstones
from tests.helpers.storage import holds

quick = settings(deadline=None, derandomize=True, max_examples=300)

EDGES = [b"", b"\0", b"a", b"a\0", b"b", b"bb", b"c", b"\xff", b"\xff\xff"]
PROBES = sorted({*EDGES, *(key + b"\0" for key in EDGES), b"aa", b"zz", b"\xff\xff\xff"})
edges = st.sampled_from(EDGES)
asked = st.tuples(edges, st.integers(0, 6), edges).filter(lambda r: not r[2] or r[0] < r[2])


def stamps_of(ranges, key):
    return sorted({t for start, t, stop in ranges if holds(start, stop, key)}, reverse=True)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.lists(asked, max_size=8), st.integers(0, 7))
@quick
def test_every_key_is_covered_by_what_was_asked_for_in_whatever_order(wanted, at):
    ranges, other_way_round = RangeTombstones(wanted), RangeTombstones(wanted[::-1])
    assert bool(ranges) == bool(wanted)
    for key in PROBES:
        stamps = stamps_of(wanted, key)
        assert list(ranges.covering(key)) == list(other_way_round.covering(key)) == stamps
        assert ranges.newest(key) == max(stamps, default=NEVER_DELETED)
        assert ranges.newest(key, at) == max((t for t in stamps if t <= at), default=NEVER_DELETED)


@given(st.lists(asked, max_size=6), edges, edges)
@quick
def test_rows_between_two_keys_cover_these_and_no_others(wanted, start, stop):
    """As compaction clips them where a table ends: what lies outside is another table's."""
    if stop and start > stop:
        start, stop = stop, start
    rows = RangeTombstones(wanted).rows(start, stop)
    for key in PROBES:
        inside = stamps_of(wanted, key) if holds(start, stop, key) else []
        assert stamps_of(rows, key) == inside
    assert rows == sorted(rows, key=lambda row: row[:2])
    spans = sorted({(row[0], row[2]) for row in rows})
    for (_, end), (begin, _) in pairwise(spans):  # fragments never overlap
        assert end
        assert end <= begin
    assert RangeTombstones(rows).rows() == rows
    assert len({(begin, t) for begin, t, _ in rows}) == len(rows)


@given(st.lists(asked, max_size=6), st.lists(edges, max_size=3))
@quick
def test_ranges_cut_anywhere_are_the_same_when_put_together(wanted, cuts):
    ranges = RangeTombstones(wanted)
    bounds = [b"", *sorted({cut for cut in cuts if cut}), b""]
    pieces = [ranges.rows(low, high) for low, high in pairwise(bounds)]
    together = RangeTombstones(row for piece in pieces for row in piece)
    for key in PROBES:
        assert together.covering(key) == ranges.covering(key)


def test_no_range_deletes_nothing():
    assert not RangeTombstones()
    assert (
        RangeTombstones().rows(),
        RangeTombstones().covering(b""),
        RangeTombstones().newest(b"a"),
    ) == ([], (), NEVER_DELETED)
