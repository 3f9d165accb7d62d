"""Answers to notebooks/11_linearizability.ipynb."""

from itertools import permutations


def linearizable(history, value=None):
    """Try each call that can come first, and what is left after it (Wing and Gong)."""
    ends = [call.returned for call in history if call.returned is not None]
    if not ends:
        return True  # what has no answer need not take effect
    for place, call in enumerate(history):
        if call.called > min(ends) or (call.does == "get" and call.value != value):
            continue
        rest = history[:place] + history[place + 1 :]
        if linearizable(rest, call.value if call.does == "put" else value):
            return True
    return False


def _replays(order):
    value = None
    for call in order:
        if call.does == "put":
            value = call.value
        elif call.value != value:
            return False
    return True


def by_return(history):
    """The order in which calls returned is one of many."""
    late = max((call.returned or 0 for call in history), default=0) + 1
    return _replays(sorted(history, key=lambda call: call.returned or late))


def by_call(history):
    """So is the order in which they were called."""
    return _replays(sorted(history, key=lambda call: call.called))


def ignores_time(history):
    """Any order will do, whoever waited for whom."""
    sure = [call for call in history if call.returned is not None]
    lost = [call for call in history if call.returned is None]
    return any(
        _replays(order)
        for count in range(len(lost) + 1)
        for some in permutations(lost, count)
        for order in permutations([*sure, *some])
    )


def without_lost(history):
    """A put without an answer never happened."""
    return linearizable([call for call in history if call.returned is not None])


def first_that_fits(history, value=None):
    """Takes the first call that fits, and never goes back."""
    ends = [call.returned for call in history if call.returned is not None]
    if not ends:
        return True
    for place, call in enumerate(history):
        if call.called <= min(ends) and (call.does == "put" or call.value == value):
            rest = history[:place] + history[place + 1 :]
            return first_that_fits(rest, call.value if call.does == "put" else value)
    return False


def sees_what_returned(history):
    """Only what had returned may be seen."""
    gets = [call for call in history if call.does == "get"]
    puts = [call for call in history if call.does == "put" and call.returned is not None]
    for get in gets:
        before = [put for put in puts if put.returned < get.called]
        latest = max(before, key=lambda put: put.returned).value if before else None
        if get.value != latest:
            return False
    return True


def believes_everything(history):
    """Every history is right."""
    return True


def returns_nothing(history):
    """Forgets to return."""


def raises(history):
    """A call has no attribute of that name."""
    return history[0].key == 1


RIGHT = {
    "explained": ["A", "D", "E"],
    "last_ticks": {"A": 47, "B": 50, "C": 44},
    "linearizable": linearizable,
}
WRONG = {
    "explained": [
        ["D", "E"],  # overlapping calls have no fixed order
        ["A", "B", "D", "E"],
        ["A", "C", "D", "E"],  # an order is the same for all who look
        ["A", "E"],
        ["A", "D"],
        ["A", "D", "E", "F"],
        "B",
        None,
    ],
    "last_ticks": [
        {"A": 49, "B": 56, "C": 44},  # counts from the answers
        {"A": 48, "B": 51, "C": 44},
        {"A": 47, "B": 47, "C": 44},  # the late answer counts, too
        {"A": 47, "B": 53, "C": 44},
        {"A": 47, "B": 50, "C": 47},  # a transfer ends the lease
        {"A": 47, "B": 50, "C": 45},
        {"A": 47},
        None,
    ],
    "linearizable": [
        by_return,
        by_call,
        ignores_time,
        without_lost,
        first_that_fits,
        sees_what_returned,
        believes_everything,
        returns_nothing,
        raises,
    ],
}
