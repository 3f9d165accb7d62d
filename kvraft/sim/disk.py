"""A disk in memory that loses at a crash what was not synced, and that fails on request.

It remembers what is durable and what is not, file by file and for the directory::

    file        ┌──────────── synced ────────────┬──── appended since ────┐
                │ survives every crash           │ a prefix of it may     │
                └────────────────────────────────┴────────────────────────┘
    directory   entries at the last sync_dir,  then create, rename, remove, … in order

What a crash (power loss) may leave, chosen by the random generator handed to :meth:`SimDisk.crash`:

- Of each file's unsynced bytes any prefix: none, some or all.  A part of what survives may be zeros
  or garbage, since a disk writes its sectors in any order.  Synced bytes are safe.
- An unsynced truncation happened or did not; if not, nothing appended after it survives.
- Of the directory's unsynced changes a prefix, in the order they were made, as on a journalling
  file system; any of them, as on one that promises nothing, with ``reorder``.  A file whose
  creation is undone is lost with all its bytes, synced or not.

What survives is durable from then on.  The next incarnation opens the same object.

How it fails on request:

- The power is cut during a call (:meth:`SimDisk.fail_at`).
- A call raises an error (:meth:`SimDisk.break_at`).  The bytes that a failed sync was to make
  durable are in doubt until the next crash: they can be read, later syncs succeed without them, and
  the crash may replace them by zeros or garbage, whatever was synced after them.  That is what
  Linux does (Rebello et al., *Can Applications Recover from fsync Failures?*, ATC 2020).
- It is full (:attr:`SimDisk.capacity`): an append writes what fits, and raises.
- It does something else than it says, or bytes change by themselves (``distrust.py``).

Sources: Pillai et al., *All File Systems Are Not Created Equal* (ALICE), OSDI 2014; LevelDB
fault_injection_test.
"""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from kvraft import inputs
from kvraft.disk import Disk, copy_file
from kvraft.errors import BadInput
from kvraft.sim.distrust import UntrustedFiles
from kvraft.sim.file import SimFile

WRITES = ("create", "append", "truncate", "sync", "rename", "remove", "link", "sync_dir")
"""The kinds of calls that change something; ``read`` is the only other one that can fail."""


class PowerCut(Exception):
    """The machine lost power during a call.

    It is not an ``OSError``, so that the code under test cannot handle it.
    """


_Change = tuple[tuple[str, SimFile | None], ...]
"""One change of the directory, all or nothing: the file of each name after it."""


@dataclass
class _Fault:
    """The call of ``kinds`` that is ``left`` from now fails, and all later ones if it ``stays``."""

    left: int
    error: int
    kinds: Sequence[str]
    random: Random | None
    stays: bool


class SimDisk(UntrustedFiles):
    """A :class:`kvraft.disk.Disk` in memory that can lose power, during any call or between two.

    ``operations`` counts the calls that change something, or failed to: create, append, truncate,
    sync, rename, remove, link and sync_dir.  ``capacity`` is the number of bytes that all its files
    may have together, ``None`` for no limit; it may be changed at any time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self._capacity: int | None = None
        self._created = 0
        self._durable: dict[str, SimFile] = {}  # the directory at the last sync_dir
        self._changes: list[_Change] = []  # of the directory since then
        self._until_cut: int | None = None  # operations until the power is cut; below 1: it is cut
        self._random: Random | None = None
        self._fault: _Fault | None = None

    # ── kvraft.disk.Disk ────────────────────────────────────────────────────────────────────────

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(self._files)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return len(self.file(name).data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end of the file."""
        file = self.file(name)
        if (fault := self._fault_of("read")) is not None:
            raise _error(fault.error, name)
        end = None if length is None else offset + length
        return bytes(memoryview(file.data)[offset:end])

    def create(self, name: str) -> None:
        """Make an empty file; the disk must have space for at least one byte."""
        self._check_free(name)
        if self.capacity is not None and self._used() >= self.capacity:
            raise _error(errno.ENOSPC, name)
        self._created += 1
        self._change("create", (name, SimFile(number=self._created)))

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` at the end of a file."""
        file = self.file(name)
        try:
            fault = self._begin("append")
        except PowerCut:
            if self._until_cut == 0 and self._random is not None:
                file.data += data[: self._random.randint(0, len(data))]
            raise
        if fault is not None:
            if fault.random is not None:
                file.data += data[: fault.random.randint(0, len(data))]
            raise _error(fault.error, name)
        if self.capacity is not None and (space := self.capacity - self._used()) < len(data):
            file.data += data[: max(space, 0)]
            raise _error(errno.ENOSPC, name)
        self.write(file, data)

    def truncate(self, name: str, size: int) -> None:
        """Keep the first ``size`` bytes of a file."""
        file = self.file(name)
        fault = self._begin("truncate")
        if _takes_effect(fault):
            file.truncate(size)
        if fault is not None:
            raise _error(fault.error, name)

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable."""
        file = self.file(name)
        if (fault := self._begin("sync")) is not None:
            file.fail_to_sync()
            raise _error(fault.error, name)
        if self.is_honest():
            file.sync()
        else:
            file.lied = True

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing the file of that name."""
        self._change("rename", (old, None), (new, self.file(old)))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.file(name)
        self._change("remove", (name, None))

    def link(self, name: str, target: Disk) -> None:
        """Link a file into ``target``, where it is the same file if ``target`` is simulated."""
        file = self.file(name)
        if isinstance(target, SimDisk):
            target._check_free(name)
            target._change("link", (name, file))
        else:
            copy_file(self, name, target)

    def sync_dir(self) -> None:
        """Make creations, renames and removals durable."""
        if (fault := self._begin("sync_dir")) is not None:
            raise _error(fault.error, "the directory")
        if self.is_honest():
            self.make_names_durable()
        else:
            self._lied = True

    def identity(self, name: str) -> str:
        """Return the number of the file; a copy has another."""
        return str(self.file(name).number)

    def drop_cached(self, name: str) -> None:
        """Do nothing, since there is no cache."""

    def free_bytes(self) -> int | None:
        """Return the unused bytes of ``capacity``, ``None`` without a limit."""
        return None if self._capacity is None else max(0, self._capacity - self._used())

    def close(self) -> None:
        """Do nothing, since there is no lock and no descriptor."""

    # ── faults and inspection ───────────────────────────────────────────────────────────────────

    @property
    def capacity(self) -> int | None:
        """How many bytes all files may have together, ``None`` for no limit."""
        return self._capacity

    @capacity.setter
    def capacity(self, size: int | None) -> None:
        self._capacity = (
            None if size is None else inputs.whole_number(size, "a capacity", minimum=0)
        )

    def backup(self) -> SimDisk:
        """Return another disk with copies of all files as they can be read now."""
        twin = SimDisk()
        twin._created = self._created
        for name, file in self._files.items():
            twin.create(name)
            twin.append(name, bytes(file.data))
            twin.sync(name)
        twin.sync_dir()
        return twin

    def wipe(self) -> None:
        """Lose all files."""
        self._files, self._durable = {}, {}
        self._changes.clear()

    def crash(self, random: Random, *, reorder: bool = False) -> int:
        """Lose power, and restart with what ``random`` chooses; return how many bytes are lost.

        These are lost ends of files, and the whole of files whose creation was undone.  It ends a
        :meth:`fail_at`.  With ``reorder``, any of the directory's unsynced changes survive, not
        only the first of them.
        """
        self.note_crash()
        there = [(file, len(file.data)) for file in self._files.values()]
        self._files = self._durable
        if reorder:
            survive = [change for change in self._changes if random.random() < 0.5]
        else:
            survive = self._changes[: random.randint(0, len(self._changes))]
        for change in survive:
            _apply(self._files, change)
        for _, file in sorted(self._files.items()):
            file.crash(random)
        self.make_names_durable()
        self._until_cut = self._random = None
        left = {id(file): len(file.data) for file in self._files.values()}
        return sum(max(0, size - left.get(id(file), 0)) for file, size in there)

    def fail_at(self, n: int, random: Random | None = None) -> None:
        """Cut the power during the ``n``-th operation from now on: 1 is the next one.

        It raises :class:`PowerCut` and has no effect, except that an append first writes a random
        prefix of its bytes if ``random`` is given.  Every later operation raises, too, until
        :meth:`crash` or :meth:`restore`.
        """
        if inputs.whole_number(n, "the number of an operation") < 1:
            raise BadInput(f"there is no operation {n} from now on: the next one is 1")
        self._until_cut, self._random = n, random

    def break_at(
        self,
        n: int,
        *,
        error: int = errno.EIO,
        kinds: Sequence[str] = WRITES,
        random: Random | None = None,
        stays: bool = False,
    ) -> None:
        """Make the ``n``-th call of ``kinds`` from now on fail: 1 is the next one.

        It raises ``OSError`` with the number ``error``; if the fault ``stays``, so does every later
        one until :meth:`repair`.  The call has no effect.  But if ``random`` is given, an append
        writes a random prefix, and any other call except a sync or a read has its whole effect or
        none.  A failed sync of a file leaves bytes in doubt (see the module); one of the directory
        leaves it unchanged.  A second ``break_at`` replaces the first; a crash does not end it.
        """
        if inputs.whole_number(n, "the number of a call") < 1:
            raise BadInput(f"there is no call {n} from now on: the next one is 1")
        inputs.whole_number(error, "the number of an error", minimum=1)
        kinds = inputs.names(kinds, "the kinds of calls that fail")
        if unknown := [kind for kind in kinds if kind not in (*WRITES, "read")]:
            raise BadInput(f"there are no calls {unknown} that could fail")
        self._fault = _Fault(n, error, tuple(kinds), random, stays)

    def repair(self) -> None:
        """End the faults of calls: those that fail, and those that lie (:meth:`confess`)."""
        self._fault = None
        self.confess()

    @property
    def works(self) -> bool:
        """Whether no call will fail or lie, the power stays on, and there is room without limit."""
        planned = self._fault is not None or self._until_cut is not None or self.will_lie
        return not planned and self._capacity is None

    @property
    def may_fail(self) -> bool:
        """Whether a call may fail by a fault of :meth:`break_at`, or read what is spoilt."""
        return self._fault is not None or self.spoilt

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Suspend :meth:`break_at` in a ``with`` block, in which no call fails or counts.

        It is for an outside observer such as a checker: faults are for the member's own calls, and
        bytes that were spoilt for its eyes.
        """
        fault, self._fault = self._fault, None
        spoilt = [file for file in self._files.values() if file.right] if self.spoilt else []
        held = [(file, file.data) for file in spoilt]
        for file in spoilt:
            file.data = bytearray(file.as_written())
        try:
            yield
        finally:
            self._fault = fault
            for file, data in held:
                file.data = data

    def restore(self) -> None:
        """Restore the power with nothing lost, as if only the process had died."""
        self._until_cut = self._random = None

    def copy(self) -> SimDisk:
        """Return a second disk in the same state, including what is durable and what is not."""
        return copy.deepcopy(self)

    def file(self, name: str) -> SimFile:
        """Return a file; raise ``FileNotFoundError`` if it does not exist."""
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def make_names_durable(self) -> None:
        """Make the directory durable."""
        self._durable = dict(self._files)
        self._changes = []
        self._lied = False

    # ── private ─────────────────────────────────────────────────────────────────────────────────

    def _check_free(self, name: str) -> None:
        if name in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _used(self) -> int:
        return sum(len(file.data) for file in self._files.values())

    def _begin(self, kind: str) -> _Fault | None:
        """Start a call that changes something; return its fault."""
        self.begin_operation()
        return self._fault_of(kind)

    def begin_operation(self) -> None:
        """Count a call, which the power may not outlast.  To be overridden by disks that fail."""
        if self._until_cut is not None:
            self._until_cut -= 1
            if self._until_cut <= 0:
                raise PowerCut(f"the power was cut during operation {self.operations + 1}")
        self.operations += 1

    def _fault_of(self, kind: str) -> _Fault | None:
        fault = self._fault
        if fault is None or kind not in fault.kinds:
            return None
        fault.left -= 1
        if fault.left > 0:
            return None
        if not fault.stays:
            self._fault = None
        return fault

    def _change(self, kind: str, *change: tuple[str, SimFile | None]) -> None:
        fault = self._begin(kind)
        if _takes_effect(fault):
            self._changes.append(change)
            _apply(self._files, change)
        if fault is not None:
            raise _error(fault.error, change[0][0])


def _apply(directory: dict[str, SimFile], change: _Change) -> None:
    for name, file in change:
        if file is None:
            directory.pop(name, None)  # it is not there if an earlier change did not survive
        else:
            directory[name] = file


def _takes_effect(fault: _Fault | None) -> bool:
    return fault is None or (fault.random is not None and fault.random.random() < 0.5)


def _error(number: int, name: str) -> OSError:
    return OSError(number, os.strerror(number), name)
