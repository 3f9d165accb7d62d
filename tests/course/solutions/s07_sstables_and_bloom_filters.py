"""Answers to notebooks/07_sstables_and_bloom_filters.ipynb."""

import math
from bisect import bisect_left, bisect_right


def bits_for(rate):
    """The size from the theory, and then whatever the rounding of k still asks for."""
    from kvraft.bloom import BloomFilter

    return next(n for n in range(1, 41) if BloomFilter.sized(4000, n).expected_fpr(4000) <= rate)


def too_few(rate):
    return max(1, int(-math.log(rate) / math.log(2) ** 2) - 1)


def too_many(rate):
    return 20


def a_float(rate):
    return -math.log(rate) / math.log(2) ** 2


def fails(rate):
    return int(1 / (rate - 0.05))


def find_block(last_keys, key):
    at = bisect_left(last_keys, key)
    return at if at < len(last_keys) else None


def behind(last_keys, key):
    at = bisect_right(last_keys, key)
    return at if at < len(last_keys) else None


def no_end(last_keys, key):
    return bisect_left(last_keys, key)


def exact_only(last_keys, key):
    return last_keys.index(key)


def nothing(last_keys, key):
    """Forgets to return."""


RIGHT = {"read": [1, 0, 1, 2], "bits_for": bits_for, "find_block": find_block}
WRONG = {
    "read": [[1, 1, 1, 1], [1, 0, 0, 2], [1, 0, 1, 1]],
    "bits_for": [too_few, too_many, a_float, fails],
    "find_block": [behind, no_end, exact_only, nothing],
}
