"""The short ways of a store's log do what the plain ones do: byte for byte, defect for defect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import frame
from kvraft.errors import Corruption
from kvraft.lsm import TreeOptions, WriteBatch
from kvraft.record import NO_TXN, Entry, Kind, Record, Row, pack_entries
from kvraft.sim import SimDisk
from kvraft.store import OWNER, Store
from kvraft.wal import Durability, FrameKind, pack_write, pack_writes, recover, unpack_writes
from kvraft.wal import recovery as recovery_module
from kvraft.wal.writes import Run, frame_write

KEYS = st.binary(max_size=20)
VALUES = st.none() | st.binary(max_size=40)
NUMBERS = st.integers(1, 2**63 - 1)


def entry(index: int, row: Row, *, commit: bool = True) -> Entry:
    key, timestamp, value = row
    kind = Kind.DELETE if value is None else Kind.PUT
    return Entry(0, index, Record(kind, key, value or b"", timestamp, NO_TXN, commit))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(NUMBERS, NUMBERS, KEYS, VALUES, st.integers(0, 2**32), st.integers(0, 2**32 - 1))
def test_a_write_is_packed_and_framed_as_any_entry_is(
    index: int, timestamp: int, key: bytes, value: bytes | None, at: int, seed: int
) -> None:
    payload = pack_entries([entry(index, (key, timestamp, value))])
    assert pack_write(index, timestamp, key, value) == payload
    plain = frame.encode(FrameKind.ENTRIES, payload, synced=at, seed=seed, offset=at)
    assert frame_write(index, timestamp, key, value, at, seed ^ at) == plain


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.tuples(KEYS, NUMBERS, VALUES), min_size=1, max_size=8), st.integers(0, 3))
def test_a_batch_is_packed_as_its_entries_are(rows: list[Row], ranges: int) -> None:
    deletes: list[Row] = [(b"a", 9, b"b"), (b"c", 9, b""), (b"d", 9, b"e")][:ranges]
    data = pack_writes(5, rows, deletes)
    entries = [
        Entry(0, 5 + n, Record(Kind.DELETE_RANGE, start, stop or b"", at, NO_TXN))
        for n, (start, at, stop) in enumerate(deletes)
    ]
    last = len(rows) - 1
    entries += [entry(5 + ranges + n, row, commit=n == last) for n, row in enumerate(rows)]
    assert data == pack_entries(entries)
    assert unpack_writes(data) == (rows, deletes, len(entries))
    end = len(pack_entries(entries[-1:]))
    assert unpack_writes(data[:-end]) == ([], [], 0), "a batch without its end was taken"


# ── a whole store ───────────────────────────────────────────────────────────────────────────────

STEPS = ["put", "put", "put", "delete", "batch", "range", "sync", "flush"]


def store_of(disk: SimDisk, steps: list[str], durability: Durability, **more: Any) -> None:
    options = TreeOptions(memtable_bytes=1 << 20)
    with Store.open(
        disk, options=options, durability=durability, segment_bytes=1500, **more
    ) as store:
        for n, step in enumerate(steps):
            key, value = b"key-%d" % (n % 7), b"value" * (n % 5)
            if step == "put":
                store.put(key, value)
            elif step == "delete":
                store.delete(key)
            elif step == "batch":
                store.write(WriteBatch().put(key, value).put(b"b", b"").delete(b"a"))
            elif step == "range":
                store.delete_range(b"key-1", b"key-3")
            elif step == "sync":
                store.sync()
            else:
                store.flush()


def logs_on(disk: SimDisk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names() if name.endswith(".wal")}


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.sampled_from(Durability))
def test_the_fused_put_writes_what_the_plain_one_writes(
    steps: list[str], durability: Durability
) -> None:
    """A log that reports its entries takes the plain way; the bytes are the same."""
    fused, plain = SimDisk(), SimDisk()
    store_of(fused, steps, durability)
    store_of(plain, steps, durability, report=lambda event: None)
    assert logs_on(fused) == logs_on(plain)
    assert fused.operations == plain.operations, "each write is one call of the disk"


def recovered(disk: SimDisk, after: int) -> tuple[Any, ...]:
    """Return all that recovery finds out, rows included, or the defect that it finds."""
    rows: list[Row] = []
    ranges: list[Row] = []
    taken: list[int] = []

    def take(some: list[Row], more: list[Row], last: int) -> None:
        rows.extend(some)
        ranges.extend(more)
        taken.append(last)

    try:
        log = recover(disk, OWNER, take=take, after=after)
    except Corruption as error:
        return (str(error),)
    known = log.segments, log.last, log.durable, log.synced, log.torn, log.cleanly_closed
    return *known, rows, ranges, max(taken, default=0)


def check_recovery(disk: SimDisk, after: int) -> None:
    found = recovered(disk, after)
    with pytest.MonkeyPatch.context() as patch:
        no_run = lambda data, at, stop, seed, index, after: Run(at, index, 0, [])  # noqa: E731
        patch.setattr(recovery_module, "read_run", no_run)
        assert found == recovered(disk, after)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.sampled_from(STEPS), max_size=30), st.sampled_from(Durability), st.data())
def test_runs_are_recovered_as_frame_after_frame(
    steps: list[str], durability: Durability, data: st.DataObject
) -> None:
    disk = SimDisk()
    store_of(disk, steps, durability)
    last = recover(disk, OWNER).last.index
    check_recovery(disk, data.draw(st.integers(0, last + 1)))


def test_every_cut_and_every_flip_is_judged_as_frame_by_frame() -> None:
    disk = SimDisk()
    steps = ["put", "delete", "sync", "put", "batch", "put", "sync", "put", "put"]
    with Store.open(disk, segment_bytes=1 << 20) as store:
        for n, step in enumerate(steps):
            if step == "batch":
                store.write(WriteBatch().put(b"a", b"1").put(b"b", b"2"))
            elif step == "sync":
                store.sync()
            elif step == "delete":
                store.delete(b"x")
            else:
                store.put(b"key-%d" % n, b"value")
        killed = disk.copy()  # as a process that dies leaves it
    [name] = [name for name in killed.names() if name.endswith(".wal")]
    whole = killed.read(name)
    for at in range(len(whole)):
        cut, flipped = killed.copy(), killed.copy()
        cut.truncate(name, at)
        flipped.corrupt(name, at, 0x10)
        for changed in (cut, flipped):
            check_recovery(changed, 2)


def test_a_log_of_single_writes_is_not_indexed_write_by_write() -> None:
    disk = SimDisk()
    with Store.open(disk) as store:
        for n in range(2000):
            store.put(b"%d" % n, b"value")
        locations = len(recover(disk, OWNER).index.frames)
        assert locations <= 2 + disk.size(store.wal.segments[0].name) // 50_000
        read = store.wal.read(1, store.wal.last_index)
        assert [each.index for each in read] == list(range(1, 2001))
        assert [each.index for each in store.wal.read(700, 702)] == [700, 701, 702]
