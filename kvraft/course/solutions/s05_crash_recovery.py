"""Answers to notebooks/05_crash_recovery.ipynb."""

from kvraft.course.exercises.crashes import STEPS


def promised(history, durable, acknowledged, found):
    """A prefix: all that was durable, the acknowledged, and at most the one under way."""
    return any(state == found for state in history[durable : acknowledged + 2])


def any_state(history, durable, acknowledged, found):
    """A prefix, but durable writes may be gone."""
    return found in history


def nothing_more(history, durable, acknowledged, found):
    """Forgets the write that was under way."""
    return any(state == found for state in history[durable : acknowledged + 1])


def exactly(history, durable, acknowledged, found):
    """As if every acknowledged write were durable."""
    return found == history[acknowledged]


def keys_only(history, durable, acknowledged, found):
    """Looks at keys, not at values."""
    return any(set(state) == set(found) for state in history[durable : acknowledged + 2])


def whatever(history, durable, acknowledged, found):
    """Too kind."""
    return True


def nothing(history, durable, acknowledged, found):
    """Forgets to return."""


def fails(history, durable, acknowledged, found):
    """Looks too far."""
    return history[acknowledged + 2] == found


def order(*places):
    """The steps in this order of their numbers."""
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
