"""Looking at the files of a member, a store or a tree: every checksum, every invariant.

Opening them mends what a crash may legally leave behind (a torn tail, an unfinished table).
Verifying only looks, writes nothing, and says what opening would find and do.
"""

from __future__ import annotations

from pathlib import Path

from kvraft.disk import Disk
from kvraft.errors import Damage, Foreign
from kvraft.levels import Levels
from kvraft.manifest import State, load
from kvraft.manifest import owner_of as owner_of_tree
from kvraft.plural import counted
from kvraft.segment import Recovery, is_segment, owner_of
from kvraft.sstable import Table
from kvraft.store import check_disk
from kvraft.tableinfo import table_name
from kvraft.tablewriter import check_table
from kvraft.tools.place import open_place
from kvraft.tools.progress import progress


def verify(directory: Path, owner: str | None = None) -> list[str]:
    """Check the files in ``directory`` and return what they hold, in sentences.

    Raises :class:`~kvraft.errors.Damage` that names all defects, :class:`~kvraft.errors.Foreign`
    if the files are not those of ``owner`` (the one they name themselves, if not given) or of
    another format, :class:`~kvraft.errors.Locked` if somebody has them open, and
    :class:`~kvraft.errors.BadInput` if ``directory`` holds neither a log nor a tree.
    """
    disk = open_place(directory)
    try:
        has_log = any(is_segment(name) for name in disk.names())
        if owner is None:
            owner = owner_of(disk) if has_log else owner_of_tree(disk)
        return verify_disk(disk, owner) if has_log else _verify_tree(disk, owner)
    finally:
        disk.close()


def verify_disk(disk: Disk, owner: str) -> list[str]:
    """Check the log and the tree of ``owner`` on ``disk``; see :func:`verify`."""
    log = check_disk(disk, owner)
    state = load(disk, owner)
    lines = [*_log_lines(log, owner), _check_tables(disk, state)]
    if log.void:
        lines.append(
            f"Put out of force by that snapshot, to be removed: {len(log.void)} log segments."
        )
    if log.torn is not None:
        name, offset, size, why = log.torn
        lines.append(
            f"Torn tail, to be cut: {counted(size, 'byte')} of {name} from {offset} on ({why})."
        )
    return [*lines, "Every checksum and invariant holds."]


def _verify_tree(disk: Disk, owner: str) -> list[str]:
    """Check a tree that has no log."""
    lines = [f"A tree of {owner or 'nobody in particular'}, without a log."]
    return [*lines, _check_tables(disk, load(disk, owner)), "Every checksum and invariant holds."]


def _log_lines(log: Recovery, owner: str) -> list[str]:
    term, vote = log.hard_state
    sealed = sum(segment.size for segment in log.segments)
    return [
        f"{owner}: term {term}, voted for {vote or 'nobody'}.",
        f"Log: entries {log.base.index + 1} to {log.last.index} in "
        f"{counted(len(log.segments), 'segment')}, "
        f"{counted(sealed, 'byte')}.",
    ]


def _check_tables(disk: Disk, state: State) -> str:
    """Check every live table and return what there is; raise ``Damage`` that names all defects."""
    defects: list[Damage] = []
    tables: list[Table] = []
    for info in progress(state.tables, "tables", len(state.tables)):
        try:
            tables.append(Table.open(disk, info))
            check_table(tables[-1])
        except (Damage, Foreign) as error:
            foreign = Damage(table_name(info.number), 0, str(error))
            defects.append(error if isinstance(error, Damage) else foreign)
    try:
        Levels(tables).check()
    except Damage as error:
        defects.append(error)
    if defects:
        first, *others = defects
        more = "".join(f"\n{other}" for other in others)
        raise Damage(first.file, first.offset, first.what + more)
    rows = sum(info.rows for info in state.tables)
    return (
        f"Tables: {len(state.tables)} with {rows:,} rows, everything through log index "
        f"{state.flushed.index}{', from a snapshot' if state.installed else ''}."
    )
