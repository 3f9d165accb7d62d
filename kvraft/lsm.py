"""The tree: a memtable, memtables that wait to be flushed, and tables; read as one sorted map.

::

    apply ──► memtable ──freeze──► immutable memtables ──flush──► tables, newest first
                 │                         │                         │
    get, scan ◄──┴─────────────────────────┴─────────────────────────┘   highest timestamp wins

The tree has no log of its own.  Whoever applies rows names the position in *their* log after which
the rows hold; after a crash they apply again whatever lies above :attr:`Tree.flushed`.  In kvraft
that log is Raft's, and applying stops at complete transactions.

Invariants:

- Reads see every applied row; of the versions of a key the one with the highest timestamp.
- On disk is the tree as it was at one position of the log, ``flushed``: never a mixture.
- A flush makes durable, in this order: the table, its directory entry, the manifest.  Then memory
  follows.  A crash in between leaves a table that nobody knows of, which the next open removes.
- A snapshot of another member's tables takes the place of all there is in the same way, and with
  one edit of the manifest: a crash leaves the old tree or the new one (Raft §7).
- After a disk error in either the tree serves reads and never writes again: it must be reopened.

>>> import tempfile
>>> from kvraft.disk import RealDisk
>>> from kvraft.record import Position, Version
>>> directory = tempfile.TemporaryDirectory()
>>> disk = RealDisk(directory.name)
>>> tree = Tree.open(disk)
>>> tree.apply([(b"a", Version(1, b"1")), (b"b", Version(1, b"2"))], Position(2, 1))
>>> tree.apply([(b"a", Version(2, None))], Position(3, 1))
>>> tree.freeze()
>>> for _ in tree.flush():
...     pass
>>> tree.close()
>>> tree = Tree.open(disk)
>>> list(tree.scan()), tree.flushed
([(b'b', b'2')], Position(index=3, term=1))
>>> tree.close(); disk.close(); directory.cleanup()

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; LevelDB impl.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from kvraft.disk import Disk
from kvraft.errors import BadInput, Damage, Stopped
from kvraft.events import Flushed, Installed, MemtableFrozen, Report, TableWritten, ignore
from kvraft.manifest import Edit, Manifest
from kvraft.memtable import Memtable
from kvraft.merge import merge
from kvraft.record import Position, Row, Timestamp, Version, label
from kvraft.snapshot import Contents, TreeSnapshot, unpack
from kvraft.sstable import Table, write_table
from kvraft.tableinfo import TableInfo, table_name, table_number

MEMTABLE_BYTES = 1 << 20


class _Immutable(NamedTuple):
    """A frozen memtable, and the log position whose rows it ends with."""

    memtable: Memtable
    through: Position


class Tree:
    """A log-structured merge-tree on one disk, which it may share with the log.

    ``applied`` is the position that :meth:`apply` was last told, ``timestamp`` the highest one ever
    applied.
    """

    def __init__(
        self, disk: Disk, manifest: Manifest, owner: str, memtable_bytes: int, report: Report
    ) -> None:
        """Wrap an open manifest: use :meth:`open`."""
        self.applied: Position = manifest.state.flushed
        self.timestamp: Timestamp = manifest.state.timestamp
        self._disk = disk
        self._manifest = manifest
        self._owner = owner
        self._memtable_bytes = memtable_bytes
        self._report = report
        self._memtable = Memtable()
        self._immutables: list[_Immutable] = []  # oldest first
        self._tables = tuple(Table.open(disk, info) for info in manifest.state.tables)
        self._flushing = False
        self._installs = 0  # jobs and scans begun before the last one have lost their tables
        self._failure = ""  # why nothing more will be written
        self._closed = False

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        owner: str = "",
        memtable_bytes: int = MEMTABLE_BYTES,
        report: Report = ignore,
    ) -> Tree:
        """Open the tree on ``disk``, a new one if there is none, as it was when last flushed.

        ``owner`` names whose tree it is; files of another owner are refused.  ``memtable_bytes`` is
        the size from which the memtable counts as full.

        Removes tables that a crash left unfinished and no other file.  Raises
        :class:`~kvraft.errors.Damage` and :class:`~kvraft.errors.Foreign` rather than open a tree
        that lacks anything; data blocks are checked when they are read.
        """
        if memtable_bytes < 1:
            raise BadInput(f"memtable_bytes must be at least 1, not {memtable_bytes}")
        manifest = Manifest.open(disk, owner, report)
        tree = cls(disk, manifest, owner, memtable_bytes, report)
        tree._remove_dead()
        return tree

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def apply(self, rows: Iterable[Row], position: Position) -> None:
        """Take in the rows of one complete transaction, or none, as of ``position`` in the log.

        All of them or, where ``BadInput`` is raised for a bad row, none.  Positions must grow.
        """
        self._check_open()
        if not isinstance(position, Position):
            raise BadInput(f"a position in the log is a Position, not {position!r}")
        if position.index <= self.applied.index:
            raise BadInput(f"position {position} is not above {self.applied}, applied before")
        self._memtable.update(rows)
        self.applied = position
        self.timestamp = max(self.timestamp, self._memtable.timestamp)

    def freeze(self) -> None:
        """Let the memtable take no more writes: it waits to be flushed, a new one takes its place.

        One without rows is frozen too if the applied mark has moved, so that transactions which
        wrote nothing do not hold on to the log.  If nothing was applied since, nothing happens.
        """
        self._check_open()
        before = self._immutables[-1].through if self._immutables else self.flushed
        if self.applied == before:
            return
        frozen, self._memtable = self._memtable, Memtable()
        self._immutables.append(_Immutable(frozen, self.applied))
        self._report(MemtableFrozen(len(frozen), frozen.size, self.applied.index))

    def flush(self) -> Iterator[None]:
        """Write the oldest immutable memtable to a table, in slices: run it to its end.

        Does nothing if none waits.  One flush at a time: raises ``BadInput`` at the first slice if
        another is under way.  A job dropped half-way changes nothing that a reader sees; one that
        a snapshot overtakes ends at its next slice.

        Raises ``OSError`` if the disk fails, ``Damage`` if it does not give back what was written,
        and :class:`~kvraft.errors.Stopped` from then on.
        """
        self._check_writable()
        if self._flushing:
            raise BadInput("a flush is under way: finish it before the next")
        if not self._immutables:
            return
        self._flushing, installs = True, self._installs
        try:
            for _ in self._flush_oldest():
                yield
                self._check_open()
                if self._installs != installs:
                    return
        except (OSError, Damage) as error:
            self._failure = str(error)
            raise
        finally:
            if self._installs == installs:
                self._flushing = False

    def _flush_oldest(self) -> Iterator[None]:
        memtable, through = self._immutables[0]
        number = self._manifest.take_number()
        info = yield from write_table(self._disk, number, memtable.scan(), owner=self._owner)
        written: tuple[Table, ...] = ()
        if info is not None:
            keys = label(info.first_key), label(info.last_key)
            self._report(TableWritten(number, info.rows, info.size, *keys))
            written = (Table.open(self._disk, info),)
            yield
        add = tuple(table.info for table in written)
        self._manifest.commit(Edit(add, flushed=through, timestamp=memtable.timestamp))
        self._tables = written + self._tables
        del self._immutables[0]
        self._report(Flushed(through.index, number if written else 0))

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return what is on disk, everything through :attr:`flushed`, to be sent to a member."""
        self._check_open()
        return TreeSnapshot(self._disk, self._owner, self._manifest.state)

    def install(self, data: bytes) -> None:
        """Let the snapshot in the stream ``data`` take the place of all that this tree holds.

        Durable in this order: the tables under numbers of this tree, their directory entries, the
        manifest.  Then memory follows, a flush under way is abandoned, open scans end with
        ``BadInput``, and the old tables are removed.

        Nothing is written and nothing changes where this raises ``Damage`` that names
        :data:`~kvraft.snapshot.STREAM` or :class:`~kvraft.errors.Foreign` for a stream that cannot
        be meant, or ``BadInput`` for one that reaches no further than :attr:`applied`.  Raises
        ``OSError`` if the disk fails, ``Damage`` if it does not give back what was written, and
        :class:`~kvraft.errors.Stopped` from then on.
        """
        self._check_writable()
        contents = unpack(data, self._owner)
        if contents.last.index <= self.applied.index:
            what = f"a snapshot through {contents.last} holds nothing new"
            raise BadInput(f"{what}: everything through {self.applied} is applied")
        try:
            self._put_in_place(contents)
        except (OSError, Damage) as error:
            self._failure = str(error)
            raise

    def _put_in_place(self, contents: Contents) -> None:
        tables = tuple(self._write_received(contents))
        state = self._manifest.commit(
            Edit(
                add=tuple(table.info for table in tables),
                remove=tuple(info.number for info in self.tables),
                flushed=contents.last,
                timestamp=contents.timestamp,
                installed=True,
            )
        )
        self._tables = tables
        self._memtable, self._immutables = Memtable(), []
        self.applied, self.timestamp = state.flushed, max(self.timestamp, state.timestamp)
        self._flushing, self._installs = False, self._installs + 1
        self._report(Installed(self.applied.index, tuple(info.number for info in state.tables)))
        self._remove_dead()

    def _write_received(self, contents: Contents) -> list[Table]:
        """Write the tables of a snapshot, durably, and return them, newest first."""
        infos: list[TableInfo] = []
        for info, data in reversed(contents.tables):  # so that newer ones have higher numbers
            info = replace(info, number=self._manifest.take_number())
            name = table_name(info.number)
            self._disk.create(name)
            self._disk.append(name, bytes(data))
            self._disk.sync(name)
            infos.insert(0, info)
            keys = label(info.first_key), label(info.last_key)
            self._report(TableWritten(info.number, info.rows, info.size, *keys))
        self._disk.sync_dir()
        tables = [Table.open(self._disk, info) for info in infos]
        for table in tables:
            table.verify_bytes()
        return tables

    def _remove_dead(self) -> None:
        """Remove the tables that are not live."""
        live = {info.number for info in self.tables}
        for name in self._disk.names():
            number = table_number(name)
            if number is not None and number not in live:
                self._disk.remove(name)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, ``None`` if it has none."""
        version = self.version(key)
        return None if version is None else version.value

    def version(self, key: bytes) -> Version | None:
        """Return the newest version of ``key``, maybe a tombstone, ``None`` if none is known."""
        self._check_open()
        _check_key(key)
        best = self._memtable.get(key)
        for memtable, _ in reversed(self._immutables):
            best = _newer(best, memtable.get(key))
        for table in self._tables:
            # Newest first: once a version is found, older tables rarely have a chance.
            if best is None or table.info.max_timestamp > best.timestamp:
                best = _newer(best, table.get(key))
        return best

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Return an iterator over keys and values with ``start <= key < stop``, in ascending order.

        It sees the tree as it is at this call, whatever is applied, frozen or flushed until it is
        exhausted; if a snapshot is installed meanwhile, it raises ``BadInput``.  For that the rows
        of the memtable in the range are copied now; immutable memtables and tables never change and
        are read on the way.
        """
        self._check_open()
        _check_key(start)
        if stop is not None:
            _check_key(stop)
        runs: list[Iterable[Row]] = [list(self._memtable.scan(start, stop))]
        runs += [memtable.scan(start, stop) for memtable, _ in reversed(self._immutables)]
        runs += [table.scan(start, stop) for table in self._tables]
        return self._live(merge(runs), self._installs)

    def _live(self, rows: Iterator[Row], installs: int) -> Iterator[tuple[bytes, bytes]]:
        while True:
            self._check_open()
            if self._installs != installs:
                raise BadInput("a snapshot took the place of what is being scanned: begin anew")
            row = next(rows, None)
            if row is None:
                return
            key, version = row
            if version.value is not None:
                yield key, version.value

    def verify(self) -> None:
        """Read every live table; raises :class:`~kvraft.errors.Damage` at the first defect."""
        self._check_open()
        for table in self._tables:
            table.verify()

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def flushed(self) -> Position:
        """The last log position whose rows are all in durable tables."""
        return self._manifest.state.flushed

    @property
    def full(self) -> bool:
        """Whether the memtable has reached its size and should be frozen."""
        return self._memtable.size >= self._memtable_bytes

    @property
    def waiting(self) -> int:
        """How many immutable memtables wait to be flushed."""
        return len(self._immutables)

    @property
    def memtable_rows(self) -> int:
        """How many keys the memtable holds, tombstones included."""
        return len(self._memtable)

    @property
    def memtable_size(self) -> int:
        """About how many bytes of table the memtable would fill."""
        return self._memtable.size

    @property
    def tables(self) -> tuple[TableInfo, ...]:
        """The live tables, newest first."""
        return self._manifest.state.tables

    def close(self) -> None:
        """Refuse all further use, open scans and flushes too.  The disk stays open: it is shared.

        What was not flushed is dropped; it is in the log.
        """
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput("the tree is closed")

    def _check_writable(self) -> None:
        self._check_open()
        if self._failure:
            raise Stopped(f"the tree stopped writing: {self._failure}")


def prefix_stop(prefix: bytes) -> bytes | None:
    r"""Return the ``stop`` that ends a scan from ``prefix`` behind its last key; ``None``: no end.

    >>> prefix_stop(b"user/"), prefix_stop(b"a\xff"), prefix_stop(b"\xff")
    (b'user0', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _newer(best: Version | None, found: Version | None) -> Version | None:
    """Return the version with the higher timestamp; of equal ones ``best``, from the newer run."""
    if best is None or (found is not None and found.timestamp > best.timestamp):
        return found
    return best


def _check_key(key: bytes) -> None:
    if not isinstance(key, bytes):
        raise BadInput(f"a key must be bytes, not {type(key).__name__}")
