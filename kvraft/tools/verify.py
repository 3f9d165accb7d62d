"""Verifying the files of a member, a store or a tree: every checksum, every invariant.

Opening them repairs what a crash may legally leave (a torn tail, an unfinished table).  Verifying
writes nothing, and reports what opening would find and do.  If no file records that the newest log
entries are durable, it says so; what can be known of a log that became shorter is described in
``wal/recovery.py``.
"""

from __future__ import annotations

from pathlib import Path

from kvraft.disk import (
    ASIDE_PREFIX,
    CURRENT,
    MEMBER,
    REBUILD_ADVICE,
    TEMPORARY_SUFFIX,
    Disk,
    check_owner,
    is_manifest,
    is_segment,
    table_name,
    table_number,
)
from kvraft.display import counted
from kvraft.errors import Corruption, ForeignFile, StateLost
from kvraft.log_and_tree import check_disk
from kvraft.lsm import Levels, ManifestState, SnapshotSpool, load_manifest, torn_manifest_tail
from kvraft.lsm import manifest_owner as owner_of_tree
from kvraft.sstable import Table, check_table
from kvraft.store import OWNER
from kvraft.tools.place import inspect_directory, unsynced_entries
from kvraft.tools.progress import progress_bar
from kvraft.wal import Recovery, log_owner


def verify(directory: Path, owner: str | None = None) -> list[str]:
    """Check the files in ``directory`` and return their contents, in sentences.

    Nothing is written, and no permission to write is needed.  Another process may have the files
    open: then they are read as they were at one moment, and if the newest log entries may not be
    durable yet, a sentence says so.

    Raises :class:`~kvraft.errors.Corruption` that names all defects,
    :class:`~kvraft.errors.ForeignFile` if the files have another format or another owner than
    ``owner`` (by default the one that they name), :class:`~kvraft.errors.StateLost` if a member is
    a copy or lacks its ``MEMBER`` file, :class:`~kvraft.errors.FilesChanged` if a writer was too
    fast, and :class:`~kvraft.errors.BadInput` if ``directory`` has neither a log nor a tree.
    """
    disk = inspect_directory(directory)
    try:
        return disk.settled(lambda: verify_disk(disk, owner))
    finally:
        disk.close()


def verify_disk(disk: Disk, owner: str | None = None) -> list[str]:
    """Check what is on ``disk``: see :func:`verify`."""
    has_log = any(is_segment(name) for name in disk.names())
    if owner is None:
        owner = log_owner(disk) if has_log else owner_of_tree(disk)
    lines = check(disk, owner)
    if MEMBER in disk.names():
        check_owner(disk, owner)
    elif has_log and owner != OWNER:
        raise StateLost(f"{MEMBER} is missing: {REBUILD_ADVICE}")
    live = {table_name(info.number) for info in load_manifest(disk, owner).tables}
    unnamed = [n for n in disk.names() if table_number(n) is not None and n not in live]
    if unnamed:
        lines.append(
            f"The manifest does not name, and the next opening removes: {', '.join(unnamed)}."
        )
    strange = [name for name in disk.names() if not _known(name)]
    if strange:
        lines.append(f"Not kvraft's, and left alone: {', '.join(strange)}.")
    return [*lines, "Every checksum and invariant holds."]


def check(disk: Disk, owner: str) -> list[str]:
    """Check the log and the tree of ``owner``, but not whose disk it is; return their contents."""
    torn = torn_manifest_tail(disk, owner)
    if torn is None:
        return _check_contents(disk, owner)
    lost = f"its last {counted(torn.size, 'byte')} are not valid"
    try:
        lines = _check_contents(disk, owner)
    except Corruption as error:
        raise Corruption(torn.file, torn.offset, f"{lost}, and without them: {error}") from None
    return [*lines, f"Torn tail, to be dropped, of {torn.file} from {torn.offset} on: {lost}."]


def _check_contents(disk: Disk, owner: str) -> list[str]:
    if not any(is_segment(name) for name in disk.names()):
        lines = [f"A tree of {owner or 'nobody in particular'}, without a log."]
        return [*lines, _check_tables(disk, load_manifest(disk, owner))]
    log = check_disk(disk, owner)
    state = load_manifest(disk, owner)
    lines = [*_log_lines(log, owner), _check_tables(disk, state)]
    if log.obsolete:
        segments = counted(len(log.obsolete), "log segment")
        lines.append(f"Put out of force by that snapshot, to be removed: {segments}.")
    if unsynced := unsynced_entries(max(log.durable, state.flushed.index), log.last.index):
        lines.append(unsynced)
    if log.torn is not None:
        name, offset, size, why = log.torn
        lines.append(
            f"Torn tail, to be cut: {counted(size, 'byte')} of {name} from {offset} on ({why})."
        )
    return lines


def _known(name: str) -> bool:
    """Return whether kvraft itself makes files of this name."""
    return (
        name in (CURRENT, MEMBER, SnapshotSpool.NAME)
        or name.startswith(ASIDE_PREFIX)
        or name.endswith((TEMPORARY_SUFFIX, ".torn"))
        or is_segment(name)
        or is_manifest(name)
        or table_number(name) is not None
    )


def _log_lines(log: Recovery, owner: str) -> list[str]:
    term, vote = log.hard_state
    sealed = sum(segment.size for segment in log.segments)
    first, last = log.base.index + 1, log.last.index
    entries = f"entries {first} to {last}" if last >= first else f"no entries after {first - 1}"
    return [
        f"{owner}: term {term}, voted for {vote or 'nobody'}.",
        f"Log: {entries} in {counted(len(log.segments), 'segment')}, {counted(sealed, 'byte')}.",
    ]


def _check_tables(disk: Disk, state: ManifestState) -> str:
    """Check every live table and return their contents; raise ``Corruption`` naming all defects."""
    defects: list[Corruption] = []
    tables: list[Table] = []
    for info in progress_bar(state.tables, "tables", len(state.tables)):
        try:
            tables.append(Table.open(disk, info))
            check_table(tables[-1])
        except (Corruption, ForeignFile) as error:
            foreign = Corruption(table_name(info.number), 0, str(error))
            defects.append(error if isinstance(error, Corruption) else foreign)
    try:
        Levels(tables).check()
    except Corruption as error:
        defects.append(error)
    if defects:
        first, *others = defects
        more = "".join(f"\n{other}" for other in others)
        raise Corruption(first.file, first.offset, first.what + more)
    rows = sum(info.rows for info in state.tables)
    return (
        f"Tables: {len(state.tables)} with {counted(rows, 'row')}, everything through log index "
        f"{state.flushed.index}{', from a snapshot' if state.installed else ''}."
    )
