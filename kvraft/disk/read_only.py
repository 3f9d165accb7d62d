"""A directory that is only read, maybe while another process writes to it.

Reading needs no lock and no permission to write, and leaves no trace: :class:`ReadOnlyDisk` makes,
changes and removes nothing.  So that a writer next to it does no harm, it shows the directory as it
was at one moment: which files there were, and how long each was::

    list names ─► open CURRENT and MANIFEST ─► open segments and tables, newest first ─► list again
        ▲                                                                                    │
        └──────────────────────────── again, if the names are not the same ──────────────────┘

Why that is one state of a tree and its log, in spite of the writer (who never uses a name twice):

- While the names stay the same nothing is removed, no table, manifest or segment begins.  Then the
  writer only appends, and a file up to a size that it once had is a prefix of what was written.
- The manifest is measured before the log, and the log is synced through the flushed mark before an
  edit says so: the log that is seen reaches at least as far as the tables.
- The newest segment is measured before the one that it follows, which is sealed after it was made.

A file that is held open can be read after it was removed.  As many as :data:`FILES_HELD_OPEN` are;
one beyond that, or one that was removed in between, is :class:`~kvraft.errors.FilesChanged` when it
is asked for.  Windows lets nobody remove a file that is open, so there a directory that somebody
writes to cannot be read, and one that is being read cannot be written.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from kvraft.disk.disk import TEMPORARY_SUFFIX, Disk
from kvraft.disk.filenames import CURRENT, is_manifest, is_segment, table_number
from kvraft.disk.real import LOCK, OPEN_FILES, RealDisk, lock, open_to_read, pread
from kvraft.errors import BadInput, Corruption, FilesChanged, Locked, WrongType
from kvraft.inputs import describe_value

FILES_HELD_OPEN = OPEN_FILES
"""How many files are held open, so that they can be read to the end whatever the writer does."""

_TRIES = 100  # a writer that adds or removes files all the time is given up on after so many

_T = TypeVar("_T")


class ReadOnlyDisk:
    """A :class:`~kvraft.disk.Disk` on an existing directory that refuses every write.

    What it shows does not move: see :meth:`refresh`.  Not for several threads at once.

    Raises :class:`~kvraft.errors.BadInput` if ``path`` is not a directory,
    :class:`~kvraft.errors.FilesChanged` if files came and went as fast as they could be listed, and
    on Windows :class:`~kvraft.errors.Locked` while another process has it open.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise BadInput(f"there is no directory {self.path} to read")
        self._sizes: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._lock = -1
        if sys.platform == "win32":
            self._keep_writers_out()
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Show the directory as it is now, no longer as it was."""
        for _ in range(_TRIES):
            self._let_go()
            names = self._list()
            if self._measure(names) and self._list() == names:
                return
        raise self._changed("its files come and go faster than they can be listed")

    def settled(self, look: Callable[[], _T]) -> _T:
        """Return what ``look`` returns, which reads here; with a writer nearby, call it again.

        What it calls damage must be there a second time, in the directory as it is then.  Raises
        what ``look`` raises otherwise, and :class:`~kvraft.errors.FilesChanged` if that takes too
        long.
        """
        before = ""
        for _ in range(_TRIES):
            try:
                return look()
            except (FilesChanged, Corruption) as error:
                if isinstance(error, Corruption) and str(error) == before:
                    raise
                before = str(error)
            self.refresh()
        raise self._changed(f"what it holds does not fit together ({before})")

    # ── kvraft.disk.Disk ────────────────────────────────────────────────────────────────────────

    def names(self) -> list[str]:
        """Return the names of all files, sorted, but for the lock and unfinished files."""
        return sorted(self._sizes)

    def size(self, name: str) -> int:
        """Return the size that a file had in bytes; ``FileNotFoundError`` if there was none."""
        try:
            return self._sizes[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer where the file ended."""
        left = max(self.size(name) - offset, 0)
        length = left if length is None else min(length, left)
        descriptor = self._open.get(name)
        if descriptor is not None:
            return pread(descriptor, length, offset)
        try:
            descriptor = open_to_read(self.path / name)
        except FileNotFoundError:
            raise self._changed(f"{name} is gone") from None
        try:
            return pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def drop_cached(self, name: str) -> None:
        """Do nothing: nothing was written."""

    def free_bytes(self) -> int | None:
        """Return 0: nothing can be written."""
        return 0

    def identity(self, name: str) -> str:
        """Return the number of the file on its file system."""
        descriptor = self._open.get(name)
        number = (os.fstat(descriptor) if descriptor else (self.path / name).stat()).st_ino
        return str(number) if number else ""

    def close(self) -> None:
        """Let go of every file."""
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def create(self, *names: object, **_: object) -> NoReturn:
        """Refuse, as every other write does: ``OSError`` with ``EROFS``."""
        raise OSError(errno.EROFS, "it was opened for reading only", str((*names, self.path)[0]))

    append = truncate = sync = rename = remove = link = sync_dir = create

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _list(self) -> list[str]:
        """Return the names of all finished files, in the order in which to measure them."""
        with os.scandir(self.path) as found:
            names = [entry.name for entry in found if entry.is_file() and entry.name != LOCK]
        names = [name for name in names if not name.endswith(TEMPORARY_SUFFIX)]
        return sorted(names, key=lambda name: (_rank(name), name), reverse=True)

    def _measure(self, names: list[str]) -> bool:
        """Open ``names``, as many as may be held, and note sizes; ``False`` if one is gone."""
        for name in names:
            try:
                if len(self._open) < FILES_HELD_OPEN:
                    self._open[name] = open_to_read(self.path / name)
                    self._sizes[name] = os.fstat(self._open[name]).st_size
                else:
                    self._sizes[name] = (self.path / name).stat().st_size
            except FileNotFoundError:
                return False
        return True

    def _let_go(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
        self._sizes.clear()

    def _keep_writers_out(self) -> None:
        try:
            self._lock = open_to_read(self.path / LOCK)
            lock(self._lock)
        except FileNotFoundError:
            return  # no process ever opened it to write
        except OSError:
            self.close()
            raise Locked(f"{self.path} is in use by another process") from None

    def _changed(self, what: str) -> FilesChanged:
        return FilesChanged(f"{self.path} changed while it was read ({what}): open it again")


def open_on_disk(
    where: Disk | str | os.PathLike[str], begin: Callable[[Disk], _T], *, read_only: bool
) -> _T:
    """Return what ``begin`` makes of the disk or directory ``where``.

    The disk that is made for a directory is closed again if it raises.
    """
    if not isinstance(where, str | os.PathLike):
        if not callable(getattr(where, "names", None)):
            raise WrongType(
                f"a place for files must be a directory or a disk, not {describe_value(where)}"
            )
        return begin(where)
    disk = ReadOnlyDisk(where) if read_only else RealDisk(where)
    try:
        if isinstance(disk, RealDisk):
            return begin(disk)
        if not any(map(_rank, disk.names())):
            raise BadInput(f"{where} holds neither tables nor a log: there is nothing to read")
        return disk.settled(lambda: begin(disk))
    except BaseException:
        disk.close()
        raise


def _rank(name: str) -> int:
    """Return when a file is measured: first (3) what says how far others reach; 0 if any time."""
    if name == CURRENT or is_manifest(name):
        return 3
    return 2 if is_segment(name) else int(table_number(name) is not None)
