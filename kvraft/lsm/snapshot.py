"""Snapshots: everything that was replicated, as of one position of the log, as a stream of bytes.

A member that needs entries which are no longer kept is sent the state that they led to (Raft §7;
thesis §5).  Here that state is on disk already, in tables that never change: a snapshot *is* the
live tables at the flushed mark.  Nothing is serialised again; the tables are sent unchanged::

    offset  size
         0     …  header, one frame (disk/frame.py) of kind 1, payload in JSON:
                  format     of this stream and of the tables in it
                  owner      the member whose tables these are, as "cluster/member"
                  flushed    index and term: the snapshot holds everything through there
                  timestamp  the highest in it
                  horizon    versions that only a reader before it could see may be gone
                  tables     each as the manifest knows it (sstable/metadata.py)
         …     …  the files of the tables, in the same order, one right after the other

Invariants:

- The same tables make the same bytes, and reading some of the bytes loads no others.
- A table that is damaged is not sent to its end: its sender finds it, and not its receiver.
- A stream is checked to its last byte before anything is done with it: the header has a checksum,
  and contains the digest of each table (sstable/format.py).  However large it is, only parts of it
  are in memory: what arrives goes to a file (:class:`SnapshotSpool`), and is installed from there.
- Tables of another cluster are refused; those of another member of the cluster are accepted.

How a snapshot replaces what a member has, and why a crash leaves the old or the new and never a
mixture, is described at :meth:`kvraft.lsm.Tree.install`, :meth:`kvraft.wal.Wal.reset` and
:func:`kvraft.wal.recover`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

from kvraft.disk import Disk, frame, is_disk_full, table_name
from kvraft.display import counted
from kvraft.errors import BadInput, Corruption, DiskFull, ForeignFile
from kvraft.lsm.version_edit import ManifestState
from kvraft.record import Position, Timestamp
from kvraft.sstable import (
    READ_CHUNK_BYTES,
    DigestCheck,
    PassingCheck,
    Table,
    TableMetadata,
    check_integers,
    pack_metadata,
    unpack_metadata,
)

FORMAT = 3
STREAM = "snapshot"
"""The file name in a :class:`~kvraft.errors.Corruption` of a stream."""

_HEADER = 1
_SEED = frame.checksum_seed("kvraft snapshot")


def do_nothing() -> None:
    """Release nothing: for tables that nobody removes."""


class TreeSnapshot:
    """The tables of one tree at its flushed mark, to be read as one stream of ``size`` bytes.

    ``last`` is the last log position that it covers.  Its tables are kept while the object exists:
    ``release`` is called when it is garbage-collected.  :meth:`kvraft.lsm.Tree.snapshot` makes it.
    """

    def __init__(
        self,
        disk: Disk,
        owner: str,
        state: ManifestState,
        release: Callable[[], None] = do_nothing,
    ) -> None:
        self._release = release
        self.last: Position = state.flushed
        self._disk = disk
        self._header = _pack_header(owner, state)
        self._names = [table_name(info.number) for info in state.tables]
        self._checks = [PassingCheck(info.size, info.digest) for info in state.tables]
        sizes = [len(self._header), *(info.size for info in state.tables)]
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1]

    def __del__(self) -> None:
        self._release()

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end.

        All of it is to be read in order; any part may be read again.

        Raises ``BadInput`` if its tree was reopened since, ``Corruption`` if a table is shorter
        than it was or, with its last byte, if any byte is another one, and ``OSError`` if the disk
        fails.
        """
        if offset < 0 or length < 0:
            raise BadInput(f"a snapshot has no {counted(length, 'byte')} at {offset}")
        return b"".join(self._parts(offset, min(offset + length, self.size)))

    def _parts(self, offset: int, end: int) -> Iterator[bytes]:
        while offset < end:
            at = bisect_right(self._ends, offset)
            stop = min(end, self._ends[at])
            if at == 0:
                yield self._header[offset:stop]
            else:
                yield self._read(at - 1, offset - self._ends[at - 1], stop - offset)
            offset = stop

    def _read(self, table: int, offset: int, length: int) -> bytes:
        name = self._names[table]
        try:
            data = self._disk.read(name, offset, length)
        except FileNotFoundError:
            raise BadInput(f"the snapshot at {self.last} is gone: {name} was removed") from None
        if len(data) != length:
            raise Corruption(
                name,
                offset,
                f"the file has {counted(len(data), 'byte')} here where {length} were written",
            )
        if not self._checks[table].passes(offset, data):
            raise Corruption(name, 0, "the file does not match its digest in the manifest")
        return data


class ByteSource(Protocol):
    """A stream that can be read repeatedly, in parts: a file, or bytes in memory."""

    @property
    def size(self) -> int:
        """The number of bytes in it."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""


class SnapshotSpool:
    """A file with the chunks of a snapshot that have arrived, ``size`` bytes so far.

    It is never synced, for a member that crashes receives the snapshot again; nor is it read before
    it is complete.
    """

    NAME = "snapshot.part"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.size = 0
        self._torn = False  # whether a chunk may be there in part
        self.drop()

    def write(self, offset: int, data: bytes) -> None:
        """Write the chunk ``data`` at ``offset``; one at 0 begins another stream.

        Raises :class:`~kvraft.errors.DiskFull` if there is no space: then the same chunk, or an
        earlier one, may be written again.  Raises ``OSError`` if the disk fails.
        """
        try:
            if offset == 0:
                self.drop()
                self._disk.create(self.NAME)
            elif self.size != offset or self._torn:
                self._disk.truncate(self.NAME, offset)
            self._torn = True
            self._disk.append(self.NAME, data)
        except OSError as error:
            if not is_disk_full(error):
                raise
            what = f"there is no space for {len(data)} bytes of a snapshot that comes"
            raise DiskFull(what) from error
        self.size, self._torn = offset + len(data), False

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""
        return self._disk.read(self.NAME, offset, length)

    def drop(self) -> None:
        """Remove the file, also one that a crash left."""
        if self.NAME in self._disk.names():
            self._disk.remove(self.NAME)
        self.size = 0


class InMemorySource:
    """A stream whose bytes are in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""
        return self._data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class SnapshotContents:
    """The contents of a stream: everything through ``last``; each table with its offset.

    ``timestamp`` is the highest in it, ``horizon`` how far back readers can look; tables have the
    numbers of the tree that they come from.
    """

    last: Position
    timestamp: Timestamp
    horizon: Timestamp
    tables: tuple[tuple[TableMetadata, int], ...]
    source: ByteSource

    def parts(self, info: TableMetadata, start: int) -> Iterator[bytes]:
        """Yield the bytes of a table that begins at ``start``, in parts."""
        for offset in range(0, info.size, READ_CHUNK_BYTES):
            yield self.source.read(start + offset, min(READ_CHUNK_BYTES, info.size - offset))


def unpack_snapshot(source: ByteSource, owner: str) -> SnapshotContents:
    """Return the contents of a stream for the tree of ``owner``, checked to the last byte.

    Raises :class:`~kvraft.errors.Corruption` if a byte is missing, wrong or too many, and
    :class:`~kvraft.errors.ForeignFile` if the stream has another format or is of another cluster.
    """
    header = _read_header(source)
    last, timestamp, horizon, infos = _unpack_header(header, owner)
    starts = list(accumulate((info.size for info in infos), initial=header.end))
    if starts[-1] != source.size:
        what = (
            f"the stream has {counted(source.size, 'byte')} where its header promises {starts[-1]}"
        )
        raise Corruption(STREAM, min(starts[-1], source.size), what)
    tables = tuple(zip(infos, starts, strict=False))
    for info, start in tables:
        if not DigestCheck(_from(source, start), info.size, info.digest).run_to_end():
            raise Corruption(STREAM, start, f"table {info.number} does not match its digest")
        try:  # the table's own properties must agree with the header
            Table.open(_OneTable(source, start, info.size), info)
        except Corruption as error:
            what = f"table {info.number} is not what the header says of it ({error.what})"
            raise Corruption(STREAM, start, what) from None
    return SnapshotContents(last, timestamp, horizon, tables, source)


class _OneTable(NamedTuple):
    """A table in a stream, as a file that can be read under any name."""

    source: ByteSource
    start: int
    length: int

    def size(self, name: str) -> int:
        return self.length

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        most = self.length - offset
        length = most if length is None else min(length, most)
        return self.source.read(self.start + offset, length)


def _from(source: ByteSource, start: int) -> Callable[[int, int], bytes]:
    """Return a function that reads the part of a stream that begins at ``start``."""
    return lambda offset, length: source.read(start + offset, length)


def _read_header(source: ByteSource) -> frame.Frame:
    """Return the first frame; read little more of the stream than that."""
    size = READ_CHUNK_BYTES
    while isinstance(header := frame.decode(data := source.read(0, size), 0, seed=_SEED), str):
        if (older := frame.older_format(data)) is not None:
            raise _format_mismatch(older)
        if size >= source.size:
            raise Corruption(STREAM, 0, header)
        size *= 4
    return header


def _pack_header(owner: str, state: ManifestState) -> bytes:
    fields = {
        "format": FORMAT,
        "owner": owner,
        "flushed": state.flushed,
        "timestamp": state.timestamp,
        "horizon": state.horizon,
        "tables": [pack_metadata(info) for info in state.tables],
    }
    return frame.encode(_HEADER, json.dumps(fields).encode(), synced=0, seed=_SEED, offset=0)


def _unpack_header(
    header: frame.Frame, owner: str
) -> tuple[Position, Timestamp, Timestamp, list[TableMetadata]]:
    try:
        fields = json.loads(header.payload if header.kind == _HEADER else b"")
        if (found := fields["format"]) != FORMAT:
            raise _format_mismatch(found)
        theirs = str(fields["owner"])
        numbers = (*fields["flushed"], fields["timestamp"], fields["horizon"])
        index, term, timestamp, horizon = check_integers(numbers)
        infos = [unpack_metadata(values) for values in fields["tables"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Corruption(STREAM, 0, "the header of a snapshot makes no sense") from None
    if _cluster(theirs) != _cluster(owner):
        raise ForeignFile(f"a snapshot of {theirs!r} is not for {owner!r}: the clusters differ")
    return Position(index, term), timestamp, horizon, infos


def _format_mismatch(found: object) -> ForeignFile:
    return ForeignFile(
        f"a snapshot has format {found}; this version of kvraft reads format {FORMAT}: "
        "the members of a cluster must all run the same version"
    )


def _cluster(owner: str) -> str:
    return owner.rpartition("/")[0]
