"""Answers to notebooks/15_break_it.ipynb."""


def appended(mine, previous, sent):
    """Figure 2: look at the entry before, and truncate only where there is a conflict."""
    index, term = previous
    if index > len(mine) or (index and mine[index - 1] != term):
        return None
    for new, each in enumerate(sent):
        if mine[index + new : index + new + 1] != [each]:
            return mine[: index + new] + sent[new:]
    return mine


def truncates_always(mine, previous, sent):
    """What a famous teaching implementation did: the log ends where the message ends."""
    index, term = previous
    if index > len(mine) or (index and mine[index - 1] != term):
        return None
    return mine[:index] + sent


def never_truncates(mine, previous, sent):
    """Appends what is new by its place."""
    index, term = previous
    if index > len(mine) or (index and mine[index - 1] != term):
        return None
    return mine + sent[max(0, len(mine) - index) :]


def looks_at_lengths(mine, previous, sent):
    """The entry before may be of any term."""
    index, _ = previous
    return (
        None
        if index > len(mine)
        else appended(mine, (index, mine[index - 1] if index else 0), sent)
    )


def leaves_gaps(mine, previous, sent):
    """Takes what comes."""
    index, term = previous
    if index and index <= len(mine) and mine[index - 1] != term:
        return None
    return appended(
        mine, (min(index, len(mine)), term if index <= len(mine) else (mine or [0])[-1]), sent
    )


def appends_again(mine, previous, sent):
    """Everything that comes is put at the end."""
    index, term = previous
    if index > len(mine) or (index and mine[index - 1] != term):
        return None
    return mine + sent


def refuses_old_ones(mine, previous, sent):
    """A message for an earlier place than the end of the log is refused."""
    return None if previous[0] < len(mine) else appended(mine, previous, sent)


def returns_nothing(mine, previous, sent):
    """Forgets to return."""


def returns_text(mine, previous, sent):
    """Says what it would do."""
    return "append"


def raises(mine, previous, sent):
    """There is no entry 0."""
    return mine[previous[0] - 99]


RIGHT = {
    "breaks": {"A": 2, "B": 3, "C": 4, "D": 5, "E": 1},
    "needed": 59,
    "appended": appended,
}
WRONG = {
    "breaks": [
        {"A": 1, "B": 3, "C": 4, "D": 5, "E": 1},  # not saved: seen before it votes again
        {"A": 2, "B": 4, "C": 4, "D": 5, "E": 1},
        {"A": 2, "B": 3, "C": 3, "D": 5, "E": 1},
        {"A": 2, "B": 3, "C": 4, "D": 4, "E": 1},
        {"A": 2, "B": 3, "C": 4, "D": 5, "E": 2},
        {"A": 2},
        None,
    ],
    "needed": [
        20,  # on average
        19,
        58,
        60,
        100,
        "many",
        None,
    ],
    "appended": [
        truncates_always,
        never_truncates,
        looks_at_lengths,
        leaves_gaps,
        appends_again,
        refuses_old_ones,
        returns_nothing,
        returns_text,
        raises,
    ],
}
