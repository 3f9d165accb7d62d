"""Lesson 07: a learner chooses bits per key, and finds the block that a key is in.

Both are tried for real: filters of thousands of keys are built with the learner's number and probed
for absent keys; tables are written, and each of their keys is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvraft.bloom import BloomFilter
from kvraft.sim import SimDisk
from kvraft.sstable import Table, TableFormat, TableWriter

TARGETS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)
KEYS = 4000


def check_bits_for(bits_for: Callable[[float], int]) -> None:
    """Print whether ``bits_for`` gives filters that err no more than asked, and are not larger."""
    for target in TARGETS:
        try:
            bits: Any = bits_for(target)
        except Exception as error:
            print(f"Not yet. For a rate of {target} it raised {type(error).__name__}: {error}")
            return
        if bits is ...:
            print("Not answered yet: write the function in place of the three dots.")
            return
        if type(bits) is not int or not 1 <= bits <= 40:
            print(f"Not yet. For a rate of {target} it gives {bits!r}: a whole number, 1 to 40.")
            return
        rate = BloomFilter.sized(KEYS, bits).expected_fpr(KEYS)
        if rate > target * 1.05:
            print(
                f"Not yet. {bits} bits a key give {rate:.2%} false positives, and {target:.2%} "
                "are allowed."
            )
            return
        least = next(
            n for n in range(1, 41) if BloomFilter.sized(KEYS, n).expected_fpr(KEYS) <= target
        )
        if bits > least + 1:
            print(f"Not yet. For {target:.2%}, {bits} bits a key are too many: {least} are enough.")
            return
    passed = _passed(bits_for(0.01))
    print(
        f"Right. At 1 % a real filter passes {passed:.2%} of 20,000 absent keys, and denies no key "
        "that is present."
    )


def _passed(bits: int) -> float:
    bloom = BloomFilter.build([b"in %d" % number for number in range(KEYS)], bits)
    assert all(b"in %d" % number in bloom for number in range(KEYS))
    return sum(b"out %d" % number in bloom for number in range(20_000)) / 20_000


FindBlock = Callable[[list[bytes], bytes], int | None]


def check_find_block(find_block: FindBlock) -> None:
    """Print whether ``find_block`` names the one block that may hold a key, in small tables."""
    for keys in ([b"m"], [b"a", b"b"], [b"b", b"d", b"f", b"h", b"j"]):
        table = _table(keys)
        for key in sorted({b"", b"zz", *keys, *(k + b"\0" for k in keys), *(k[:-1] for k in keys)}):
            right = _right(table, key)
            answer: Any
            try:
                answer = find_block(list(table.last_keys), key)
            except Exception as error:
                print(f"Not yet. It raised {type(error).__name__} ({error}) {_asked(table, key)}")
                return
            if answer is ...:
                print("Not answered yet: write the function in place of the three dots.")
                return
            if answer != right or type(answer) is bool:
                print(f"Not yet. It gives {answer!r}, right is {right!r} {_asked(table, key)}")
                return
    print("Right. Every key of three tables is searched in the one block that may hold it.")


def _right(table: Table, key: bytes) -> int | None:
    for at, last in enumerate(table.last_keys):
        if key <= last:
            return at
    return None


def _asked(table: Table, key: bytes) -> str:
    return f"for the key {key!r} where blocks end with {table.last_keys}."


def _table(keys: list[bytes]) -> Table:
    disk = SimDisk()
    writer = TableWriter(disk, 1, "", TableFormat(block_bytes=1))
    writer.add([(key, 1, b"") for key in keys])
    writer.finish([]).run_to_end()
    return Table.open(disk, 1)
