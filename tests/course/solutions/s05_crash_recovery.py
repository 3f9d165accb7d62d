"""Answers to notebooks/05_crash_recovery.ipynb."""

from kvraft.course.exercises.crashes import STEPS


def promised(past, durable, acknowledged, found):
    """A prefix: all that was durable, and at most the one under way besides the acknowledged."""
    return any(state == found for state in past[durable : acknowledged + 2])


def any_state(past, durable, acknowledged, found):
    """A prefix, but durable writes may be gone."""
    return found in past


def nothing_more(past, durable, acknowledged, found):
    """Forgets the write that was under way."""
    return any(state == found for state in past[durable : acknowledged + 1])


def exactly(past, durable, acknowledged, found):
    """As if every acknowledged write were durable."""
    return found == past[acknowledged]


def keys_only(past, durable, acknowledged, found):
    """Looks at keys, not at values."""
    return any(set(state) == set(found) for state in past[durable : acknowledged + 2])


def whatever(past, durable, acknowledged, found):
    """Too kind."""
    return True


def nothing(past, durable, acknowledged, found):
    """Forgets to return."""


def fails(past, durable, acknowledged, found):
    """Looks too far."""
    return past[acknowledged + 2] == found


def order(*places):
    return [STEPS[place] for place in places]


RIGHT = {"found": [0, 0, 2, 2, 4, 4], "promised": promised, "order": order(0, 1, 2, 3, 4)}
WRONG = {
    "found": [[1, 2, 2, 2, 4, 4], [0, 0, 2, 2, 2, 4], [0, 0, 0, 0, 0, 0]],
    "promised": [any_state, nothing_more, exactly, keys_only, whatever, nothing, fails],
    "order": [
        order(0, 3, 1, 2, 4),
        order(0, 1, 2, 4, 3),
        order(0, 1, 3, 2, 4),
        order(2, 0, 1, 3, 4),
        order(1, 0, 2, 3, 4),
        order(0, 1, 2, 3),
        "write the table",
    ],
}
