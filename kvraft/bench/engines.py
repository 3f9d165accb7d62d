"""The storage engines that are measured, all with the same few calls.

Each runs with its default options, except for a filter of 10 bits a key where it can have one and
a cache of the same size.  A write reaches the operating system before the call returns, and is
synced only where requested.  Peers come with ``pip install 'kvraft[bench]'``; sqlite3 is always
there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sqlite3
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from kvraft.bench.measure import Spent
from kvraft.lsm import TreeOptions, WriteBatch
from kvraft.store import Store
from kvraft.wal import Durability

CACHE_BYTES = 32 << 20
"""The size of everybody's cache, unless a row says otherwise: 100,000 records fit."""


class Engine(Protocol):
    """One engine, open in one directory."""

    def __init__(
        self, directory: Path, *, compress: bool | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """Open it; ``compress`` is ``None`` for what the engine does by default."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write one key."""

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Write one key so that it survives a loss of power."""

    def put_all(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write many keys as one batch."""

    def delete(self, key: bytes) -> None:
        """Delete one key."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def scan(self, start: bytes | None, count: int | None, *, reverse: bool = False) -> int:
        """Read up to ``count`` keys in order, all if ``None``; return how many were read."""

    def settle(self) -> None:
        """Flush and compact, so that nothing is left to do."""

    def close(self) -> None:
        """Close it."""


class Kvraft:
    """This project's tree, with its log."""

    durability = Durability.OS
    store_class = Store

    def __init__(
        self, directory: Path, *, compress: bool | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        options = TreeOptions(codec="zstd" if compress else "none", cache_bytes=cache_bytes)
        self.store = self.store_class.open(directory, options=options, durability=self.durability)
        self.put, self.get = self.store.put, self.store.get
        self.delete = self.store.delete

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Write one key so that it survives a loss of power."""
        self.store.put(key, value)
        self.store.sync()

    def put_all(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write many keys as one batch."""
        batch = WriteBatch()
        for key, value in pairs:
            batch.put(key, value)
        self.store.write(batch)

    def scan(self, start: bytes | None, count: int | None, *, reverse: bool = False) -> int:
        """Read keys in order."""
        return _count(self.store.scan(start or b"", reverse=reverse), count)

    def settle(self) -> None:
        """Flush and compact."""
        self.store.compact()

    def close(self) -> None:
        """Close it."""
        self.store.close()


class KvraftBuffered(Kvraft):
    """The same, with a log that is written to the operating system every 64 KiB."""

    durability = Durability.BUFFERED


class _TimedStore(Store):
    """A store that keeps how long each slice of long work took."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.slices: list[Spent] = []
        super().__init__(*arguments, **options)

    def work(self) -> bool:
        """Do one slice, and note its time."""
        cpu, wall = time.thread_time(), time.perf_counter()
        more = super().work()
        self.slices.append(Spent(time.thread_time() - cpu, time.perf_counter() - wall))
        return more


class KvraftTimed(Kvraft):
    """The same as :class:`Kvraft`, with the times of its ``slices`` of long work."""

    store: _TimedStore
    store_class = _TimedStore

    @property
    def slices(self) -> list[Spent]:
        """What each slice so far took."""
        return self.store.slices


class LevelDB:
    """LevelDB through plyvel."""

    def __init__(
        self, directory: Path, *, compress: bool | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        plyvel = importlib.import_module("plyvel")
        self.db: Any = plyvel.DB(
            str(directory),
            create_if_missing=True,
            bloom_filter_bits=10,
            compression=None if compress is False else "snappy",
            lru_cache_size=cache_bytes,
        )
        self.put, self.get, self.delete = self.db.put, self.db.get, self.db.delete

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Write one key so that it survives a loss of power."""
        self.db.put(key, value, sync=True)

    def put_all(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write many keys as one batch."""
        with self.db.write_batch() as batch:
            for key, value in pairs:
                batch.put(key, value)

    def scan(self, start: bytes | None, count: int | None, *, reverse: bool = False) -> int:
        """Read keys in order."""
        with self.db.iterator(start=start, reverse=reverse) as found:
            return _count(found, count)

    def settle(self) -> None:
        """Compact."""
        self.db.compact_range()

    def close(self) -> None:
        """Close it."""
        self.db.close()


class RocksDB:
    """RocksDB through rocksdict, without its pickling."""

    def __init__(
        self, directory: Path, *, compress: bool | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._module: Any = importlib.import_module("rocksdict")
        options = self._module.Options(raw_mode=True)
        options.create_if_missing(True)
        table = self._module.BlockBasedOptions()
        table.set_bloom_filter(10, False)
        table.set_block_cache(self._module.Cache(cache_bytes))
        options.set_block_based_table_factory(table)
        if compress is False:
            options.set_compression_type(self._module.DBCompressionType.none())
        self.db: Any = self._module.Rdict(str(directory), options)
        self._sync = self._module.WriteOptions()
        self._sync.sync = True
        self.put, self.get, self.delete = self.db.put, self.db.get, self.db.delete

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Write one key so that it survives a loss of power."""
        self.db.put(key, value, write_opt=self._sync)

    def put_all(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write many keys as one batch."""
        batch = self._module.WriteBatch(raw_mode=True)
        for key, value in pairs:
            batch.put(key, value)
        self.db.write(batch)

    def scan(self, start: bytes | None, count: int | None, *, reverse: bool = False) -> int:
        """Read keys in order."""
        return _count(self.db.items(backwards=reverse, from_key=start), count)

    def settle(self) -> None:
        """Flush and compact."""
        self.db.flush()
        self.db.compact_range(None, None)

    def close(self) -> None:
        """Close it."""
        self.db.close()


class Sqlite:
    """SQLite, a table with the key as primary key, through the standard library."""

    def __init__(
        self, directory: Path, *, compress: bool | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.db = sqlite3.connect(directory / "db", isolation_level=None)
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = off")
        self.db.execute(f"pragma cache_size = {-(cache_bytes // 1024)}")  # in KiB
        self.db.execute("create table if not exists kv (k blob primary key, v blob) without rowid")

    def put(self, key: bytes, value: bytes) -> None:
        """Write one key."""
        self.db.execute("insert or replace into kv values (?, ?)", (key, value))

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Write one key so that it survives a loss of power."""
        self.db.execute("pragma synchronous = full")
        self.put(key, value)

    def put_all(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write many keys as one batch."""
        self.db.execute("begin")
        self.db.executemany("insert or replace into kv values (?, ?)", pairs)
        self.db.execute("commit")

    def delete(self, key: bytes) -> None:
        """Delete one key."""
        self.db.execute("delete from kv where k = ?", (key,))

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        row = self.db.execute("select v from kv where k = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def scan(self, start: bytes | None, count: int | None, *, reverse: bool = False) -> int:
        """Read keys in order."""
        order = "desc" if reverse else "asc"
        query = f"select k, v from kv where k >= ? order by k {order}"
        return _count(self.db.execute(query, (start or b"",)), count)

    def settle(self) -> None:
        """Write the journal back into the database."""
        self.db.execute("pragma wal_checkpoint(truncate)")

    def close(self) -> None:
        """Close it."""
        self.db.close()


PEERS: dict[str, tuple[type[Engine], str]] = {
    "LevelDB": (LevelDB, "plyvel"),
    "RocksDB": (RocksDB, "rocksdict"),
    "sqlite3": (Sqlite, "sqlite3"),
}
"""The peers by name, each with the library that it needs."""


def peers() -> dict[str, str]:
    """Return the names of the peers, each with the library that is missing for it, or ``""``."""
    return {
        name: "" if importlib.util.find_spec(library) else library
        for name, (_, library) in PEERS.items()
    }


def engine_of(peer: str) -> type[Engine]:
    """Return the engine of a peer, or ours for ``""``."""
    return PEERS[peer][0] if peer else Kvraft


def _count(found: Iterable[Any], count: int | None) -> int:
    return sum(1 for _ in (found if count is None else islice(found, count)))
