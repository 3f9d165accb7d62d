"""The tree: a storage engine (``lsm/engine.py``) that is used by itself, without a log.

It numbers positions and timestamps itself, and a write is durable once it is flushed;
:class:`kvraft.store.Store` is a tree that owns a log.  It has no thread of its own: each write does
a share of the flushes and compactions (``lsm/pacing.py``).  A timestamp does here what LevelDB's
sequence number does.

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
from kvraft.lsm.pacing import DELETE_BYTES, room_after, slices
from kvraft.memtable import check_row
from kvraft.record import MAX_KEY_BYTES, Buffer, Position, Row, Timestamp

LogWrite = Callable[[int, Timestamp, bytes, bytes | None], bool]
"""Logs one put or delete: index, timestamp, key, value.  Returns whether that sealed a segment."""


def _no_log(index: int, timestamp: Timestamp, key: bytes, value: bytes | None) -> bool:
    return False


class Tree(StorageEngine):
    """A log-structured merge-tree on one disk.  Made by :meth:`open`, usable in a ``with``.

    ``log_write`` is called for each single put and delete before it is in the memtable: a subclass
    that has a log sets it.
    """

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
        self.log_write: LogWrite = _no_log
        # How many bytes the memtable may take until a write has to do a share of the long work:
        self._share_due = options.memtable_bytes

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
        """Open the tree on a disk or in a directory as it was last flushed; create it if need be.

        ``owner`` names whose tree it is; files of another owner are refused.  ``clock`` returns
        seconds and is used only to measure how long writers were stalled.

        With ``read_only`` it takes no writes (:class:`~kvraft.errors.ReadOnly`), and nothing is
        written to the disk, not even to clean up after a crash.  The directory must exist.  Another
        process may be writing to it: the tree is read as it was at one moment
        (``disk/read_only.py``).  Later reads see that moment, too, or raise
        :class:`~kvraft.errors.FilesChanged` if a table is gone that could not be kept open.

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
        tree.owns_disk = isinstance(where, str | os.PathLike)
        infos = tree.tables
        numbers, levels = [t.number for t in infos], [t.level for t in infos]
        report(TreeOpened(tuple(numbers), tuple(levels), tuple(t.size for t in infos)))
        return tree

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Buffer, value: Buffer) -> None:
        """Set ``key`` to ``value``.

        This and the other writes raise ``BadInput`` for what cannot be written, whatever
        :meth:`work` raises if this write has to do a slice of it, and
        :class:`~kvraft.errors.Stopped` once a disk error stopped the tree.  Where they raise,
        nothing is written.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        if type(value) is not bytes:
            value = as_value(value)
        self._write_one(key, value)

    def delete(self, key: Buffer) -> None:
        """Delete ``key``; it need not exist."""
        self._write_one(key if type(key) is bytes else as_bytes(key, "a key"), None)

    def _write_one(self, key: bytes, value: bytes | None) -> None:
        """Write one row: :meth:`write` without a list, and with as few calls as there can be."""
        size = len(key) if value is None else len(key) + len(value)
        if size > MAX_KEY_BYTES:  # else neither of them is too long
            check_row((key, 0, value))
        with self.lock:
            if self.closed or self.failure:
                self.check_writable()
            if value is None:
                self._share_due -= DELETE_BYTES
            memtable = self.memtables.active
            if memtable.bytes_written >= self._share_due:
                self._do_share()
                memtable = self.memtables.active
            index, timestamp = self.applied_index + 1, self.timestamp + 1
            if self.log_write(index, timestamp, key, value):
                self.log_sealed()
            self.applied_index, self.timestamp = index, timestamp
            memtable.put((key, timestamp, value), self.readers.pinned)
            counts = self.counts
            counts.rows_put += 1
            counts.bytes_put += size

    def delete_range(self, start: Buffer, stop: Buffer | None = None) -> None:
        """Delete all keys from ``start`` on and below ``stop``, however many; ``None``: no end."""
        self.write(WriteBatch().delete_range(start, stop))

    def write(self, batch: WriteBatch) -> None:
        """Apply all writes of ``batch``, or none if this raises."""
        with self.lock:
            instance(batch, WriteBatch, "a batch")
            self.check_writable()
            if batch.writes:
                self._do_share()
                rows, ranges = batch.rows(self.timestamp + 1)
                first = self.applied_index + 1
                self.log_rows(first, rows, ranges)
                last = Position(first + len(rows) + len(ranges) - 1, self.applied_term)
                self.insert(rows, ranges, last)

    def log_rows(self, first: int, rows: list[Row], ranges: list[Row]) -> None:
        """Log one batch from index ``first`` on: a subclass that has a log does."""

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        """Set ``key`` to ``value``: see :meth:`put`."""
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        """Delete ``key``; ``KeyError`` if it does not exist (:meth:`delete` never looks)."""
        with self.lock:
            if key not in self:
                raise KeyError(key)
            self.delete(key)

    @contextmanager
    def batch(self) -> Iterator[WriteBatch]:
        """Return a ``with`` statement's empty batch, which is written at its end: all or nothing.

        If the body raises, nothing is written.

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

    # ── a writer's share of the long work ───────────────────────────────────────────────────────

    def work_soon(self) -> None:
        """Make the next write do a share of the long work, however little was written before."""
        self._share_due = 0

    def log_sealed(self) -> None:
        """Note that a segment of the log was sealed: a subclass that has a log does."""

    def must_freeze(self) -> bool:
        """Return whether the memtable must make room for another one."""
        return self.memtable_full

    def _do_share(self) -> None:
        """Do a writer's share of the long work (``lsm/pacing.py``), and set when the next is due.

        It comes before the write, so that the write can be refused if the disk fails.
        """
        if self.must_freeze():
            self.freeze()
        written = self.memtables.active.bytes_written
        room = max(0, self.options.memtable_bytes - self.memtables.active.size)
        if self.has_work:
            self._share_due = 0  # if this share fails, the next write has to try again
            pressure = self.pressure
            if pressure >= 1:
                self._stall(slices(pressure))
            else:
                self.work()
            room = min(room, room_after(pressure))
        self._share_due = written + room

    def _stall(self, most: int) -> None:
        """Do up to ``most`` slices while a writer waits; after a full disk, all that is left."""
        began = self._clock() if self._clock else 0.0
        for _ in range(most):
            self.counts.stall_slices += 1
            if not self.work():
                break
        self.counts.stalls += 1
        self.counts.stall_seconds += self._clock() - began if self._clock else 0.0
        while self.long_work.disk_full:  # once there is space, this write is the last that waits
            self.work()
