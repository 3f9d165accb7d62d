"""Answers to notebooks/07_sstables_and_bloom_filters.ipynb."""

import math
from bisect import bisect_left, bisect_right


def bits_for(rate):
    """The size from the theory, and then whatever the rounding of k still asks for."""
    from kvraft.bloom import BloomFilter

    return next(n for n in range(1, 41) if BloomFilter.sized(4000, n).expected_fpr(4000) <= rate)


def too_few(rate):
    """Rounds down, and a little more."""
    return max(1, int(-math.log(rate) / math.log(2) ** 2) - 1)


def too_many(rate):
    """The same for every rate."""
    return 20


def a_float(rate):
    """Half a bit cannot be had."""
    return -math.log(rate) / math.log(2) ** 2


def fails(rate):
    """Divides by zero where the rate is 0.05."""
    return int(1 / (rate - 0.05))


def find_block(last_keys, key):
    """The first block whose last key is not below the key."""
    at = bisect_left(last_keys, key)
    return at if at < len(last_keys) else None


def one_too_far(last_keys, key):
    """Takes a last key for the first of the next block."""
    at = bisect_right(last_keys, key)
    return at if at < len(last_keys) else None


def no_end(last_keys, key):
    """Names a block after the last one."""
    return bisect_left(last_keys, key)


def exact_only(last_keys, key):
    """Looks only for last keys."""
    return last_keys.index(key)


def nothing(last_keys, key):
    """Forgets to return."""


RIGHT = {"read": [1, 0, 1, 2], "bits_for": bits_for, "find_block": find_block}
WRONG = {
    "read": [[1, 1, 1, 1], [1, 0, 0, 2], [1, 0, 1, 1]],
    "bits_for": [too_few, too_many, a_float, fails],
    "find_block": [one_too_far, no_end, exact_only, nothing],
}
