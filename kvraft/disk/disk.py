"""The disk as the rest of kvraft sees it: named files in one flat directory.

What a caller may rely on, and no more:

- ``append`` is durable after ``sync`` of that file; a crash before it keeps any prefix of the
  bytes.
- ``create``, ``rename``, ``remove`` and ``link`` are durable after ``sync_dir``; before it a crash
  may undo any of them.
- ``rename`` is atomic: readers see the old file or the new one.
- After an ``OSError`` from ``append``, ``sync`` or ``sync_dir`` nothing is known about the bytes
  in flight.  A sync is never retried (Rebello et al., *Can Applications Recover from fsync
  Failures?*, ATC 2020): the owner stops and recovers from what is on disk.
- A full disk is the exception.  Where ``create`` or ``append`` finds no space
  (:func:`is_disk_full`), ``truncate`` or ``remove`` takes back what was written, and the file is
  as it was.  A ``sync`` that finds no space, on a system that allocates late, is a failed sync like
  any other.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Protocol

from kvraft.errors import DiskFull

TEMPORARY_SUFFIX = ".tmp"
_COPY_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class ReadableFiles(Protocol):
    """Files that can be read by name: the part of a :class:`Disk` that a table needs."""

    def size(self, name: str) -> int:
        """Return the size of a file in bytes; raise ``FileNotFoundError`` if it does not exist."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end; ``None``: to the end."""


class Disk(ReadableFiles, Protocol):
    """Named files in one flat directory.  Every method may raise ``OSError``."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""

    def create(self, name: str) -> None:
        """Create an empty file; raise ``FileExistsError`` if the name is taken."""

    def append(self, name: str, data: bytes) -> None:
        """Append all of ``data`` to an existing file."""

    def truncate(self, name: str, size: int) -> None:
        """Truncate a file to its first ``size`` bytes."""

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file atomically, replacing any file called ``new``."""

    def remove(self, name: str) -> None:
        """Remove a file; raise ``FileNotFoundError`` if it does not exist."""

    def link(self, name: str, target: Disk) -> None:
        """Put the file on ``target`` too, under the same name, without copying it if possible.

        This is a hard link if both are directories of one file system, and otherwise a synced copy.
        The file must not be written to any longer.  Raises ``FileExistsError`` if the name is taken
        on ``target``.  The caller syncs the directory of ``target``.
        """

    def sync_dir(self) -> None:
        """Make all creations, renames, removals and links durable."""

    def drop_cached(self, name: str) -> None:
        """Drop a synced file from the system's cache, where the system can do that.

        The next read then comes from the device.  Otherwise it would return the bytes that were
        written, whatever became of them on the device.
        """

    def free_bytes(self) -> int | None:
        """Return how many bytes can still be written, ``None`` if that is unknown."""

    def identity(self, name: str) -> str:
        """Return what distinguishes a file from its copies, ``""`` if nothing does.

        Renaming the file or writing to it does not change it.
        """

    def close(self) -> None:
        """Close all open files.  This makes nothing durable."""


def replace_file(disk: Disk, name: str, data: bytes) -> None:
    """Replace the contents of ``name`` by ``data``, durably and atomically.

    The new file is read back before it replaces the old one (:func:`verify_written`).  Raises
    :class:`~kvraft.errors.DiskFull` if there is no space for it; then nothing has changed.
    """
    temporary = name + TEMPORARY_SUFFIX
    if temporary in disk.names():  # a crash in the middle of this function left it behind
        disk.remove(temporary)
    create_file(disk, temporary, data)
    disk.sync(temporary)
    verify_written(disk, temporary, 0, data)
    disk.rename(temporary, name)
    disk.sync_dir()


def create_file(disk: Disk, name: str, data: bytes) -> None:
    """Create a file that holds ``data``, without syncing it.

    Raises :class:`~kvraft.errors.DiskFull` if there is no space for it; then there is no file.
    """
    try:
        disk.create(name)
        disk.append(name, data)
    except OSError as error:
        if not is_disk_full(error):
            raise
        with suppress(FileNotFoundError):
            disk.remove(name)
        raise DiskFull(f"there is no space for {name}, of {len(data)} bytes") from error


def is_disk_full(error: BaseException) -> bool:
    """Return whether ``error`` says that no space or no quota was left."""
    return isinstance(error, OSError) and error.errno in _FULL


def verify_written(disk: Disk, name: str, offset: int, data: bytes) -> None:
    """Check that a synced file holds ``data`` from ``offset`` to its end, by reading it back.

    Raises ``OSError`` with ``EIO`` if it does not: a disk that loses a write reports success.
    """
    disk.drop_cached(name)
    if disk.read(name, offset) != data:
        raise write_mismatch(name)


def write_mismatch(name: str, why: str = "") -> OSError:
    """Return the error to raise for a file that does not hold what was just written to it."""
    what = "what is read back is not what was just written" + (f" ({why})" if why else "")
    return OSError(errno.EIO, what, name)


def copy_file(disk: Disk, name: str, target: Disk) -> None:
    """Copy a file to another disk and sync it; the caller syncs the directory of ``target``.

    Raises ``FileExistsError`` if the name is taken there, and ``OSError`` if the copy differs.
    """
    target.create(name)
    for offset in range(0, disk.size(name), _COPY_BYTES):
        target.append(name, disk.read(name, offset, _COPY_BYTES))
    target.sync(name)
    target.drop_cached(name)
    for offset in range(0, disk.size(name) + 1, _COPY_BYTES):
        if target.read(name, offset, _COPY_BYTES) != disk.read(name, offset, _COPY_BYTES):
            raise write_mismatch(name)
