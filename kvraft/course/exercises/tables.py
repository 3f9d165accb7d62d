"""Lesson 07: a learner chooses bits per key, and finds the block that a key is in.

Both are tried for real: filters of thousands of keys are built with the learner's number and probed
for absent keys; tables are written, and each of their keys is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from kvraft.bloom import BloomFilter
from kvraft.course.answers import shown, value_of, whole_number
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.sim import SimDisk
from kvraft.sstable import Table, TableFormat, TableWriter

TARGETS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)
KEYS = 4000


@exercise("07.2")
def check_bits_for(bits_for: Callable[[float], int]) -> str:
    """Print whether ``bits_for`` gives filters that err no more than asked, and are not larger."""
    need_function(lambda: bits_for(0.01), "function")
    for target in TARGETS:
        with within(f"For a rate of {target}"):
            bits = whole_number(partial(bits_for, target), "bits per key", "it")
            if not 1 <= bits <= 40:
                raise Broken(f"it gives {bits}: give a whole number, 1 to 40.")
        rate = BloomFilter.sized(KEYS, bits).expected_fpr(KEYS)
        if rate > target * 1.05:
            raise Wrong(
                f"{bits} bits a key give {rate:.2%} false positives, and {target:.2%} are allowed."
            )
        least = next(
            n for n in range(1, 41) if BloomFilter.sized(KEYS, n).expected_fpr(KEYS) <= target
        )
        if bits > least + 1:
            raise Wrong(f"For {target:.2%}, {bits} bits a key are too many: {least} are enough.")
    passed = _passed(whole_number(lambda: bits_for(0.01), "bits per key"))
    return (
        f"At 1 % a real filter passes {passed:.2%} of 20,000 absent keys, and denies no key "
        "that is present."
    )


def _passed(bits: int) -> float:
    bloom = BloomFilter.build([b"in %d" % number for number in range(KEYS)], bits)
    assert all(b"in %d" % number in bloom for number in range(KEYS))
    return sum(b"out %d" % number in bloom for number in range(20_000)) / 20_000


FindBlock = Callable[[list[bytes], bytes], int | None]


class Lookup(NamedTuple):
    """A key that is looked for in a table whose blocks end with ``last_keys``."""

    last_keys: list[bytes]
    key: bytes

    @property
    def right(self) -> int | None:
        """The number of the first block whose last key is not below the key."""
        return next((at for at, last in enumerate(self.last_keys) if self.key <= last), None)

    def __str__(self) -> str:
        return f"For the key {self.key!r} where blocks end with {self.last_keys}:"


def lookups() -> Iterator[Lookup]:
    """Yield keys of small tables, and keys between and next to them."""
    for keys in ([b"m"], [b"a", b"b"], [b"b", b"d", b"f", b"h", b"j"]):
        last_keys = list(_table(keys).last_keys)
        for key in sorted({b"", b"zz", *keys, *(k + b"\0" for k in keys), *(k[:-1] for k in keys)}):
            yield Lookup(last_keys, key)


@exercise("07.3")
def check_find_block(find_block: FindBlock) -> str:
    """Print whether ``find_block`` names the one block that may hold a key, in small tables."""
    need_function(lambda: find_block([b"m"], b"m"), "function")
    agrees(lookups(), lambda lookup: _compare(find_block, lookup))
    return "Every key of three tables is searched in the one block that may hold it."


def _compare(find_block: FindBlock, lookup: Lookup) -> str:
    """Return what is wrong with what ``find_block`` gives, ``""`` if nothing is."""
    given = find_block(list(lookup.last_keys), lookup.key)
    answer: Any = value_of(given)
    if answer is not None and type(answer) is not int:
        raise Broken(f"it gives {shown(given)}: give the number of a block, or None.")
    if answer == lookup.right:
        return ""
    if answer is None:
        why = "this key is not above the last key of the last block"
    elif lookup.right is None:
        why = "it is above the last key of the last block, so no block has it"
    elif lookup.key in lookup.last_keys:
        why = "a block's last key is in that block"
    else:
        why = "the first block whose last key is above it"
    return f"it gives {answer!r}, right is {lookup.right!r}: {why}."


def _table(keys: list[bytes]) -> Table:
    disk = SimDisk()
    writer = TableWriter(disk, 1, "", TableFormat(block_bytes=1))
    writer.add([(key, 1, b"") for key in keys])
    writer.finish([]).run_to_end()
    return Table.open(disk, 1)
