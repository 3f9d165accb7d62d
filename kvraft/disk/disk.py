"""The only door to the file system: named files in one flat directory.

Log, tables and manifest reach their files through the :class:`Disk` protocol and nothing else, so
a simulated disk that loses unsynced bytes, tears writes or fails (``kvraft.sim.disk``) can stand in
for the real one (``disk/real.py``).

What a caller may rely on, and no more:

- ``append`` is durable after ``sync`` of that file; a crash before it keeps any prefix of the
  bytes, or none.
- ``create``, ``rename``, ``remove`` and ``link`` are durable after ``sync_dir``; before it a crash
  may undo any of them.
- ``rename`` is atomic: readers see the old file or the new one.
- After an ``OSError`` from ``append``, ``sync`` or ``sync_dir`` nothing is known about the bytes
  that were on their way.  A sync is never retried (Rebello et al., *Can Applications Recover from
  fsync Failures?*, ATC 2020): the owner stops and recovers from what is on disk.
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
    """Files that can be read by name: all that a table needs of a :class:`Disk`."""

    def size(self, name: str) -> int:
        """Return the size of a file in bytes; ``FileNotFoundError`` if there is none."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on (to the end if ``None``); fewer at the end."""


class Disk(ReadableFiles, Protocol):
    """Named files in one flat directory.  Every method may raise ``OSError``."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""

    def create(self, name: str) -> None:
        """Make an empty file; ``FileExistsError`` if the name is taken."""

    def append(self, name: str, data: bytes) -> None:
        """Write all of ``data`` at the end of an existing file."""

    def truncate(self, name: str, size: int) -> None:
        """Cut a file down to its first ``size`` bytes."""

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had that name, atomically."""

    def remove(self, name: str) -> None:
        """Remove a file; ``FileNotFoundError`` if there is none."""

    def link(self, name: str, target: Disk) -> None:
        """Give the file the same name on ``target`` too, without copying it where that is possible.

        A hard link if both are directories of one file system, else a copy, which is synced.  The
        file should not be written any more.  ``FileExistsError`` if the name is taken there; the
        caller syncs the directory of ``target``.
        """

    def sync_dir(self) -> None:
        """Make creations, renames, removals and links durable."""

    def drop_cached(self, name: str) -> None:
        """Let what is read next of a synced file come from the device, where that can be had.

        A system that keeps in memory what was written would otherwise read that back, whatever
        became of it on the device.
        """

    def free_bytes(self) -> int | None:
        """Return how many bytes can still be written, ``None`` if there is no telling."""

    def identity(self, name: str) -> str:
        """Return what tells a file from all copies of it, ``""`` if nothing does.

        It stays when the file is renamed or written to.
        """

    def close(self) -> None:
        """Let go of everything held open.  Says nothing about durability."""


def replace_file(disk: Disk, name: str, data: bytes) -> None:
    """Make ``name`` hold ``data``, durably and atomically: the old bytes or the new, no mixture.

    It counts only once it was read back: see :func:`verify_written`.  Raises
    :class:`~kvraft.errors.DiskFull` if there is no space for it; then nothing has changed.
    """
    temporary = name + TEMPORARY_SUFFIX
    if temporary in disk.names():  # left behind by a crash in the middle of this function
        disk.remove(temporary)
    create_file(disk, temporary, data)
    disk.sync(temporary)
    verify_written(disk, temporary, 0, data)
    disk.rename(temporary, name)
    disk.sync_dir()


def create_file(disk: Disk, name: str, data: bytes) -> None:
    """Make a file that begins with ``data``, not yet synced.

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
    """Return whether a call failed because there was no space or no quota left."""
    return isinstance(error, OSError) and error.errno in _FULL


def verify_written(disk: Disk, name: str, offset: int, data: bytes) -> None:
    """Read back what was written and synced, ``data`` from ``offset`` to the end of the file.

    Raises ``OSError`` with ``EIO`` if that is not what is there: a disk that swallows a write says
    that all is well.
    """
    disk.drop_cached(name)
    if disk.read(name, offset) != data:
        raise write_mismatch(name)


def write_mismatch(name: str, why: str = "") -> OSError:
    """Return the error for a file that is not what was just written to it."""
    what = "what is read back is not what was just written" + (f" ({why})" if why else "")
    return OSError(errno.EIO, what, name)


def copy_file(disk: Disk, name: str, target: Disk) -> None:
    """Make a synced copy of a file on another disk; the caller syncs the directory of ``target``.

    ``FileExistsError`` if the name is taken there, ``OSError`` if the copy is not one.
    """
    target.create(name)
    for offset in range(0, disk.size(name), _COPY_BYTES):
        target.append(name, disk.read(name, offset, _COPY_BYTES))
    target.sync(name)
    target.drop_cached(name)
    for offset in range(0, disk.size(name) + 1, _COPY_BYTES):
        if target.read(name, offset, _COPY_BYTES) != disk.read(name, offset, _COPY_BYTES):
            raise write_mismatch(name)
