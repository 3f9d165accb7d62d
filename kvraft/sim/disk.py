"""A disk in memory that loses, at a crash, whatever nobody asked it to keep.

It remembers what is durable and what is not, file by file and for the directory::

    file        ┌──────────── synced ────────────┬──── appended since ────┐
                │ survives every crash           │ a prefix of it may     │
                └────────────────────────────────┴────────────────────────┘
    directory   entries at the last sync_dir,  then create, rename, remove, … in order

What a crash (power loss) may leave, chosen by the random generator handed to :meth:`SimDisk.crash`:

- Of each file's unsynced bytes any prefix: none, some or all.  A stretch inside what survives may
  hold zeros or garbage, for a disk writes its sectors in any order.  Synced bytes are safe.
- An unsynced truncation happened or did not; if not, nothing appended after it survives.
- Of the directory's unsynced changes a prefix, in the order they were made, as on a journalling
  file system.  A file whose creation is undone is gone with all its bytes, synced or not.

What survives is durable from then on.  The same object is opened by the next incarnation.

Sources: Pillai et al., *All File Systems Are Not Created Equal* (ALICE), OSDI 2014; LevelDB
fault_injection_test.
"""

from __future__ import annotations

import copy
import errno
import os
from random import Random


class PowerCut(Exception):
    """The machine lost power in the middle of a call.

    Not an ``OSError``, so that no error handling of the code under test can survive it.
    """


class _File:
    """The bytes of one file: ``data[:stable] + cut`` is what the last sync made durable."""

    __slots__ = ("cut", "data", "stable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.stable = 0
        self.cut = b""  # durable bytes that an unsynced truncation took away

    def truncate(self, size: int) -> None:
        if size < self.stable:
            self.cut = bytes(self.data[size : self.stable]) + self.cut
            self.stable = size
        del self.data[size:]

    def sync(self) -> None:
        self.stable = len(self.data)
        self.cut = b""

    def crash(self, random: Random) -> None:
        """Become what a power loss leaves, and make that durable."""
        unsynced = len(self.data) - self.stable
        if self.cut and random.random() < 0.5:
            self.data[self.stable :] = self.cut
        elif unsynced:
            kept = random.choice((0, random.randint(0, unsynced), unsynced))
            del self.data[self.stable + kept :]
            if kept and random.random() < 0.3:
                self._garble(random)
        self.sync()

    def _garble(self, random: Random) -> None:
        start = random.randrange(self.stable, len(self.data))
        length = random.randint(1, len(self.data) - start)
        stretch = bytes(length) if random.random() < 0.5 else random.randbytes(length)
        self.data[start : start + length] = stretch


_Change = tuple[tuple[str, _File | None], ...]
"""One change of the directory, all or nothing: what each name stands for after it."""


class SimDisk:
    """A :class:`kvraft.disk.Disk` in memory that can lose power, during any call or between two.

    ``operations`` counts the calls that change something: create, append, truncate, sync, rename,
    remove and sync_dir.
    """

    def __init__(self) -> None:
        self.operations = 0
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}  # the directory at the last sync_dir
        self._changes: list[_Change] = []  # of the directory since then
        self._until_cut: int | None = None  # operations until the power goes; below 1: it is gone
        self._random: Random | None = None

    # ── kvraft.disk.Disk ────────────────────────────────────────────────────────────────────────

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(self._files)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return len(self._file(name).data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer where the file ends before."""
        end = None if length is None else offset + length
        return bytes(memoryview(self._file(name).data)[offset:end])

    def create(self, name: str) -> None:
        """Make an empty file."""
        if name in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._operation()
        self._change((name, _File()))

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` at the end of a file."""
        file = self._file(name)
        try:
            self._operation()
        except PowerCut:
            if self._until_cut == 0 and self._random is not None:
                file.data += data[: self._random.randint(0, len(data))]
            raise
        file.data += data

    def truncate(self, name: str, size: int) -> None:
        """Cut a file down to its first ``size`` bytes."""
        file = self._file(name)
        self._operation()
        file.truncate(size)

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable."""
        file = self._file(name)
        self._operation()
        file.sync()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had that name."""
        file = self._file(old)
        self._operation()
        self._change((old, None), (new, file))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._file(name)
        self._operation()
        self._change((name, None))

    def sync_dir(self) -> None:
        """Make creations, renames and removals durable."""
        self._operation()
        self._durable = dict(self._files)
        self._changes.clear()

    def close(self) -> None:
        """Do nothing: there is no lock, and no descriptor to let go of."""

    # ── what no real disk offers ────────────────────────────────────────────────────────────────

    def crash(self, random: Random) -> int:
        """Lose power and come back with what ``random`` lets survive; return how many bytes went.

        Counted are the bytes that were there and are not: dropped ends of files, and the whole of
        files whose creation was undone.  A :meth:`fail_at` is over: the power is back.
        """
        there = [(file, len(file.data)) for file in self._files.values()]
        self._files = self._durable
        for change in self._changes[: random.randint(0, len(self._changes))]:
            _apply(self._files, change)
        for _, file in sorted(self._files.items()):
            file.crash(random)
        self._durable = dict(self._files)
        self._changes = []
        self._until_cut = self._random = None
        left = {id(file): len(file.data) for file in self._files.values()}
        return sum(max(0, size - left.get(id(file), 0)) for file, size in there)

    def fail_at(self, n: int, random: Random | None = None) -> None:
        """Cut the power during the ``n``-th operation from now on: 1 is the next one.

        It raises :class:`PowerCut` and has no effect, but for an append when ``random`` is given:
        a random prefix of its bytes is written first.  Every operation after it raises too, until
        :meth:`crash` or :meth:`restore`.
        """
        if n < 1:
            raise ValueError(f"there is no operation {n} from now on: the next one is 1")
        self._until_cut, self._random = n, random

    def restore(self) -> None:
        """Give the power back with nothing lost, as when only the process died."""
        self._until_cut = self._random = None

    def corrupt(self, name: str, offset: int, mask: int = 0xFF) -> None:
        """Flip the bits of ``mask`` in one byte of a file, for good."""
        self._file(name).data[offset] ^= mask

    def copy(self) -> SimDisk:
        """Return a second disk in the same state, what is durable and what is not included."""
        return copy.deepcopy(self)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _file(self, name: str) -> _File:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def _operation(self) -> None:
        if self._until_cut is not None:
            self._until_cut -= 1
            if self._until_cut <= 0:
                raise PowerCut(f"the power went during operation {self.operations + 1}")
        self.operations += 1

    def _change(self, *change: tuple[str, _File | None]) -> None:
        self._changes.append(change)
        _apply(self._files, change)


def _apply(directory: dict[str, _File], change: _Change) -> None:
    for name, file in change:
        if file is None:
            del directory[name]
        else:
            directory[name] = file
