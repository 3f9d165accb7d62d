"""The manifest: which tables are live, and how far into the log they reach.  Changes are atomic.

It is a log of edits in the framing of ``disk/frame.py``, payloads in JSON.  The file that counts is
the one that ``CURRENT`` names::

    CURRENT             MANIFEST-000007
    "MANIFEST-000007\\n"  ┌────────┬────────────┬──────┬──────┬──────┬──────┐
                         │ header │ whole state│ edit │ mark │ edit │ mark │ …
                         └────────┴────────────┴──────┴──────┴──────┴──────┘

- **header** (kind 1): format version and owner, with a seed that every manifest shares, so that a
  foreign one is recognised; later frames are bound to the file's name and its owner;
- **edit** (kind 2): tables added and removed (one that is both moves to another level), the flushed
  mark and whether an installed snapshot set it, the highest timestamp, the horizon, the next file
  number, and how far the log on the same disk was synced then.  The whole state is an edit to an
  empty one;
- **mark** (kind 3): empty, and not synced.  Its *synced* field records that the edit before it was
  durable, so that damage to a committed edit is never taken for a torn write.

Every open writes a new manifest with the whole state, so that nothing is ever appended after bytes
that may or may not count, such as those of an edit whose sync failed.  A manifest that has grown
long is rewritten, too.

Invariants:

- A manifest counts from the moment ``CURRENT`` is renamed, and has no edits before; the old one is
  durably removed before the next edit.  Two manifests on a disk never disagree.
- Nothing is done on the strength of an edit, or of a new manifest, before it was synced and read
  back.
- Every file number is used once, for a table or for a manifest.
- An empty disk is a new tree.  Tables without ``CURRENT`` are damage, never an empty tree.

Sources: LevelDB impl.md (manifest, CURRENT); Pebble record (the mark); RocksDB issue 7621 (bytes
that land although their sync failed).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from kvraft.disk import (
    CURRENT,
    Disk,
    create_file,
    frame,
    is_manifest,
    manifest_name,
    manifest_number,
    replace_file,
    table_number,
    verify_written,
)
from kvraft.errors import BadInput, Corruption, DiskFull, ForeignFile, format_mismatch
from kvraft.events import EventSink, TailTruncated, ignore
from kvraft.lsm.version_edit import ManifestState, VersionEdit, decode_edit, encode_edit

FORMAT = 3
"""3 since frames are bound to their offset."""

ROLL_BYTES = 64 << 10
ROLL_FACTOR = 8
"""A manifest is rewritten when it exceeds both ``ROLL_BYTES`` and ``ROLL_FACTOR`` times the size it
began with: so its size stays in proportion to the state, and so does the work."""

_HEADER, _EDIT, _MARK = 1, 2, 3
HEADER_SEED = frame.checksum_seed("MANIFEST")


class Manifest:
    """The live manifest.  ``state`` is its durable contents.

    ``sure`` is false after an edit that failed, which may or may not be on disk, until the state
    is rewritten; and for a manifest that was only read.
    """

    def __init__(self, disk: Disk, owner: str, state: ManifestState, *, write: bool = True) -> None:
        """Write ``state`` to a new manifest and make it the live one, if ``write`` is set."""
        self.state = state
        self._disk = disk
        self._owner = owner
        self._next_file = state.next_file
        self._name = ""
        self._seed = 0
        self._size = self._synced = self._whole = 0  # bytes; _whole: when it began
        self._unread = b""  # the end of the file that was not read back yet
        self.sure = False
        if write:
            self.rewrite()

    @classmethod
    def open(
        cls,
        disk: Disk,
        owner: str,
        report: EventSink = ignore,
        *,
        read_only: bool = False,
    ) -> Manifest:
        """Read the state, or begin an empty one on an empty disk, and rewrite it.

        With ``read_only`` nothing is written.  Where there is no space, the next :meth:`commit` or
        :meth:`rewrite` writes it.
        Raises :class:`~kvraft.errors.Corruption` and :class:`~kvraft.errors.ForeignFile` as
        :func:`load_manifest` does.  A torn last edit is reported and dropped.
        """
        state, torn = _find(disk, owner)
        if torn is not None:
            report(torn)
        used = [number for name in disk.names() if (number := _file_number(name)) is not None]
        next_file = max(state.next_file, max(used, default=0) + 1)
        manifest = cls(disk, owner, replace(state, next_file=next_file), write=False)
        if not read_only:
            with suppress(DiskFull):
                manifest.rewrite()
        return manifest

    def new_file_number(self) -> int:
        """Return a number for a new file that no file ever had."""
        number = self._next_file
        self._next_file += 1
        return number

    def commit(self, edit: VersionEdit) -> ManifestState:
        """Make ``edit`` durable and return the new state.

        Raises ``BadInput`` if the edit does not fit the state, and ``OSError`` if the disk fails:
        then the edit may or may not be on disk, and the manifest must be opened again; or, if the
        disk was only full, rewritten (:meth:`rewrite`) before a file that the edit needs is
        removed.
        """
        if not self.sure or self._size > max(ROLL_BYTES, ROLL_FACTOR * self._whole):
            self.rewrite()
        state = self.state.after(edit, self._next_file)
        self.sure = False
        self._append(_EDIT, encode_edit(edit, self._next_file))
        self._disk.sync(self._name)
        verify_written(self._disk, self._name, self._size - len(self._unread), self._unread)
        self._unread = b""
        self._synced = self._size
        self._append(_MARK, b"")
        self.state, self.sure = state, True
        return state

    def _append(self, kind: int, payload: bytes) -> None:
        at, synced = self._size, self._synced
        data = frame.encode(kind, payload, synced=synced, seed=self._seed, offset=at)
        self._disk.append(self._name, data)
        self._size += len(data)
        self._unread += data

    def rewrite(self) -> None:
        """Write the state to a new file, switch to it, and durably remove the old one."""
        self._name = manifest_name(self.new_file_number())
        self._seed = frame.checksum_seed(self._name, self._owner)
        self.state = replace(self.state, next_file=self._next_file)
        data = _opening(self._name, self._owner, self.state)
        create_file(self._disk, self._name, data)
        self._disk.sync(self._name)
        verify_written(self._disk, self._name, 0, data)
        self._disk.sync_dir()
        replace_file(self._disk, CURRENT, self._name.encode() + b"\n")
        self._size = self._synced = self._whole = len(data)
        self._unread = b""
        for name in self._disk.names():
            if is_manifest(name) and name != self._name:
                self._disk.remove(name)
        self._disk.sync_dir()
        self.sure = True


def load_manifest(disk: Disk, owner: str) -> ManifestState:
    """Return the state in the manifest on ``disk``; write nothing.

    An empty disk has the empty state.  Raises :class:`~kvraft.errors.Corruption` if a committed
    edit is missing, and :class:`~kvraft.errors.ForeignFile` for another owner or format.
    """
    return _find(disk, owner)[0]


def torn_manifest_tail(disk: Disk, owner: str) -> TailTruncated | None:
    """Return the torn end of the live manifest, ``None`` if it has none.

    Raises what :func:`load_manifest` raises.
    """
    return _find(disk, owner)[1]


def manifest_owner(disk: Disk) -> str:
    """Return the owner of the tree on ``disk``, from the manifest that ``CURRENT`` names.

    Raises ``BadInput`` if there is no ``CURRENT``, and ``Corruption`` if the manifest cannot be
    read.
    """
    if CURRENT not in disk.names():
        raise BadInput("there is no manifest here that could name its owner")
    name = disk.read(CURRENT).decode("latin-1").strip()
    if name not in disk.names():
        raise Corruption(CURRENT, 0, f"names {name!r}, which does not exist")
    return str(_read_header(name, disk.read(name))[1])


def read_edits(disk: Disk, name: str, owner: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the offset and the JSON object of each edit in the manifest ``name``.

    Raises ``Corruption`` where the manifest cannot be read further.
    """
    data = disk.read(name)
    _, _, start = _read_header(name, data)
    found = frame.scan(data, name=name, seed=frame.checksum_seed(name, owner), start=start)
    for part in found.frames:
        if part.kind == _EDIT:
            try:
                yield part.offset, json.loads(part.payload)
            except ValueError:
                raise Corruption(name, part.offset, "an edit is no JSON") from None


def _find(disk: Disk, owner: str) -> tuple[ManifestState, TailTruncated | None]:
    """Return the state on ``disk``, and the torn end of its manifest, if it has one."""
    names = disk.names()
    if CURRENT not in names:
        _check_new(disk, names, owner)
        return ManifestState(), None
    line = disk.read(CURRENT)
    name = line.decode("latin-1").removesuffix("\n")
    if not line.endswith(b"\n") or not is_manifest(name):
        what = "is empty" if not line else f"holds {line!r}"
        raise Corruption(CURRENT, 0, f"should be one line with the name of a manifest, but {what}")
    if name not in names:
        raise Corruption(CURRENT, 0, f"names {name}, which does not exist")
    return _read(disk, name, owner)


def _check_new(disk: Disk, names: list[str], owner: str) -> None:
    """Raise ``Corruption`` unless a disk without ``CURRENT`` never had one."""
    for name in names:
        if table_number(name) is not None or (
            is_manifest(name) and not _holds_nothing(disk, name, owner)
        ):
            raise Corruption(CURRENT, 0, f"is missing, although there is {name}")


def _holds_nothing(disk: Disk, name: str, owner: str) -> bool:
    """Return whether a manifest is what a crash leaves while the very first one is written.

    That is the empty state, or no more bytes than that takes, of which none can be read.
    """
    try:
        state, _ = _read(disk, name, owner)
    except Corruption:
        return disk.size(name) <= len(_opening(name, owner, ManifestState(next_file=10**6)))
    return replace(state, next_file=1) == ManifestState()


def _read(disk: Disk, name: str, owner: str) -> tuple[ManifestState, TailTruncated | None]:
    data = disk.read(name)
    version, theirs, start = _read_header(name, data)
    if version != FORMAT:
        raise format_mismatch(name, version, FORMAT)
    if theirs != owner:
        raise ForeignFile(f"{name} belongs to {theirs!r}, not to {owner!r}")
    found = frame.scan(data, name=name, seed=frame.checksum_seed(name, owner), start=start)
    if not found.frames:
        raise Corruption(name, start, "the state that a manifest begins with is not valid")
    state = ManifestState()
    for part in found.frames:
        if part.kind == _EDIT:
            try:
                state = state.after(*decode_edit(part.payload))
            except (ValueError, BadInput) as error:
                raise Corruption(name, part.offset, f"an edit makes no sense: {error}") from None
        elif part.kind != _MARK or part.payload:
            raise Corruption(name, part.offset, f"a frame of kind {part.kind} has no place here")
    torn = TailTruncated(name, found.end, len(data) - found.end) if found.torn else None
    return state, torn


def _opening(name: str, owner: str, state: ManifestState) -> bytes:
    """Return the first bytes of the manifest ``name``: its header, and the whole ``state``."""
    header = json.dumps({"format": FORMAT, "owner": owner}).encode()
    body = encode_edit(state.whole(), state.next_file)
    first = frame.encode(_HEADER, header, synced=0, seed=HEADER_SEED, offset=0)
    seed = frame.checksum_seed(name, owner)
    return first + frame.encode(_EDIT, body, synced=0, seed=seed, offset=len(first))


def _read_header(name: str, data: bytes) -> tuple[Any, Any, int]:
    """Return the format and the owner in a manifest's header, and where the header ends."""
    if (older := frame.older_format(data)) is not None:
        raise format_mismatch(name, older, FORMAT)
    header = frame.decode(data, 0, seed=HEADER_SEED)
    if isinstance(header, str):
        raise Corruption(name, 0, header)
    try:
        fields = json.loads(header.payload)
        return fields["format"], fields["owner"], header.end
    except (ValueError, KeyError, TypeError):
        raise Corruption(name, 0, "the header of a manifest makes no sense") from None


def _file_number(name: str) -> int | None:
    """Return the number of the table or manifest ``name``, ``None`` for another file."""
    number = manifest_number(name)
    return table_number(name) if number is None else number
