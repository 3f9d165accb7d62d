"""The directory that a tool works on, and what in it may not survive a loss of power.

Rows in tables are durable whenever they can be read: a table is synced before the edit that names
it, and the log keeps its rows until that edit is.  Only at the end of a log can there be entries
that are not durable, while another process writes it or after that process died
(:func:`unsynced_entries`).
"""

from __future__ import annotations

from pathlib import Path

from kvraft.disk import CURRENT, ReadOnlyDisk, RealDisk, is_segment, table_number
from kvraft.errors import BadInput


def open_directory(directory: Path) -> RealDisk:
    """Open a directory with a log, a tree or at least tables, to change it; close it after use.

    Raises :class:`~kvraft.errors.BadInput` if it has none of them, and leaves it untouched, and
    :class:`~kvraft.errors.Locked` if another process has it open.
    """
    _check(directory)
    return RealDisk(directory)


def inspect_directory(directory: Path) -> ReadOnlyDisk:
    """Open a directory only to read: without a lock, even while another process has it open.

    Raises :class:`~kvraft.errors.BadInput` as :func:`open_directory` does.
    """
    _check(directory)
    return ReadOnlyDisk(directory)


def unsynced_entries(durable: int, last: int) -> str:
    """Return a sentence that names the log entries after ``durable`` through ``last``.

    They can be read, but no file records that they were synced.  ``""`` if there are none.
    """
    if durable >= last:
        return ""
    several = f"Log entries {durable + 1} to {last} are"
    which = f"Log entry {last} is" if last == durable + 1 else several
    return f"{which} not known to be durable: a loss of power now could still take what is newest."


def _check(directory: Path) -> None:
    if directory.is_file():
        raise BadInput(f"{directory} is a file: name its directory, {directory.parent}")
    if not directory.is_dir():
        raise BadInput(f"there is no directory {directory}")
    names = [path.name for path in directory.iterdir()]
    if not any(n == CURRENT or is_segment(n) or table_number(n) is not None for n in names):
        raise BadInput(f"{directory} holds no log and no tree: it is not a data directory")
