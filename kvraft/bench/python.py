"""What Python itself costs on this machine: the steps of which every put and every get is made.

Each row is one statement, by ``timeit``; a row's figure includes its share of the loop, which is
the first row.  They have no peer: they are what no engine in Python can avoid, and a reason to work
on batches and slices rather than on records and objects.
"""

from __future__ import annotations

import os
import struct
import timeit
import zlib
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sortedcontainers import SortedDict

from kvraft.bench.measure import Part, Row, Samples, timed
from kvraft.murmur3 import digest

STATEMENTS = (
    ("an empty loop", "pass"),
    ("a call", "call()"),
    ("a call of a method", "thing.method()"),
    ("an object: tuple", "(key, n, value)"),
    ("an object: named tuple", "Named(key, 1, value)"),
    ("an object: frozen dataclass", "Frozen(key, 1, value)"),
    ("a struct packed, 24 bytes", "pack(1, 2, 3, 4)"),
    ("a checksum of 140 bytes", "crc32(record)"),
    ("a hash of 16 bytes", "hash128(key)"),
    ("a dict: insert", "table[keys[n]] = value; n += 1"),
    ("a sorted dict: insert", "ordered[keys[n]] = value; n += 1"),
    ("a bisection", "bisect(in_order, key)"),
    ("a system call: write 140 bytes", "write(file, record)"),
    ("a system call: read 4 KiB", "pread(file, 4096, 0)"),
)
"""What is measured, and the statement that does it."""

SYNC = Row("a sync of 4 KiB", "µs", by_wall=True)
SYNCS_FEWER = 1_000
"""A sync is slow: so many times fewer are done."""


class _Named(NamedTuple):
    key: bytes
    timestamp: int
    value: bytes


@dataclass(frozen=True, slots=True)
class _Frozen:
    key: bytes
    timestamp: int
    value: bytes


class _Thing:
    def method(self) -> None:
        pass


def samples(peer: str, seed: int, records: int, place: Path) -> Samples:
    """Yield what each statement costs, done once for each record."""
    random = Random(seed)
    keys = [b"%016d" % random.randrange(10**9) for _ in range(records)]
    file = os.open(place / "file", os.O_RDWR | os.O_CREAT)
    known: dict[str, Any] = {
        "call": lambda: None,
        "thing": _Thing(),
        "Named": _Named,
        "Frozen": _Frozen,
        "pack": struct.Struct("<QQII").pack,
        "crc32": zlib.crc32,
        "hash128": digest,
        "bisect": bisect_left,
        "write": os.write,
        "pread": getattr(os, "pread", None),  # Windows has none
        "file": file,
        "key": keys[0],
        "keys": keys,
        "in_order": sorted(keys),
        "value": b"v" * 100,
        "record": b"r" * 140,
        "table": {},
        "ordered": SortedDict(),
    }
    for name, statement in STATEMENTS:
        if "pread" in statement and known["pread"] is None:
            continue
        timer = timeit.Timer(statement, "n = 0", globals=known)
        yield timed(lambda t=timer: t.timeit(records)).per(Row(name, "µs"), records)  # type: ignore[misc]
    block, times = bytes(4096), max(1, records // SYNCS_FEWER)
    datasync = getattr(os, "fdatasync", os.fsync)

    def sync() -> None:
        for _ in range(times):
            os.write(file, block)
            datasync(file)

    yield timed(sync).per(SYNC, times)
    os.close(file)


PART = Part(title="what Python costs here", records=100_000, least=100, samples=samples)
