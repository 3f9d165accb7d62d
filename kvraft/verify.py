"""Looking at the files of one member: every checksum, every invariant, nothing written.

Opening a member mends what a crash may legally leave behind (a torn tail, an unfinished table).
Verifying only looks, and says what opening would find and do.
"""

from __future__ import annotations

from pathlib import Path

from kvraft.disk import Disk, RealDisk
from kvraft.errors import BadInput
from kvraft.levels import Levels
from kvraft.manifest import load
from kvraft.segment import owner_of
from kvraft.sstable import Table
from kvraft.store import check_disk
from kvraft.tablewriter import check_table


def verify(directory: Path, owner: str | None = None) -> list[str]:
    """Check the files of the member in ``directory`` and return what it holds, in sentences.

    Raises :class:`~kvraft.errors.Damage` at the first defect, :class:`~kvraft.errors.Foreign` if
    the files are not those of ``owner`` (the one they name themselves, if not given) or of another
    format, :class:`~kvraft.errors.Locked` if the member runs, and
    :class:`~kvraft.errors.BadInput` if ``directory`` holds no log.
    """
    if not directory.is_dir():
        raise BadInput(f"there is no directory {directory}")
    if not any(directory.glob("*.wal")):
        raise BadInput(f"{directory} holds no log: it is not a member's data directory")
    disk = RealDisk(directory)
    try:
        return verify_disk(disk, owner if owner is not None else owner_of(disk))
    finally:
        disk.close()


def verify_disk(disk: Disk, owner: str) -> list[str]:
    """Check the files of ``owner`` on ``disk``; see :func:`verify`."""
    log = check_disk(disk, owner)
    state = load(disk, owner)
    levels = Levels(Table.open(disk, info) for info in state.tables)
    levels.check()
    for table in levels.tables:
        check_table(table)
    rows = sum(info.rows for info in state.tables)
    term, vote = log.hard_state
    sealed = sum(segment.size for segment in log.segments)
    lines = [
        f"{owner}: term {term}, voted for {vote or 'nobody'}.",
        f"Log: entries {log.base.index + 1} to {log.last.index} in {len(log.segments)} segments, "
        f"{sealed:,} bytes.",
        f"Tables: {len(state.tables)} with {rows:,} rows, everything through log index "
        f"{state.flushed.index}{', from a snapshot' if state.installed else ''}.",
    ]
    if log.void:
        lines.append(
            f"Put out of force by that snapshot, to be removed: {len(log.void)} log segments."
        )
    if log.torn is not None:
        name, offset, size, why = log.torn
        lines.append(f"Torn tail, to be cut: {size} bytes of {name} from {offset} on ({why}).")
    return [*lines, "Every checksum and invariant holds."]
