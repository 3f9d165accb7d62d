"""Sessions: each transaction applied once, as long as the client keeps to its window."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.record import TxnId
from kvraft.replica import Session, Sessions, TransactionOutcome
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


LIFETIME = 40


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 30)), max_size=60))
@settings(deadline=None)
def test_sessions_expire_when_they_have_not_been_used_for_a_lifetime_and_not_before(uses):
    """Whom nobody needs to look at yet makes no difference to a search through all of them."""
    sessions, last_used, now = Sessions((), LIFETIME), {}, 0
    for client, passed in uses:
        now += passed
        gone = [name for name, used in last_used.items() if now - used > LIFETIME]
        gone.sort(key=last_used.__getitem__)
        txn = TxnId(client, 1, now)
        assert sessions.find(txn, now).newest == (0 if client in gone else last_used.get(client, 0))
        _, expired = sessions.record(txn, TransactionOutcome(now, now), now)
        assert list(expired) == [f"{name}.1" for name in gone]
        last_used = {name: used for name, used in last_used.items() if name not in gone}
        last_used[client] = now
        assert sorted(sessions) == sorted(f"{name}.1" for name in last_used)
