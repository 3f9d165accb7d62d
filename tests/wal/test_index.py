"""The table of a log says what a list of its entries would, however often they are replaced."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.record import NOOP, Entry, Position
from kvraft.wal.index import FrameLocation, LogIndex, term_starts


def entries(first: int, terms: list[int]) -> list[Entry]:
    return [Entry(term, first + at, NOOP) for at, term in enumerate(terms)]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data())
def test_it_knows_of_each_entry_its_term_and_its_frame(data: st.DataObject) -> None:
    base = Position(data.draw(st.integers(0, 5)), 1)
    index, offset = LogIndex(base), 0
    log: dict[int, tuple[int, int]] = {}  # of each entry the term and the offset of its frame
    last = base.index
    for _ in range(data.draw(st.integers(1, 12))):
        first = data.draw(st.integers(index.base.index + 1, last + 1), "first")
        lowest = log[first - 1][0] if first - 1 in log else index.base.term
        terms = sorted(data.draw(st.lists(st.integers(lowest, lowest + 2), min_size=1, max_size=4)))
        last, offset = first + len(terms) - 1, offset + 1
        index.extend(term_starts(entries(first, terms)), last)
        index.add_frame(FrameLocation(first, last, last, "f", offset, 1))
        log = {at: known for at, known in log.items() if at < first}
        log |= {first + at: (term, offset) for at, term in enumerate(terms)}
        if data.draw(st.integers(0, 4), "cut") == 0:
            floor = data.draw(st.integers(index.base.index, last), "floor")
            term = log[floor][0] if floor in log else index.base.term
            index.truncate_prefix(floor)
            assert index.base == Position(floor, term)
            log = {at: known for at, known in log.items() if at > floor}
    assert index.end == Position(last, log[last][0] if log else index.base.term)
    assert {at: index.term_at(at) for at in log} == {at: term for at, (term, _) in log.items()}
    assert all(index.has(Position(at, term)) for at, (term, _) in log.items())
    assert not index.has(Position(last + 1, 1))
    assert not any(index.has(Position(at, term + 1)) for at, (term, _) in log.items())
    assert index.has(index.base)
    low = data.draw(st.integers(index.base.index + 1, last + 1), "low")
    high = data.draw(st.integers(low - 1, last), "high")
    wanted = {at: offset for at, (_, offset) in log.items() if low <= at <= high}
    found = {
        at: batch.offset
        for batch in index.covering(low, high)
        for at in range(max(low, batch.first), min(high, batch.last) + 1)
    }
    assert found == wanted
    if low <= high:
        assert [batch.offset for batch in index.covering(low, high)] == sorted(set(wanted.values()))


def test_a_term_of_what_was_cut_away_is_not_made_up() -> None:
    index = LogIndex(Position(5, 3))
    assert (index.term_at(4), index.term_at(5)) == (0, 3)
    index.extend([Position(3, 2)], 7)  # superseded entries below the base, which are gone
    assert (index.term_at(2), index.term_at(4), index.end) == (0, 2, Position(7, 2))
    index.truncate_prefix(5)
    assert (index.base, index.last) == (Position(5, 2), 7)


@pytest.mark.parametrize(("terms", "says"), [([2, 1], "entry 8 is of term 1, after term 2")])
def test_entries_whose_terms_fall_are_refused(terms: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        term_starts(entries(7, terms))
    with pytest.raises(ValueError, match="entry 9 follows entry 7"):
        term_starts([*entries(7, [1]), *entries(9, [1])])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=15), st.integers(0, 5), st.integers(0, 5))
def test_a_term_is_found_as_by_looking_at_every_entry(steps, base, base_term):
    index, terms = LogIndex(Position(base, base_term)), {base: base_term}
    for number, step in enumerate(steps, base + 1):
        term = terms[number - 1] + step
        terms[number] = term
        index.extend([Position(number, term)], number)
    for term in range(base_term, max(terms.values()) + 2):
        for limit in terms:
            expected = max(n for n, t in terms.items() if n <= limit and t <= term)
            assert index.find_conflict_by_term(term, limit) == expected
