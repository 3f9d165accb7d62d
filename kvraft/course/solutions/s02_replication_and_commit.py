"""Answers to notebooks/02_replication_and_commit.ipynb."""

from kvraft.raft import committed_index


def advance_commit(commit_index, term, match, configuration, log):
    """Raft Figure 2: the highest N above it that a majority holds, if it is of our term."""
    held = sorted(match[voter] for voter in configuration.voters)
    index = held[(len(held) - 1) // 2]
    return index if index > commit_index and log.term(index) == term else commit_index


def of_any_term(commit_index, term, match, configuration, log):
    """Figure 8: counts copies of older terms."""
    return max(commit_index, committed_index(configuration, match))


def falls(commit_index, term, match, configuration, log):
    """A new leader knows no match index yet."""
    index = committed_index(configuration, match)
    return index if index and log.term(index) == term else commit_index


def furthest(commit_index, term, match, configuration, log):
    """One copy is not a majority."""
    index = max(match.values())
    return index if index > commit_index and log.term(index) == term else commit_index


def upper_median(commit_index, term, match, configuration, log):
    """Right for odd clusters; half of an even one is not."""
    held = sorted(match[voter] for voter in configuration.voters)
    index = held[len(held) // 2]
    return index if index > commit_index and log.term(index) == term else commit_index


def with_learners(commit_index, term, match, configuration, log):
    """Counts all that are sent the log."""
    held = sorted(match.values())
    index = held[(len(held) - 1) // 2]
    return index if index > commit_index and log.term(index) == term else commit_index


def looks_below_the_log(commit_index, term, match, configuration, log):
    """Asks for the term of an entry that was truncated."""
    index = committed_index(configuration, match)
    return index if log.term(index) == term and index > commit_index else commit_index


def unanimous(commit_index, term, match, configuration, log):
    """Waits for everybody."""
    index = min(match[voter] for voter in configuration.voters)
    return index if index > commit_index and log.term(index) == term else commit_index


def returns_nothing(commit_index, term, match, configuration, log):
    """Forgets to return."""


RIGHT = {
    "commit_indexes": [5, 4, 3, 2],
    "advance_commit": advance_commit,
    "next_indexes": {"a": 10, "b": 5, "e": 6, "f": 4},
}
WRONG = {
    "commit_indexes": [
        [7, 4, 3, 2],  # the highest
        [5, 4, 4, 2],  # half of four
        [5, 4, 3, 4],  # counts an entry of an older term
        [3, 2, 3, 2],  # the lowest
        None,
    ],
    "advance_commit": [
        of_any_term,
        falls,
        furthest,
        upper_median,
        with_learners,
        looks_below_the_log,
        unanimous,
        returns_nothing,
    ],
    "next_indexes": [
        {"a": 10, "b": 5, "c": 11, "d": 11, "e": 6, "f": 4},  # c and d refuse nothing
        {"a": 10, "b": 10, "e": 10, "f": 10},  # one by one
        {"a": 10, "b": 5, "e": 8, "f": 11},  # looks at the index of the hint only
        {"a": 9, "b": 4, "e": 5, "f": 3},  # where they meet
    ],
}
