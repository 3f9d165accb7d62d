"""Answers to notebooks/13_membership.ipynb."""


def agreed(voters, outgoing, have):
    """Raft §6: a majority of each half, and of the only one if there is no other."""
    halves = [half for half in (voters, outgoing) if half]
    return all(2 * len(half & have) > len(half) for half in halves)


def all_together(voters, outgoing, have):
    """One majority of all members of both halves."""
    everyone = voters | outgoing
    return 2 * len(everyone & have) > len(everyone)


def the_new_ones(voters, outgoing, have):
    """As if the new configuration were in force already."""
    return 2 * len(voters & have) > len(voters)


def the_old_ones(voters, outgoing, have):
    """As if the change began only when it is committed."""
    half = outgoing or voters
    return 2 * len(half & have) > len(half)


def either(voters, outgoing, have):
    """One majority, whichever."""
    return any(2 * len(half & have) > len(half) for half in (voters, outgoing))


def half_is_enough(voters, outgoing, have):
    """At least half, instead of more than half."""
    return all(2 * len(half & have) >= len(half) for half in (voters, outgoing))


def everybody(voters, outgoing, have):
    """Safe, and never done when one member is down."""
    return voters | outgoing <= have


def counts_learners(voters, outgoing, have):
    """Counts whoever holds the entry."""
    return all(2 * len(have) > len(half) for half in (voters, outgoing))


def never_leaves(voters, outgoing, have):
    """Asks for a majority of outgoing voters where there are none."""
    return all(2 * len(half & have) > len(half) for half in (voters, outgoing))


def returns_nothing(voters, outgoing, have):
    """Forgets to return."""


def raises(voters, outgoing, have):
    """Sets have no length attribute."""
    return (voters & have).length > 1


RIGHT = {
    "unsafe": ["B", "D", "E", "F"],
    "winners": ["ab", "a", "abd", ""],
    "agreed": agreed,
}
WRONG = {
    "unsafe": [
        ["B", "C", "D", "E", "F"],  # two more are not always too many
        ["B", "D"],  # the number stays, the members do not
        ["B", "E", "F"],  # removing is no safer than adding
        ["A", "B", "D", "E", "F"],
        "B",
        None,
    ],
    "winners": [
        ["abde", "a", "abd", ""],  # learners do not stand
        ["ab", "ab", "abd", ""],  # b's log is shorter than a's
        ["ab", "a", "d", ""],  # a and b may not have heard
        ["ab", "a", "abd", "ad"],  # one of the new three is not a majority
        ["ab", "a", "abd", "b"],
        None,
    ],
    "agreed": [
        all_together,
        the_new_ones,
        the_old_ones,
        either,
        half_is_enough,
        everybody,
        counts_learners,
        never_leaves,
        returns_nothing,
        raises,
    ],
}
