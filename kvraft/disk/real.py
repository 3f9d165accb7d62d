"""A disk that is a directory of the operating system.

A directory belongs to one process; a lock file keeps others out.  A child process that was forked
inherits everything that its parent has open.  In the child each disk, and what was opened on it
(:func:`refuse_after_fork`), therefore refuses all further use and closes its files without writing
to them; the lock stays with the parent.  This happens once, at the fork, so calls pay nothing for
it.  It covers Python's own ways to fork (``os.fork``, ``multiprocessing``).
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import NoReturn, Protocol
from weakref import WeakSet

from kvraft.disk.disk import Disk, copy_file
from kvraft.errors import BadInput, Locked, WrongType

LOCK = "LOCK"
OPEN_FILES = 128
"""How many files a :class:`RealDisk` keeps open: some systems allow a process only 256."""


class ProcessOwned(Protocol):
    """Something that only the process which opened it may use."""

    def disable(self, why: str) -> None:
        """Refuse all further use, for the reason ``why``: called in the child of a fork."""


_owned: WeakSet[ProcessOwned] = WeakSet()


def refuse_after_fork(thing: ProcessOwned, disk: Disk) -> None:
    """Disable ``thing``, which was opened on ``disk``, in every forked child of this process.

    A fork copies a disk in memory, so nothing is shared and ``thing`` stays usable in the child.
    """
    if isinstance(disk, RealDisk):
        _owned.add(thing)


def _disown_all() -> None:
    why = (
        f"this was opened by process {os.getppid()}, of which process {os.getpid()} is a fork: "
        "open it in the process that uses it, after the fork and in one at a time"
    )
    for thing in list(_owned):
        thing.disable(why)
    _owned.clear()


if hasattr(os, "register_at_fork"):  # a system without it cannot fork
    os.register_at_fork(after_in_child=_disown_all)


class RealDisk:
    """A directory of the operating system, created if missing, locked against other processes.

    Several threads may use it, but only in the process that opened it.

    A directory may hold more files than a process can open, so only the ``OPEN_FILES`` used last
    stay open.  A file with unsynced bytes is never closed to make room: the system reports a failed
    write to those who have the file open at the time, and perhaps not to those who open it later.

    Raises :class:`~kvraft.errors.Locked` if another process has it open, and
    :class:`~kvraft.errors.BadInput` if ``path`` is not a directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadInput(f"{self.path} is not a directory") from None
        self._mutex = RLock()  # so that no thread closes the file that another one reads
        self._forked = ""  # why this process may not use it, if it is the child of one that may
        self._open: OrderedDict[str, int] = OrderedDict()  # the last one was used last
        self._unsynced: dict[str, int] = {}  # descriptors of the files with unsynced bytes
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock_file(self._lock)
        except OSError:
            os.close(self._lock)
            raise Locked(f"{self.path} is in use by another process") from None
        refuse_after_fork(self, self)

    def __deepcopy__(self, memo: dict[int, object]) -> NoReturn:
        """Raise ``BadInput``: two of them cannot have one directory."""
        raise BadInput(f"{self.path} is on a real disk: make a checkpoint instead of a copy")

    def names(self) -> list[str]:
        """Return the names of all files, sorted; the lock file is not one of them."""
        self._check_owned()
        with os.scandir(self.path) as found:
            return sorted(f.name for f in found if f.is_file() and f.name != LOCK)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        self._check_owned()
        return (self.path / name).stat().st_size

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end of the file."""
        if length is None:
            length = max(self.size(name) - offset, 0)
        with self._mutex:
            return read_at(self._descriptor(name), length, offset)

    def create(self, name: str) -> None:
        """Create an empty file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY
        with self._mutex:
            self._open_and_keep(name, lambda: os.open(self.path / name, flags, 0o644))

    def append(self, name: str, data: bytes) -> None:
        """Append all of ``data``, continuing after a short write of the system.

        This is the path of every put.  A file with unsynced bytes stays open, whatever other
        threads read meanwhile: only whoever appends to it syncs, renames or removes it.
        """
        descriptor = self._unsynced.get(name)
        if descriptor is None:
            with self._mutex:
                descriptor = self._unsynced[name] = self._descriptor(name)
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])

    def truncate(self, name: str, size: int) -> None:
        """Truncate a file to its first ``size`` bytes."""
        with self._mutex:
            os.truncate(self._descriptor(name), size)

    def sync(self, name: str) -> None:
        """Make the bytes of a file, and the size needed to read them, durable."""
        with self._mutex:
            _datasync(self._descriptor(name))
            self._unsynced.pop(name, None)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, atomically."""
        with self._mutex:
            self._check_owned()
            self._close(old)
            self._close(new)
            os.replace(self.path / old, self.path / new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._mutex:
            self._check_owned()
            self._close(name)
            os.remove(self.path / name)

    def link(self, name: str, target: Disk) -> None:
        """Make a hard link on ``target``, or a synced copy if the system cannot link."""
        self._check_owned()
        if isinstance(target, RealDisk):
            target._check_owned()
            try:
                os.link(self.path / name, target.path / name)
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError as error:  # another file system, or one without links
                if error.errno in (errno.EIO, errno.ENOSPC, errno.EROFS):
                    raise
            else:
                return
        copy_file(self, name, target)

    def sync_dir(self) -> None:
        """Make the directory itself durable.  Windows has no such call and needs none."""
        if sys.platform == "win32":
            return
        with self._mutex:
            self._check_owned()
            descriptor = self._open_with_room(lambda: os.open(self.path, os.O_RDONLY))
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def drop_cached(self, name: str) -> None:
        """Ask the system to drop its cached pages of a file, if it has a call for that."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor(name), 0, 0, os.POSIX_FADV_DONTNEED)

    def identity(self, name: str) -> str:
        """Return the file's number on its file system, which a copy does not share."""
        self._check_owned()
        number = (self.path / name).stat().st_ino
        return str(number) if number else ""

    def free_bytes(self) -> int | None:
        """Return how many bytes the file system has free."""
        self._check_owned()
        return shutil.disk_usage(self.path).free

    def close(self) -> None:
        """Close every file and release the lock."""
        with self._mutex:
            for name in list(self._open):
                self._close(name)
            if self._lock >= 0:
                os.close(self._lock)  # unlocks it, unless a forked child has it open too
                self._lock = -1

    def disable(self, why: str) -> None:
        """Refuse all further use, and close this process's descriptors.

        Unlocking the lock file here would unlock it for the parent, and keeping it open would keep
        it locked after the parent has closed it.
        """
        self._mutex = RLock()  # a thread of the parent may hold the old one
        self._forked = why
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: descriptors are valid in this process only."""
        what = f"a disk cannot be copied or sent to another process: open {self.path} there instead"
        raise WrongType(what)

    def _check_owned(self) -> None:
        if self._forked:
            raise Locked(f"{self.path}: {self._forked}")

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is None:
            flags = os.O_RDWR | os.O_APPEND | _BINARY
            return self._open_and_keep(name, lambda: os.open(self.path / name, flags))
        self._open.move_to_end(name)
        return descriptor

    def _open_and_keep(self, name: str, open_file: Callable[[], int]) -> int:
        """Open a file and keep it open; close the one unused for longest if there are too many."""
        self._check_owned()
        if len(self._open) >= OPEN_FILES:
            self._close_least_used()
        descriptor = self._open[name] = self._open_with_room(open_file)
        return descriptor

    def _open_with_room(self, open_file: Callable[[], int]) -> int:
        """Open a file; close others if the system allows no more open files."""
        while True:
            try:
                return open_file()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._close_least_used():
                    raise

    def _close_least_used(self) -> bool:
        """Close the synced file that was unused for longest; return whether there was one."""
        for name in self._open:
            if name not in self._unsynced:
                self._close(name)
                return True
        return False

    def _close(self, name: str) -> None:
        self._unsynced.pop(name, None)
        if name in self._open:
            os.close(self._open.pop(name))


_BINARY = getattr(os, "O_BINARY", 0)


def open_to_read(path: str | os.PathLike[str]) -> int:
    """Return the descriptor of a file, opened for reading only."""
    return os.open(path, os.O_RDONLY | _BINARY)


if sys.platform == "win32":
    import msvcrt

    _datasync = os.fsync

    def lock_file(descriptor: int) -> None:
        """Lock this file against every other process; raise ``OSError`` if one has locked it."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Return ``length`` bytes of an open file from ``offset`` on, fewer at its end."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        parts: list[bytes] = []
        while length > 0 and (part := os.read(descriptor, length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

else:
    import fcntl

    if sys.platform == "darwin":

        def _datasync(descriptor: int) -> None:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves bytes in the drive's cache
    else:
        _datasync = os.fdatasync

    def lock_file(descriptor: int) -> None:
        """Lock this file against every other process; raise ``OSError`` if one has locked it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Return ``length`` bytes of an open file from ``offset`` on, fewer at its end."""
        data = os.pread(descriptor, length, offset)
        while len(data) < length and (
            part := os.pread(descriptor, length - len(data), offset + len(data))
        ):
            data += part
        return data
