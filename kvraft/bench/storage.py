"""The storage engine next to others: db_bench's workloads, each engine in turn, round by round.

Keys have 16 bytes, values 100 of which half can be compressed away, as in LevelDB's db_bench.
Writes reach the operating system one by one, except in the column *buffered*; ``fillsync`` syncs
each.  Reads come after everything was flushed and compacted.  *recover* opens a copy of the files
that was taken in the middle of the engine's work, as a crash leaves them.

Figures are operations a second, except for milliseconds and bytes; the ratios are to LevelDB, more
than 1 is better.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from kvraft.bench.engines import Kvraft, KvraftBuffered, LevelDB, installed, missing
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.sstable import codec_number

RECORDS = 100_000
"""Records in a database; a fiftieth of them is synced one by one, and there are as many seeks."""

BATCH = 1000
SEEN = 50
"""How many keys are read after each seek."""

LOWER_IS_BETTER = ("recover ms", "disk MB", "squeezed MB", "put p99 µs", "put p99.9 µs")

Figures = dict[str, float]


def run(rounds: int = 3, records: int | None = None) -> Iterator[str]:
    """Yield the lines of the report; ``records`` is how many, at least 100."""
    count = RECORDS if records is None else records
    if count < 100:
        raise BadInput(f"nothing can be measured with {counted(count, 'record')}: take more")
    codec_number("zstd")  # fail now, not after minutes, if it is not installed
    engines = installed()
    yield from (f"{name} is left out: {module} is not installed" for name, module in missing())
    found: dict[str, dict[str, list[float]]] = {engine.name: {} for engine in engines}
    for round in range(rounds):
        for engine in engines:
            for name, figure in measure(engine, count, seed=round).items():
                found[engine.name].setdefault(name, []).append(figure)
        yield f"round {round + 1} of {rounds} is done"
    yield (
        f"\n{counted(count, 'record')} of 16 + 100 bytes; medians of {counted(rounds, 'round')}.\n"
    )
    yield from table({name: {w: median(f) for w, f in of.items()} for name, of in found.items()})


def table(medians: dict[str, Figures]) -> Iterator[str]:
    """Yield the lines of a table: a workload a line, an engine a column, and ratios to LevelDB."""
    names = list(medians)
    ours = [name for name in (Kvraft.name, KvraftBuffered.name) if name in medians]
    ratios = ours if LevelDB.name in medians else []
    heads = [f"{name:>10}" for name in names] + [f"{name + '/LevelDB':>17}" for name in ratios]
    yield " ".join([f"{'':14}", *heads])
    for workload in dict.fromkeys(w for of in medians.values() for w in of):
        cells = [_figure(medians[name].get(workload)) for name in names]
        for name in ratios:
            mine, theirs = medians[name].get(workload), medians[LevelDB.name].get(workload)
            cells.append(f"{'-':>17}" if not mine or not theirs else _ratio(workload, mine, theirs))
        yield " ".join([f"{workload:14}", *cells])


def _figure(figure: float | None) -> str:
    if figure is None:
        return f"{'-':>10}"
    return f"{figure:>10,.0f}" if figure >= 100 else f"{figure:>10.2f}"


def _ratio(workload: str, ours: float, theirs: float) -> str:
    return f"{theirs / ours if workload in LOWER_IS_BETTER else ours / theirs:>17.2f}"


def measure(engine: type[Any], count: int, seed: int) -> Figures:
    """Return the figures of one engine, by workload."""
    random = Random(seed)
    work = _Work(random, count)
    with tempfile.TemporaryDirectory(prefix="kvraft-bench-") as folder:
        place = Path(folder)
        figures = _writes(engine, place, work)
        if engine is not KvraftBuffered:
            figures |= _reads(engine, place, work)
        figures |= _size(engine, place, work)
    return figures


class _Work:
    """The keys and values of one round, the same for every engine."""

    def __init__(self, random: Random, count: int) -> None:
        self.count = count
        self.random = random
        self.in_order = [b"%016d" % n for n in range(count)]
        self.shuffled = [b"%016d" % random.randrange(count) for _ in range(count)]
        self.missing = [key[:-1] + b"x" for key in self.shuffled]
        self.values = [random.randbytes(50) * 2 for _ in range(1000)]

    def value(self, n: int) -> bytes:
        return self.values[n % 1000]


def _timed(count: int, do: Callable[[], object]) -> float:
    """Return operations a second, where ``do`` does ``count`` of them."""
    gc.collect()
    began = time.perf_counter()
    do()
    return count / (time.perf_counter() - began)


def _writes(engine: type[Any], place: Path, work: _Work) -> Figures:
    figures: Figures = {}
    few = max(1, work.count // 50)

    def fill(keys: list[bytes], db: Any, put: str = "put") -> Callable[[], None]:
        def all_of_them() -> None:
            write = getattr(db, put)
            for n, key in enumerate(keys):
                write(key, work.value(n))

        return all_of_them

    def batches(db: Any) -> None:
        for first in range(0, work.count, BATCH):
            keys = work.shuffled[first : first + BATCH]
            db.put_all([(key, work.value(n)) for n, key in enumerate(keys)])

    db = engine(place / "seq")
    figures["fillseq"] = _timed(work.count, fill(work.in_order, db))
    db.close()
    db = engine(place / "batch")
    figures["fillbatch"] = _timed(work.count, lambda: batches(db))
    db.close()
    if engine is not KvraftBuffered:
        db = engine(place / "sync")
        figures["fillsync"] = _timed(few, fill(work.shuffled[:few], db, "put_sync"))
        db.close()
    db = engine(place / "random")
    figures["fillrandom"] = _timed(work.count, fill(work.shuffled, db))
    figures["overwrite"] = _timed(work.count, fill(work.shuffled[::-1], db))
    figures |= _latencies(db, work)
    figures["recover ms"] = _recover(engine, place)
    db.close()
    return figures


def _latencies(db: Any, work: _Work) -> Figures:
    """Return how long single puts take while long work is under way, in microseconds."""
    taken = []
    clock = time.perf_counter
    for n, key in enumerate(work.shuffled):
        began = clock()
        db.put(key, work.value(n))
        taken.append(clock() - began)
    taken.sort()
    return {f"put p{p} µs": taken[int(len(taken) * p / 100)] * 1e6 for p in (99, 99.9)}


def _recover(engine: type[Any], place: Path) -> float:
    """Return how long it takes to open what a crash would leave, in milliseconds."""
    for _ in range(10):
        try:
            shutil.copytree(place / "random", place / "crashed")
            break
        except shutil.Error:  # a file was removed meanwhile: engines work in the background
            shutil.rmtree(place / "crashed")
    gc.collect()
    began = time.perf_counter()
    db = engine(place / "crashed")
    taken = time.perf_counter() - began
    db.close()
    return taken * 1e3


def _reads(engine: type[Any], place: Path, work: _Work) -> Figures:
    db = engine(place / "random")
    db.settle()
    few = max(1, work.count // 50)
    get = db.get

    def all_of(keys: list[bytes]) -> Callable[[], None]:
        def read() -> None:
            for key in keys:
                get(key)

        return read

    def seeks() -> None:
        for key in work.shuffled[:few]:
            db.scan(key, SEEN)

    def deletes() -> None:
        for key in work.shuffled:
            db.delete(key)

    size = db.scan(None, None)
    figures = {
        "readrandom": _timed(work.count, all_of(work.shuffled)),
        "readmissing": _timed(work.count, all_of(work.missing)),
        "readseq": _timed(size, lambda: db.scan(None, None)),
        "readreverse": _timed(size, lambda: db.scan(None, None, reverse=True)),
        "seek and 50": _timed(few, seeks),
        "deleterandom": _timed(work.count, deletes),
    }
    db.close()
    return figures


def _size(engine: type[Any], place: Path, work: _Work) -> Figures:
    """Return how much disk the same records take, plain and compressed, in MB."""
    if engine is KvraftBuffered:
        return {}
    figures: Figures = {}
    for name, compress in (("disk MB", False), ("squeezed MB", True)):
        db = engine(place / name, compress=compress)
        for n, key in enumerate(work.in_order):
            db.put(key, work.value(n))
        db.settle()
        db.close()
        files = (path for path in (place / name).rglob("*") if path.suffix not in (".wal", ".log"))
        figures[name] = sum(path.stat().st_size for path in files if path.is_file()) / 1e6
    return figures
