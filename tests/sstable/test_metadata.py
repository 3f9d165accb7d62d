"""What is known of tables: spans, the order in which they are read, and what JSON may hold."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.sstable import TableMetadata, pack_metadata, read_order, span_of, unpack_metadata
from tests.helpers.storage import holds

quick = settings(deadline=None, derandomize=True, max_examples=200)

EDGES = [b"", b"\0", b"a", b"a\0", b"b", b"c", b"\xff", b"\xff\xff"]
PROBES = sorted({*EDGES, *(key + b"\0" for key in EDGES), b"ab", b"zz"})
edges = st.sampled_from(EDGES)
spans = st.tuples(edges, edges).filter(lambda span: not span[1] or span[0] < span[1])


def info(number=1, level=0, span=(b"a", b"b"), newest=5):
    return TableMetadata(number, level, 9, 8, 1, 2, 700, *span, 3, newest, 0xC0FFEE)


@given(spans, spans)
@quick
def test_spans_share_a_key_if_the_later_start_lies_in_both(one, other):
    table, second = info(span=one), info(span=other)
    for key in PROBES:
        assert table.covers(key) == holds(*one, key)
    start = max(one[0], other[0])
    both = holds(*one, start) and holds(*other, start)
    assert table.overlaps(*other) == second.overlaps(*one) == both


@given(st.lists(spans, min_size=1, max_size=4))
@quick
def test_the_span_of_tables_is_the_smallest_that_holds_all(several):
    start, stop = span_of(info(span=span) for span in several)
    for span in several:
        for key in PROBES:
            assert holds(start, stop, key) or not holds(*span, key)
    assert (start, stop) in {(a, b) for a, _ in several for _, b in several}


@given(st.permutations(range(8)))
@quick
def test_tables_are_read_newest_first_and_then_level_by_level(order):
    tables = [
        info(7, 0, newest=9),
        info(3, 0, newest=8),  # an older number, but newer than that of number 6
        info(6, 0, newest=5),
        info(5, 0, newest=5),
        info(8, 1, (b"a", b"b")),
        info(2, 1, (b"b", b"c"), newest=99),
        info(1, 1, (b"x", b"")),
        info(4, 3, (b"", b"")),
    ]
    assert read_order(tables[n] for n in order) == tuple(tables)


@given(st.integers(0, 1 << 64), spans)
@quick
def test_what_is_packed_is_unpacked(number, span):
    table = info(number, 3, span)
    assert unpack_metadata(json.loads(json.dumps(pack_metadata(table)))) == table


@pytest.mark.parametrize("field", [field.name for field in fields(TableMetadata)])
@pytest.mark.parametrize("value", [None, -1, 1.5, True, "zz", [], "a\u00e9"], ids=repr)
def test_nonsense_in_any_field_is_refused(field, value):
    packed = pack_metadata(info())
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        unpack_metadata(packed | {field: value})
    del packed[field]
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        unpack_metadata(packed)


def test_a_span_without_a_key_and_a_field_too_many_are_refused():
    packed = pack_metadata(info())
    with pytest.raises(ValueError, match="a table stops before it starts"):
        unpack_metadata(packed | {"start": "62", "stop": "62"})
    with pytest.raises(ValueError, match="a table stops before it starts"):
        unpack_metadata(packed | {"start": "63", "stop": "62"})
    assert unpack_metadata(packed | {"start": "63", "stop": ""}).covers(b"zz")
    with pytest.raises((ValueError, TypeError)):
        unpack_metadata(packed | {"colour": 1})
