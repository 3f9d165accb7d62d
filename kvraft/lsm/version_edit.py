"""The state of a tree's tables, and one atomic change to it: what a manifest is made of.

::

    ManifestState ──after(edit)──► ManifestState ──after(edit)──► …      the whole state is an edit

Invariant: an edit that does not fit the state is refused (:meth:`ManifestState.after`), whether it
was just made or read from a file.

Source: LevelDB version_edit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from kvraft.errors import BadInput
from kvraft.record import NO_LOG, ORIGIN, LogEnd, Position, Timestamp
from kvraft.sstable import TableMetadata, check_integers, pack_metadata, read_order, unpack_metadata


@dataclass(frozen=True, slots=True)
class VersionEdit:
    """One atomic change.  Fields that are left out stay unchanged."""

    add: tuple[TableMetadata, ...] = ()
    remove: tuple[int, ...] = ()
    flushed: Position = ORIGIN
    timestamp: Timestamp = 0
    horizon: Timestamp = 0
    installed: bool = False
    log: LogEnd = NO_LOG


@dataclass(frozen=True, slots=True)
class ManifestState:
    """The contents of the manifest.

    ``tables`` are in the order in which they are read (:func:`~kvraft.sstable.read_order`);
    ``flushed`` is the last log position whose rows are all in them; ``timestamp`` is the highest
    among those rows; ``next_file`` is a number that no file ever had.  Versions that only a reader
    before ``horizon`` could see may be gone.
    ``installed`` means that ``flushed`` comes from an installed snapshot and no flush has moved it
    since: only then may the log on the same disk end before it (Raft §7).
    ``log`` is how far the log on the same disk was synced when this was last written: a log that
    ends earlier has lost something, however valid its last frame is.
    """

    tables: tuple[TableMetadata, ...] = ()
    flushed: Position = ORIGIN
    timestamp: Timestamp = 0
    horizon: Timestamp = 0
    next_file: int = 1
    installed: bool = False
    log: LogEnd = NO_LOG

    def whole(self) -> VersionEdit:
        """Return the edit that turns the empty state into this one."""
        return VersionEdit(
            self.tables,
            (),
            self.flushed,
            self.timestamp,
            self.horizon,
            self.installed,
            self.log,
        )

    def after(self, edit: VersionEdit, next_file: int) -> ManifestState:
        """Return the state after ``edit``; raise ``BadInput`` if it does not fit this one."""
        live = {table.number for table in self.tables}
        if not live.issuperset(edit.remove):
            raise BadInput(f"an edit removes tables {edit.remove}, but {sorted(live)} are live")
        live.difference_update(edit.remove)
        added = [table.number for table in edit.add]
        if len({*live, *added}) != len(live) + len(added) or next_file <= max(added, default=0):
            raise BadInput(f"an edit adds tables {added}, but their numbers are not new")
        if next_file < self.next_file:
            raise BadInput(f"file numbers cannot go back from {self.next_file} to {next_file}")
        kept = tuple(table for table in self.tables if table.number not in edit.remove)
        return ManifestState(
            tables=read_order(edit.add + kept),
            flushed=max(self.flushed, edit.flushed),
            timestamp=max(self.timestamp, edit.timestamp),
            horizon=max(self.horizon, edit.horizon),
            next_file=next_file,
            installed=edit.installed if edit.flushed > self.flushed else self.installed,
            log=max(self.log, edit.log),
        )


def encode_edit(edit: VersionEdit, next_file: int) -> bytes:
    """Return ``edit`` and the next file number as JSON."""
    whole = {
        "add": [pack_metadata(table) for table in edit.add],
        "remove": edit.remove,
        "flushed": edit.flushed,
        "timestamp": edit.timestamp,
        "horizon": edit.horizon,
        "installed": edit.installed,
        "log": edit.log,
        "next_file": next_file,
    }
    return json.dumps(whole).encode()


def decode_edit(payload: bytes) -> tuple[VersionEdit, int]:
    """Return the edit and the next file number; ``ValueError`` if the bytes are not an edit."""
    try:
        whole = json.loads(payload)
        index, term = check_integers(whole["flushed"])
        numbers = (whole["timestamp"], whole["horizon"], whole["next_file"])
        timestamp, horizon, next_file = check_integers(numbers)
        if type(installed := whole["installed"]) is not bool:
            raise ValueError(f"true or false is expected, not {installed!r}")
        tables = tuple(unpack_metadata(values) for values in whole["add"])
        flushed = Position(index, term)
        removed = check_integers(whole["remove"])
        log = LogEnd(*check_integers(whole["log"]))
        edit = VersionEdit(tables, removed, flushed, timestamp, horizon, installed, log)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an edit lacks something: {error}") from None
    return edit, next_file
