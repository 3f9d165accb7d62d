"""Sessions: each transaction applied once, as long as the client keeps to its window."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.replica import Session, TransactionOutcome
from kvraft.transaction import SESSION_WINDOW


@given(st.lists(st.integers(0, SESSION_WINDOW - 1), max_size=120))
@settings(derandomize=True, deadline=None)
def test_no_transaction_within_the_window_is_ever_applied_twice_or_refused(choices):
    """A client has up to WINDOW numbers open; any of them may arrive next, again and again."""
    session = Session()
    applied: set[int] = set()
    lowest = 1
    for index, choice in enumerate(choices, 1):
        sequence = lowest + choice
        assert not session.forgotten(sequence)
        assert (session.outcome(sequence) is not None) == (sequence in applied)
        if sequence not in applied:
            session.add(sequence, TransactionOutcome(index, index), index)
            applied.add(sequence)
        while lowest in applied:
            lowest += 1
        session = Session.from_bytes(session.to_bytes())


def test_what_falls_out_of_the_window_is_forgotten_and_so_refused():
    session = Session()
    session.add(1, TransactionOutcome(10, 100), 0)
    session.add(SESSION_WINDOW, TransactionOutcome(11, 101), 0)
    assert session.outcome(1) == TransactionOutcome(10, 100)
    assert not session.forgotten(1)
    session.add(SESSION_WINDOW + 1, TransactionOutcome(12, 102), 0)
    assert session.outcome(1) is None
    assert session.forgotten(1)
    assert not session.forgotten(2)


def test_a_session_stays_small():
    session = Session()
    for sequence in range(1, 1000):
        session.add(sequence, TransactionOutcome(sequence, sequence), 0)
    assert len(session.to_bytes()) <= 8 + 40 * SESSION_WINDOW
