"""Answers to notebooks/03_safety.ipynb."""


def up_to_date(ask, last):
    """Raft §5.4.1: the term of the last entry, then the length."""
    return (ask.last_term, ask.last_index) >= (last.term, last.index)


def any_log(ask, last):
    """No restriction at all."""
    return True


def longer(ask, last):
    """As if more entries were better ones."""
    return ask.last_index >= last.index


def later(ask, last):
    """Compares terms, and forgets the length."""
    return ask.last_term >= last.term


def length_first(ask, last):
    """The right parts in the wrong order."""
    return (ask.last_index, ask.last_term) >= (last.index, last.term)


def both(ask, last):
    """As if each had to be at least as high."""
    return ask.last_term >= last.term and ask.last_index >= last.index


def either(ask, last):
    """As if one of the two were enough."""
    return ask.last_term >= last.term or ask.last_index >= last.index


def strictly(ask, last):
    """Equal logs refuse each other."""
    return (ask.last_term, ask.last_index) > (last.term, last.index)


def asks_the_term_of_the_election(ask, last):
    """The term that the candidate stands for is not the term of its last entry."""
    return (ask.term, ask.last_index) >= (last.term, last.index)


def returns_nothing(ask, last):
    """Forgets to return."""


def raises(ask, last):
    """Asks for a name that a position does not have."""
    return ask.last_index >= last.last_index


SCHEDULE = """
timeout n1
deliver RequestVote to n2
deliver RequestVote to n3       # so that n3 knows of term 3, and stands for term 4 next
deliver RequestVoteReply from n2
deliver AppendEntries to n2     # after entry 1, which n2 lacks
deliver AppendEntriesReply from n2
deliver AppendEntries to n2     # entry 1, alone
deliver AppendEntriesReply from n2
timeout n3
deliver RequestVote from n3 to n2
deliver RequestVoteReply from n2 to n3
"""

WITH_CRASHES = SCHEDULE.replace("timeout n3", "crash n1\ncrash n2\nrestart n2\ntimeout n3")

TOO_EARLY = """
timeout n1
deliver RequestVote to n2
deliver RequestVoteReply from n2
deliver AppendEntries to n2
deliver AppendEntriesReply to n1
deliver AppendEntries to n2
deliver AppendEntriesReply to n1
timeout n3
deliver RequestVote from n3 to n2
"""

RIGHT = {"winners": ["acd", "acd", "ace"], "schedule": SCHEDULE, "up_to_date": up_to_date}
WRONG = {
    "winners": [
        ["c", "ac", "ace"],  # only logs that end as the dead leader's did
        ["acd", "acd", "acd"],  # three votes of seven are not a majority
        ["acdf", "acdf", "ace"],  # f is long
        ["cd", "d", "ace"],
        None,
    ],
    "schedule": [
        WITH_CRASHES,
        TOO_EARLY,  # an election of term 3, which n2 has voted in
        "\n".join(SCHEDULE.splitlines()[:-1]),
        "timeout n1\nsettle",
        "",
        "timeout n1\ndeliver everything",
        "timeout n4",
        "violation leader completeness",
        "planted any log elected\ntimeout n1",
        "deliver to n1",
        "restart n1",
        ["timeout n1"],
        None,
    ],
    "up_to_date": [
        any_log,
        longer,
        later,
        length_first,
        both,
        either,
        strictly,
        asks_the_term_of_the_election,
        returns_nothing,
        raises,
    ],
}
