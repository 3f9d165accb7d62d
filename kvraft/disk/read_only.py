"""A directory opened for reading only, while another process may write to it.

Reading needs no lock and no permission to write, and it changes nothing.  So that a writer does not
disturb it, a :class:`ReadOnlyDisk` shows the directory as it was at one moment: its files, and how
long each of them was::

    list names ─► open CURRENT and MANIFEST ─► open segments and tables, newest first ─► list again
        ▲                                                                                    │
        └──────────────────────────── again, if the names are not the same ──────────────────┘

Why that is one consistent state of a tree and its log (a writer never uses a name twice):

- While the names stay the same, no file is removed and no table, manifest or segment is begun.  The
  writer only appends, so a file up to a size that it once had is a prefix of what was written.
- The manifest is measured before the log, and the log is synced through the flushed mark before an
  edit records that mark.  So the log that is read reaches at least as far as the tables.
- A segment is sealed after the next one exists, so the newest segment is measured first.

An open file can be read after it was removed.  At most :data:`FILES_HELD_OPEN` files are kept open;
reading any other file that has been removed raises :class:`~kvraft.errors.FilesChanged`.  Windows
does not remove open files, so there a directory is either read or written, not both.
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
from kvraft.disk.real import LOCK, OPEN_FILES, RealDisk, lock_file, open_to_read, read_at
from kvraft.errors import BadInput, Corruption, FilesChanged, Locked, WrongType
from kvraft.inputs import describe_value

FILES_HELD_OPEN = OPEN_FILES
"""How many files are kept open, so that the writer can remove them while they are read."""

_TRIES = 100  # then a writer that adds and removes files all the time has won

_T = TypeVar("_T")


class ReadOnlyDisk:
    """A :class:`~kvraft.disk.Disk` on an existing directory that refuses every write.

    What it shows changes only with :meth:`refresh`.  It is for one thread at a time.

    Raises :class:`~kvraft.errors.BadInput` if ``path`` is not a directory,
    :class:`~kvraft.errors.FilesChanged` if files come and go faster than they can be listed, and on
    Windows :class:`~kvraft.errors.Locked` while another process has it open.
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
        """Show the directory as it is now."""
        for _ in range(_TRIES):
            self._close_files()
            names = self._list()
            if self._measure_all(names) and self._list() == names:
                return
        raise self._changed("its files come and go faster than they can be listed")

    def settled(self, look: Callable[[], _T]) -> _T:
        """Return the result of ``look``, which reads this disk; retry it if a writer interferes.

        Damage that it reports counts only if a :meth:`refresh` does not cure it.  Raises what
        ``look`` raises, and :class:`~kvraft.errors.FilesChanged` after too many retries.
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
        """Return the names of all files, sorted, without the lock and unfinished files."""
        return sorted(self._sizes)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes; raise ``FileNotFoundError`` if it did not exist."""
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
            return read_at(descriptor, length, offset)
        try:
            descriptor = open_to_read(self.path / name)
        except FileNotFoundError:
            raise self._changed(f"{name} is gone") from None
        try:
            return read_at(descriptor, length, offset)
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
        """Close all files."""
        self._close_files()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def create(self, *names: object, **_: object) -> NoReturn:
        """Raise ``OSError`` with ``EROFS``, as every other write does."""
        raise OSError(errno.EROFS, "it was opened for reading only", str((*names, self.path)[0]))

    append = truncate = sync = rename = remove = link = sync_dir = create

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _list(self) -> list[str]:
        """Return the names of all finished files, in the order in which to measure them."""
        with os.scandir(self.path) as found:
            names = [entry.name for entry in found if entry.is_file() and entry.name != LOCK]
        names = [name for name in names if not name.endswith(TEMPORARY_SUFFIX)]
        return sorted(names, key=lambda name: (_rank(name), name), reverse=True)

    def _measure_all(self, names: list[str]) -> bool:
        """Note the sizes of ``names``, and open as many as allowed; ``False`` if one is gone."""
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

    def _close_files(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
        self._sizes.clear()

    def _keep_writers_out(self) -> None:
        try:
            self._lock = open_to_read(self.path / LOCK)
            lock_file(self._lock)
        except FileNotFoundError:
            return  # no process has ever opened it for writing
        except OSError:
            self.close()
            raise Locked(f"{self.path} is in use by another process") from None

    def _changed(self, what: str) -> FilesChanged:
        return FilesChanged(f"{self.path} changed while it was read ({what}): open it again")


def open_on_disk(
    where: Disk | str | os.PathLike[str], open_there: Callable[[Disk], _T], *, read_only: bool
) -> _T:
    """Return what ``open_there`` returns for ``where``, a disk or a directory.

    A directory gets a disk of its own, which is closed again if ``open_there`` raises.
    """
    if not isinstance(where, str | os.PathLike):
        if not callable(getattr(where, "names", None)):
            raise WrongType(
                f"a place for files must be a directory or a disk, not {describe_value(where)}"
            )
        return open_there(where)
    disk = ReadOnlyDisk(where) if read_only else RealDisk(where)
    try:
        if isinstance(disk, RealDisk):
            return open_there(disk)
        if not any(map(_rank, disk.names())):
            raise BadInput(f"{where} holds neither tables nor a log: there is nothing to read")
        return disk.settled(lambda: open_there(disk))
    except BaseException:
        disk.close()
        raise


def _rank(name: str) -> int:
    """Return when to measure a file: 3 first, for what says how far others reach; 0 last."""
    if name == CURRENT or is_manifest(name):
        return 3
    return 2 if is_segment(name) else int(table_number(name) is not None)
