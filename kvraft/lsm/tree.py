"""The tree: a storage engine (``lsm/engine.py``) that is used alone, without anybody's log.

It counts positions and timestamps by itself, and what it writes is durable once it is flushed;
:class:`kvraft.store.Store` is a tree that owns a log.  It has no thread of its own: each write pays
for a share of the flushes and compactions (``lsm/pacing.py``).

Invariant: a write that raises has changed nothing.

>>> import tempfile
>>> directory = tempfile.TemporaryDirectory()
>>> tree = Tree.open(directory.name)
>>> tree.put(b"a", b"1")
>>> tree.put(b"b", b"2")
>>> with tree.view() as before:
...     tree.delete(b"a")
...     tree.get(b"a"), before.get(b"a")
(None, b'1')
>>> tree.flush()
>>> tree.close()
>>> tree = Tree.open(directory.name)
>>> list(tree.scan()), tree.flushed
([(b'b', b'2')], Position(index=3, term=0))
>>> tree.close(); directory.cleanup()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from kvraft.disk import Disk, open_on_disk
from kvraft.events import EventSink, TreeOpened, ignore
from kvraft.inputs import as_bytes, instance
from kvraft.lsm.batch import WriteBatch, as_value
from kvraft.lsm.engine import StorageEngine
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.pacing import room_after, slices
from kvraft.memtable import check_row
from kvraft.record import MAX_VALUE_BYTES, Buffer, Position


class Tree(StorageEngine):
    """A log-structured merge-tree on one disk.  Made by :meth:`open`, usable in a ``with``."""

    def __init__(
        self,
        disk: Disk,
        owner: str,
        options: TreeOptions,
        report: EventSink = ignore,
        clock: Callable[[], float] | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        """Open what is on ``disk``: use :meth:`open`."""
        super().__init__(disk, owner, options, report, read_only=read_only)
        self._clock = clock
        self._pay_at = options.memtable_bytes  # bytes written to the memtable till a writer works

    @classmethod
    def open(
        cls,
        where: Disk | str | os.PathLike[str],
        *,
        owner: str = "",
        options: TreeOptions | None = None,
        report: EventSink = ignore,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
    ) -> Self:
        """Open the tree on a disk or in a directory, a new one if there is none, as last flushed.

        ``owner`` names whose tree it is; files of another owner are refused.  ``clock`` returns
        seconds, to tell how long writers were stalled.

        With ``read_only`` it takes no writes (:class:`~kvraft.errors.ReadOnly`), and nothing is
        written to the disk, not even to tidy up after a crash.  A directory must exist then; it may
        be written by another process meanwhile, for it is read as it was at one moment
        (``disk/read_only.py``).  Later reads see that moment, too, or raise
        :class:`~kvraft.errors.FilesChanged` if a table is gone that could not be held open.

        Removes tables that a crash left unfinished and no other file.  Raises
        :class:`~kvraft.errors.Corruption` and :class:`~kvraft.errors.ForeignFile` rather than open
        a tree that lacks anything; data blocks are checked when they are read.
        """
        options = TreeOptions() if options is None else instance(options, TreeOptions, "options")
        tree = open_on_disk(
            where,
            lambda disk: cls(disk, owner, options, report, clock, read_only=read_only),
            read_only=read_only,
        )
        tree._disk_is_mine = isinstance(where, str | os.PathLike)
        infos = tree.tables
        numbers, levels = [t.number for t in infos], [t.level for t in infos]
        report(TreeOpened(tuple(numbers), tuple(levels), tuple(t.size for t in infos)))
        return tree

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Buffer, value: Buffer) -> None:
        """Let ``key`` hold ``value``.

        This and the other writes below raise ``BadInput`` for what cannot be written, what
        :meth:`work` does if this write has to pay for a slice of it, and
        :class:`~kvraft.errors.Stopped` once a disk error stopped the tree.  Where they raise,
        nothing is written.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        if type(value) is not bytes:
            value = as_value(value)
        with self._lock:
            if self._closed or self._failure or len(key) > 65536 or len(value) > MAX_VALUE_BYTES:
                self._check_writable()
                check_row((key, 0, value))
            if self._memtables.active.bytes_written >= self._pay_at:
                self._pay()
            self.timestamp = timestamp = self.timestamp + 1
            self._index += 1
            self._memtables.active.put((key, timestamp, value), self.readers.pinned)
            counts = self.counts
            counts.rows_put += 1
            counts.bytes_put += len(key) + len(value)

    def delete(self, key: Buffer) -> None:
        """Let ``key`` hold nothing."""
        self.write(WriteBatch().delete(key))

    def delete_range(self, start: Buffer, stop: Buffer | None = None) -> None:
        """Delete all keys from ``start`` on and below ``stop``, however many; ``None``: no end."""
        self.write(WriteBatch().delete_range(start, stop))

    def write(self, batch: WriteBatch) -> None:
        """Let all writes of ``batch`` take effect, or where this raises, none."""
        with self._lock:
            instance(batch, WriteBatch, "a batch")
            self._check_writable()
            if batch.writes:
                self._pay()
                rows, ranges = batch.rows(self.timestamp + 1)
                position = Position(self._index + len(rows) + len(ranges), self._term)
                self._take(rows, ranges, position)

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        """Let ``key`` hold ``value``: see :meth:`put`."""
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        """Let ``key`` hold nothing; ``KeyError`` if it holds none (:meth:`delete` never looks)."""
        with self._lock:
            if key not in self:
                raise KeyError(key)
            self.delete(key)

    @contextmanager
    def batch(self) -> Iterator[WriteBatch]:
        """Return a ``with`` statement's empty batch, which is written at its end: all or nothing.

        If what is inside raises, nothing is written.

        >>> from kvraft.sim import SimDisk
        >>> tree = Tree.open(SimDisk())
        >>> with tree.batch() as batch:
        ...     _ = batch.put(b"a", b"1").put(b"b", b"2")
        >>> dict(tree.items())
        {b'a': b'1', b'b': b'2'}
        """
        batch = WriteBatch()
        yield batch
        self.write(batch)

    # ── a writer's share of it ──────────────────────────────────────────────────────────────────

    def _pay(self) -> None:
        """Do a writer's share of the long work (``lsm/pacing.py``); see when the next is due.

        It comes before the write, so that where the disk fails the write can be refused.
        """
        if self._should_freeze():
            self.freeze()
        written = self._memtables.active.bytes_written
        room = max(0, self.options.memtable_bytes - self._memtables.active.size)
        if self.has_work:
            self._pay_at = 0  # should it fail, the next write has to try again
            pressure = self.pressure
            if pressure >= 1:
                self._stall(slices(pressure))
            else:
                self.work()
            room = min(room, room_after(pressure))
        self._pay_at = written + room

    def _should_freeze(self) -> bool:
        """Whether the memtable has to make room for another one."""
        return self.memtable_full

    def _stall(self, most: int) -> None:
        """Do ``most`` slices while a writer waits; on a full disk, go on until there is space."""
        began = self._clock() if self._clock else 0.0
        for _ in range(most):
            self.counts.stall_slices += 1
            if not self.work():
                break
        self.counts.stalls += 1
        self.counts.stall_seconds += self._clock() - began if self._clock else 0.0
        while self._work.full:  # once there is space, this write is the last to wait for it
            self.work()
