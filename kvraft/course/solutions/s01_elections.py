"""Answers to notebooks/01_elections.ipynb."""


def grant_vote(ask, term, vote, last):
    """Raft §5.2, §5.4.1: in this term, not given away, and a log that is as up-to-date."""
    if ask.term < term or vote not in (None, ask.sender):
        return False
    if ask.last_term != last.term:
        return ask.last_term > last.term
    return ask.last_index >= last.index


def of_any_term(ask, term, vote, last):
    """Votes in an election that is over."""
    return vote in (None, ask.sender) and (ask.last_term, ask.last_index) >= (last.term, last.index)


def for_everybody(ask, term, vote, last):
    """Votes twice a term."""
    return ask.term == term and (ask.last_term, ask.last_index) >= (last.term, last.index)


def without_logs(ask, term, vote, last):
    """Does not compare logs."""
    return ask.term == term and vote in (None, ask.sender)


def for_the_longer(ask, term, vote, last):
    """Compares lengths only."""
    return ask.term == term and vote in (None, ask.sender) and ask.last_index >= last.index


def for_the_higher_term(ask, term, vote, last):
    """Compares last terms only."""
    return ask.term == term and vote in (None, ask.sender) and ask.last_term >= last.term


def both_at_least(ask, term, vote, last):
    """Wants both numbers, where the first decides."""
    fits = ask.last_term >= last.term and ask.last_index >= last.index
    return ask.term == term and vote in (None, ask.sender) and fits


def length_first(ask, term, vote, last):
    """Compares in the wrong order."""
    fits = (ask.last_index, ask.last_term) >= (last.index, last.term)
    return ask.term == term and vote in (None, ask.sender) and fits


def strictly_more(ask, term, vote, last):
    """Refuses a log that is just as up-to-date."""
    fits = (ask.last_term, ask.last_index) > (last.term, last.index)
    return ask.term == term and vote in (None, ask.sender) and fits


def never_again(ask, term, vote, last):
    """Does not repeat an answer that may have been lost."""
    fits = (ask.last_term, ask.last_index) >= (last.term, last.index)
    return ask.term == term and vote is None and fits


def the_wrong_term(ask, term, vote, last):
    """Compares the term of the election with that of the log."""
    return ask.term >= last.term and vote in (None, ask.sender) and ask.last_index >= last.index


def returns_nothing(ask, term, vote, last):
    """Forgets to return."""


RIGHT = {
    "votes": {"A": 5, "B": 2, "C": 5, "D": 1, "E": 3},
    "grant_vote": grant_vote,
    "low": 130,
    "high": 280,
}
WRONG = {
    "votes": [
        {"A": 2, "B": 5, "C": 2, "D": 4, "E": 2},  # the longest log
        {"A": 4, "B": 2, "C": 4, "D": 1, "E": 3},  # an equal log refused
        {"A": 4, "B": 1, "C": 4, "D": 0, "E": 2},  # its own vote forgotten
        {"A": 5, "B": 2, "C": 0, "D": 0, "E": 0},  # given away to the first candidate
        None,
    ],
    "grant_vote": [
        of_any_term,
        for_everybody,
        without_logs,
        for_the_longer,
        for_the_higher_term,
        both_at_least,
        length_first,
        strictly_more,
        never_again,
        the_wrong_term,
        returns_nothing,
    ],
    "low": [60, 100, 160, 300],  # a hiccup deposes; too slow; above the other
    "high": [135, 180, 500, "280"],  # too narrow, too wide
}
