"""Answers to the exercises of lesson 09, right and plausibly wrong."""

from kvraft.course.exercises.truncation import RETAIN_BYTES


def may_drop(segment, marks, matches, retained):
    """The rule."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.flushed and not needed


def flushed_alone(segment, marks, matches, retained):
    """As if there were no followers."""
    return segment.sealed and segment.high <= marks.flushed


def matched_alone(segment, marks, matches, retained):
    """As if there were no tree: what is on all members cannot be lost, can it?"""
    return segment.sealed and segment.high <= min(matches)


def applied(segment, marks, matches, retained):
    """What is in the memtable is not on disk."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.applied and not needed


def committed(segment, marks, matches, retained):
    """What is committed survives: in the log."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.committed and not needed


def below_flushed(segment, marks, matches, retained):
    """< instead of <=: a segment that ends with the flush stays."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high < marks.flushed and not needed


def below_matched(segment, marks, matches, retained):
    """< instead of <=, for the followers."""
    needed = segment.high >= min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.flushed and not needed


def without_budget(segment, marks, matches, retained):
    """Waits for one that does not come back."""
    return segment.sealed and segment.high <= min(marks.flushed, *matches)


def budget_for_the_tree(segment, marks, matches, retained):
    """The budget bounds the hard hold, too."""
    free = segment.high <= min(marks.flushed, *matches)
    return segment.sealed and (free or retained > RETAIN_BYTES)


def budget_turned_round(segment, marks, matches, retained):
    """Drops what is within the budget, and keeps what is not."""
    needed = segment.high > min(matches) and retained > RETAIN_BYTES
    return segment.sealed and segment.high <= marks.flushed and not needed


def by_the_fastest(segment, marks, matches, retained):
    """One follower has it, so it can get it from there."""
    needed = segment.high > max(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.flushed and not needed


def by_its_first_entry(segment, marks, matches, retained):
    """Drops a segment when its first entry is flushed."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.first <= marks.flushed and not needed


def its_first_entry_matched(segment, marks, matches, retained):
    """The same error on the other side."""
    needed = segment.first > min(matches) and retained <= RETAIN_BYTES
    return segment.sealed and segment.high <= marks.flushed and not needed


def either(segment, marks, matches, retained):
    """Or for and."""
    return segment.sealed and (segment.high <= marks.flushed or segment.high <= min(matches))


def active(segment, marks, matches, retained):
    """Forgets that the newest segment is being written."""
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES
    return segment.high <= marks.flushed and not needed


def sealed(segment, marks, matches, retained):
    """All that is sealed."""
    return segment.sealed


def always(segment, marks, matches, retained):
    """Everything goes."""
    return True


def never(segment, marks, matches, retained):
    """Nothing goes."""
    return False


def forgets_to_return(segment, marks, matches, retained):
    """No answer."""
    may_drop(segment, marks, matches, retained)


def wrong_name(segment, marks, matches, retained):
    """A segment has no such thing."""
    return segment.last <= marks.flushed


RIGHT = {
    "pinned_by": [[], [], ["n3", "n4"], ["tree", "n3", "n4"]],
    "may_drop": may_drop,
    "retain_bytes": 24 * 1024,
}
WRONG = {
    "pinned_by": [
        [[], ["n3"], ["n3", "n4"], ["tree", "n3", "n4"]],  # n3 has entry 20
        [[], [], ["n3"], ["tree", "n3", "n4"]],  # 25 to 30 follow on the snapshot
        [[], [], ["tree", "n3", "n4"], ["tree", "n3", "n4"]],  # entry 30 is in a table
        [[], [], ["n3", "n4"], ["tree", "n2", "n3", "n4"]],  # n2 has 48
        [["tree", "n2", "n3", "n4"], ["n2", "n3", "n4"], ["n2"], ["n2"]],  # turned round
        [[], [], ["n3"], ["tree"]],
        [],
        None,
    ],
    "may_drop": [
        flushed_alone,
        matched_alone,
        applied,
        committed,
        below_flushed,
        below_matched,
        without_budget,
        budget_for_the_tree,
        budget_turned_round,
        by_the_fastest,
        by_its_first_entry,
        its_first_entry_matched,
        either,
        active,
        sealed,
        always,
        never,
        forgets_to_return,
        wrong_name,
    ],
    "retain_bytes": [0, 8 * 1024, 12 * 1024, 64 * 1024, 16 << 20, -1, "20 KiB", None, 24576.5],
}
