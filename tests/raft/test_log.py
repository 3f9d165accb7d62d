"""The log in memory against a plain list that is never cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.raft import Log
from kvraft.record import NOOP, ORIGIN, Entry, Kind, Position, Record, TxnId, entry_size

ops = st.lists(
    st.tuples(
        st.sampled_from(["append", "truncate", "drop", "reset", "batch"]),
        st.integers(0, 9),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(ops, st.integers(0, 12), st.integers(0, 400))
def test_a_log_is_a_list_without_its_front(operations, other, budget):
    log, base, model = Log(), 0, []  # the model keeps what was dropped
    for name, size, step in operations:
        if name == "append":
            term = (model[-1].term if model else 0) + step
            record = Record(Kind.PUT, b"k", b"x" * (10 * size), 0, TxnId("c", 1, 1))
            new = [Entry(term, len(model) + 1 + n, record) for n in range(size)]
            log.append(new)
            model += new
        elif name == "truncate" and base < len(model):
            first = base + 1 + size % (len(model) - base)
            log.truncate_from(first)
            del model[first - 1 :]
        elif name == "drop":
            base += size % (len(model) - base + 1)
            log.drop_through(base)
        elif name == "reset":  # a snapshot that reaches further than the log
            term = (model[-1].term if model else 0) + step
            model += [Entry(term, len(model) + 1 + n, NOOP) for n in range(size)]
            base = len(model)
            log.reset(Position(base, model[-1].term if model else 0))
        elif base < len(model):  # what a batch remembers must go with what it was made of
            log.batch(base + 1, budget)
    terms = [0, *(entry.term for entry in model)]
    assert (log.first_index, log.last_index, log.last_term) == (base + 1, len(model), terms[-1])
    assert log.base == (base, terms[base])
    assert [log.term(n) for n in range(base, len(model) + 1)] == terms[base:]
    assert log.last == (len(model), terms[-1])
    for n in range(len(model) + 2):
        assert log.has(n, 1) == (base <= n <= len(model) and terms[n] == 1)
    assert log.slice(base + 1) == tuple(model[base:])
    for term in range(terms[-1] + 2):
        index = min(max(base, other), len(model))
        below = [n for n in range(base, index + 1) if terms[n] <= term]
        assert log.find_conflict_by_term(term, index) == max(below, default=base)
    if base < len(model):
        first = base + 1 + other % (len(model) - base)
        some = log.batch(first, budget)
        assert some == tuple(model[first - 1 : first - 1 + len(some)])
        assert len(some) == 1 or sum(map(entry_size, some)) <= budget
        more = model[first - 1 : first + len(some)]
        assert len(more) == len(some) or sum(map(entry_size, more)) > budget


@pytest.mark.parametrize(
    "entry", [Entry(3, 4, NOOP), Entry(3, 6, NOOP), Entry(2, 5, NOOP), Entry(3, 1, NOOP)]
)
def test_only_what_follows_on_can_be_appended(entry):
    log = Log(Position(3, 1), [Entry(3, 4, NOOP)])
    with pytest.raises(BadInput):
        log.append([entry])
    assert log.last_index == 4


def test_what_is_not_in_the_log_is_said_and_never_guessed():
    log = Log(Position(3, 1), [Entry(2, 4, NOOP), Entry(2, 5, NOOP)])
    for index in (-1, 0, 2, 6):
        with pytest.raises(BadInput, match="4 to 5"):
            log.term(index)
    for first, last in ((3, 5), (0, 0), (4, 6)):
        with pytest.raises(BadInput, match="4 to 5"):
            log.slice(first, last)
    for index in (2, 3, 6):
        with pytest.raises(BadInput, match="4 to 5"):
            log.batch(index, 100)
    with pytest.raises(BadInput):
        log.drop_through(2)
    assert (log.base, Log().base) == ((3, 1), ORIGIN)


@pytest.mark.parametrize("index", [1, 3])
def test_what_was_cut_off_cannot_be_truncated(index):
    log = Log(Position(3, 1), [Entry(2, 4, NOOP), Entry(2, 5, NOOP)])
    with pytest.raises(BadInput):
        log.truncate_from(index)
    assert log.last_index == 5


# ── a log that is in memory only in part ────────────────────────────────────────────────────────


class Shelf:
    """A log on disk, played by a list; it counts what is read."""

    def __init__(self, entries):
        self.entries, self.most = entries, 0

    def read(self, first, last):
        self.most = max(self.most, last - first + 1)
        return self.entries[first - 1 : last]

    def term(self, index):
        return self.entries[index - 1].term

    def find_conflict_by_term(self, term, index):
        found = [e.index for e in self.entries[:index] if e.term <= term]
        return max(found, default=0)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=1, max_size=30),
    st.data(),
)
def test_a_log_answers_alike_whether_its_front_is_in_memory_or_on_disk(shape, data):
    model, term = [], 1
    for index, (step, size) in enumerate(shape, 1):
        term += step
        record = Record(Kind.PUT, b"k", b"x" * size, 0, TxnId("c", 1, 1))
        model.append(Entry(term, index, record))
    whole, shelf = Log(ORIGIN, model), Shelf(model)
    number = st.integers(0, len(model))
    held, cut = data.draw(number), data.draw(number)
    opened = Log(ORIGIN, model[held:], stored=shelf, released=held)  # as at a start
    later = Log(ORIGIN, model, stored=shelf)
    later.release(held)  # as after a flush
    for log in (opened, later):
        assert (log.last, log.first_index, log.released) == (whole.last, 1, held)
        for index in range(1, len(model) + 1):
            assert log.term(index) == whole.term(index)
            assert log.slice(index) == whole.slice(index)
            assert log.slice(1, index) == whole.slice(1, index)
            for budget in (0, 100, 300):
                assert log.batch(index, budget) == whole.batch(index, budget)
            for least in range(term + 1):
                assert log.find_conflict_by_term(least, index) == whole.find_conflict_by_term(
                    least, index
                )
        with pytest.raises(BadInput, match="is permanent"):
            log.truncate_from(held)
        log.drop_through(cut)
        assert (log.base, log.last) == ((cut, whole.term(cut)), whole.last)
        log.append([Entry(term, len(model) + 1, NOOP)])
        assert log.slice(cut + 1) == (*model[cut:], Entry(term, len(model) + 1, NOOP))


def test_no_more_is_read_back_than_a_message_takes():
    model = [
        Entry(1, n, Record(Kind.PUT, b"", b"x" * 90, 0, TxnId("c", 1, 1))) for n in range(1, 2000)
    ]
    shelf = Shelf(model)
    log = Log(ORIGIN, [], stored=shelf, released=len(model))
    assert len(log.batch(1, 1_000)) == 6
    assert shelf.most <= 64
