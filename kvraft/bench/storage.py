"""The storage engine next to others: db_bench's workloads, and what they cost in memory and disk.

Keys have 16 bytes, values 100 of which half can be compressed away, as in LevelDB's db_bench.
Every engine has its default options, a filter of 10 bits a key where it can have one, and a cache
of the same size.  A write reaches the operating system before the call returns; *buffered* rows are
those of a log that is handed over every 64 KiB, and are compared with the others' usual writes.
``fillsync`` syncs each.  Reads come after everything was flushed and compacted.

*recovery* opens a copy of the files of so many single puts as a crash leaves them: all of them are
in the log and none in a table.  *worst slice* is the longest piece of a flush or a compaction that
a put of ours has to do; others have threads for that.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from kvraft.bench.engines import (
    CACHE_BYTES,
    Engine,
    Kvraft,
    KvraftBuffered,
    KvraftTimed,
    engine_of,
    peers,
)
from kvraft.bench.measure import Part, Row, Sample, Samples, Spent, amount, peak_memory, timed
from kvraft.sstable import codec_number

BATCH = 1000
SEEN = 50
"""How many keys are read after each seek."""
FEW = 50
"""Syncs and seeks are slow: one is done for so many records."""
SCANS = 3
"""How many times everything is read in order: once is too short for a clock."""
LOGGED = 20_000
"""The most records that a crash leaves in the log: they fit into one memtable of any engine."""
SMALL = 16
"""The small cache is so many times smaller than the database."""
RECORD_BYTES = 116

FILLSEQ = Row("fillseq", "µs a put")
FILLRANDOM = Row("fillrandom", "µs a put")
OVERWRITE = Row("overwrite", "µs a put")
DELETERANDOM = Row("deleterandom", "µs a delete")
BUFFERED = {
    row: Row(f"{row.name}, buffered", row.unit, peer_row=row.name)
    for row in (FILLSEQ, FILLRANDOM, OVERWRITE, DELETERANDOM)
}
FILLBATCH = Row(f"fillbatch ({BATCH:,})", "µs a put")
FILLSYNC = Row("fillsync", "µs a put", by_wall=True)
READRANDOM = Row("readrandom", "µs a get")
SMALL_CACHE = Row(f"readrandom, cache 1/{SMALL}", "µs a get")
READMISSING = Row("readmissing", "µs a get")
SEEK = Row(f"seek and {SEEN}", "µs a seek")
READSEQ = Row("readseq", "µs a row")
READREVERSE = Row("readreverse", "µs a row")
RECOVERY = Row("recovery after a crash", "µs a put")
DISK = Row("disk, uncompressed", "MB")
SQUEEZED = Row("disk, compressed", "MB")
MEMORY_WRITING = Row("peak memory, writing", "MB")
MEMORY = Row("peak memory, in all", "MB")
PUT_P50 = Row("put, p50", "µs", by_wall=True)
PUT_P99 = Row("put, p99", "µs", by_wall=True)
PUT_WORST = Row("put, worst", "ms", by_wall=True)
SLICE_P99 = Row("slice, p99", "ms")
SLICE_WORST = Row("slice, worst", "ms")
SLICE_WAITS = Row("slice, worst with its syncs", "ms", by_wall=True)


class Work:
    """The keys and values of one round, the same for every engine."""

    def __init__(self, seed: int, count: int) -> None:
        random = Random(seed)
        self.count = count
        self.in_order = [b"%016d" % n for n in range(count)]
        self.shuffled = [b"%016d" % random.randrange(count) for _ in range(count)]
        self.missing = [key[:-1] + b"x" for key in self.shuffled]
        self.few = self.shuffled[: max(1, count // FEW)]
        self._values = [random.randbytes(50) * 2 for _ in range(1000)]

    def pairs(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """Return each of ``keys`` with a value."""
        return [(key, self._values[n % 1000]) for n, key in enumerate(keys)]


def samples(peer: str, seed: int, records: int, place: Path) -> Samples:
    """Yield every row of one engine: a peer, or ours if that is ``""``."""
    engine, work = engine_of(peer), Work(seed, records)
    if engine is Kvraft:
        codec_number("zstd")  # fail now, not after minutes, if it is not installed
    before = peak_memory()
    yield from _fills(engine, place, work)
    yield amount(MEMORY_WRITING, (peak_memory() - before) / 1e6) if before else None
    yield from _reads(engine, place, work)
    yield amount(MEMORY, (peak_memory() - before) / 1e6) if before else None
    yield from _waits(engine, place, work)
    yield _recovery(engine, place, work)
    for row, compress in ((DISK, False), (SQUEEZED, True)):
        yield amount(row, _disk_bytes(engine, place / row.name, work, compress) / 1e6)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def _each(do: Callable[..., object], arguments: list[Any]) -> Spent:
    """Return what it costs to call ``do`` with each of ``arguments``: tuples."""

    def all_of_them() -> None:
        for argument in arguments:
            do(*argument)

    return timed(all_of_them)


def _fills(engine: type[Engine], place: Path, work: Work) -> Samples:
    """Yield what writes cost, each once handed to the system and once, in ours, buffered."""
    yield from _both(engine, FILLSEQ, place / "seq", work.pairs(work.in_order))
    yield from _both(engine, FILLRANDOM, place / "random", work.pairs(work.shuffled))
    yield from _both(engine, OVERWRITE, place / "random", work.pairs(work.shuffled[::-1]))
    db = engine(place / "batch")
    pairs = work.pairs(work.shuffled)
    batches = [(pairs[first : first + BATCH],) for first in range(0, work.count, BATCH)]
    yield _each(db.put_all, batches).per(FILLBATCH, work.count)
    db.close()
    db = engine(place / "sync")
    yield _each(db.put_sync, work.pairs(work.few)).per(FILLSYNC, len(work.few))
    db.close()


def _both(
    engine: type[Engine], row: Row, place: Path, arguments: list[Any], do: str = "put"
) -> Samples:
    """Yield a row of an engine, and the same with a buffered log if it is ours."""
    db = engine(place)
    yield _each(getattr(db, do), arguments).per(row, len(arguments))
    db.close()
    if engine is not Kvraft:
        yield None
        return
    db = KvraftBuffered(place.with_name(f"{place.name}, buffered"))
    yield _each(getattr(db, do), arguments).per(BUFFERED[row], len(arguments))
    db.close()


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def _reads(engine: type[Engine], place: Path, work: Work) -> Samples:
    db = engine(place / "random")
    db.settle()
    shuffled, missing, few = map(_singly, (work.shuffled, work.missing, work.few))
    _each(db.get, shuffled)  # the cache is warm, in all alike
    yield _each(db.get, shuffled).per(READRANDOM, work.count)
    yield _each(db.get, missing).per(READMISSING, work.count)
    yield _each(lambda key: db.scan(key, SEEN), few).per(SEEK, len(few))
    size = db.scan(None, None)
    for row, reverse in ((READSEQ, False), (READREVERSE, True)):
        spent = _each(lambda reverse: db.scan(None, None, reverse=reverse), [(reverse,)] * SCANS)
        yield spent.per(row, size * SCANS)
    db.close()
    db = engine(place / "random", cache_bytes=work.count * RECORD_BYTES // SMALL)
    yield _each(db.get, shuffled).per(SMALL_CACHE, work.count)
    db.close()
    yield from _both(engine, DELETERANDOM, place / "seq", shuffled, "delete")


def _singly(keys: list[bytes]) -> list[tuple[bytes]]:
    return [(key,) for key in keys]


# ── how long a single call takes ────────────────────────────────────────────────────────────────


def _waits(engine: type[Engine], place: Path, work: Work) -> Samples:
    """Yield how long single puts take while flushes and compactions run, and slices of these."""
    db = (KvraftTimed if engine is Kvraft else engine)(place / "random")
    taken, clock, put = [], time.perf_counter, db.put
    for key, value in work.pairs(work.shuffled):
        began = clock()
        put(key, value)
        taken.append(clock() - began)
    slices = db.slices if isinstance(db, KvraftTimed) else []
    db.close()
    taken.sort()
    yield amount(PUT_P50, taken[len(taken) // 2] * 1e6)
    yield amount(PUT_P99, taken[len(taken) * 99 // 100] * 1e6)
    yield amount(PUT_WORST, taken[-1] * 1e3)
    by_cpu = sorted(spent.cpu for spent in slices)
    yield amount(SLICE_P99, by_cpu[len(by_cpu) * 99 // 100] * 1e3) if slices else None
    yield amount(SLICE_WORST, by_cpu[-1] * 1e3) if slices else None
    yield amount(SLICE_WAITS, max(spent.wall for spent in slices) * 1e3) if slices else None


# ── after a crash, and on disk ──────────────────────────────────────────────────────────────────


def _recovery(engine: type[Engine], place: Path, work: Work) -> Sample:
    """Return what opening costs a put that is only in the log."""
    db = engine(place / "logged")
    pairs = work.pairs(work.shuffled[:LOGGED])
    for key, value in pairs:
        db.put(key, value)
    shutil.copytree(place / "logged", place / "crashed")
    db.close()
    opened: list[Engine] = []
    spent = timed(lambda: opened.append(engine(place / "crashed")))
    opened[0].close()
    return spent.per(RECOVERY, len(pairs))


def _disk_bytes(engine: type[Engine], place: Path, work: Work, compress: bool) -> int:
    """Return how many bytes of tables a database of all keys takes."""
    db = engine(place, compress=compress)
    pairs = work.pairs(work.in_order)
    for first in range(0, work.count, BATCH):
        db.put_all(pairs[first : first + BATCH])
    db.settle()
    db.close()
    files: Iterator[Path] = (path for path in place.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.suffix not in (".wal", ".log"))


PART = Part(
    title=f"storage: 16-byte keys, 100-byte values, a cache of {CACHE_BYTES >> 20} MiB",
    records=100_000,
    least=100,
    samples=samples,
    peers=peers,
)
