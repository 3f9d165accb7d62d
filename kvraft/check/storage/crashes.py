"""Crashing a store during every single I/O call, and comparing what comes back with what was said.

A *workload* is a list of steps: a dict is one write, its keys with their values or ``None`` for a
delete, all or nothing; a word is long work or a sync (:data:`WORDS`).  It runs once undisturbed, to
learn which calls reach the disk (:func:`disk_calls`), and then once for each call, during which the
machine or the process dies (:func:`crash_during`).

The promise, for every crash:

- what is there is what was there after the first *n* writes, for some *n*: no holes, no halves;
- *n* is at least the number of writes that were durable, and at most one more than were
  acknowledged, for the one that was under way.

Source: Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014 (crash at every call).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from kvraft.disk import MEMBER
from kvraft.errors import Corruption
from kvraft.events import Event, TailTruncated
from kvraft.lsm import TreeOptions, WriteBatch
from kvraft.sim import PowerCut, SimDisk
from kvraft.store import Store
from kvraft.wal import Durability

StoreWrite = Mapping[bytes, bytes | None]
WorkloadStep = StoreWrite | str
StoreContents = dict[bytes, bytes]

WORDS = ("sync", "flush", "compact")
"""What a step can be besides a write: see the methods of :class:`~kvraft.store.Store`."""

WORKLOAD: tuple[WorkloadStep, ...] = (
    {b"a": b"1"},
    {b"b": b"2"},
    {b"a": b"3", b"c": b"3"},
    "flush",
    {b"b": None},
    {b"d": b"5"},
    "compact",
    {b"a": b"6"},
)
"""Six writes, the third of two keys and the fourth a delete; a flush; a compaction."""


class Call(NamedTuple):
    """One call that changes something on disk: which one of all, what it is, and of which file."""

    number: int
    kind: str
    part: str  # "log", "table", "manifest" or "directory"

    def __str__(self) -> str:
        return f"{self.kind} {self.part}" if self.kind != "sync_dir" else "sync directory"


class RecordingDisk(SimDisk):
    """A simulated disk that keeps in mind its calls, and can be careless about some syncs.

    ``done`` has the method and the arguments of each call.  ``careless`` names a part of whose
    syncs nothing comes: it says that they are done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.done: list[tuple[str, tuple[Any, ...]]] = []
        self.careless = ""

    def create(self, name: str) -> None:
        """Make an empty file."""
        self._note("create", part_of(name), name)
        super().create(name)

    def append(self, name: str, data: bytes) -> None:
        """Write at the end of a file."""
        self._note("append", part_of(name), name, data)
        super().append(name, data)

    def truncate(self, name: str, size: int) -> None:
        """Cut a file down."""
        self._note("truncate", part_of(name), name, size)
        super().truncate(name, size)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._note("rename", part_of(new), old, new)
        super().rename(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._note("remove", part_of(name), name)
        super().remove(name)

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable, or only say so."""
        self._note("sync", part_of(name), name)
        if part_of(name) == self.careless:
            self._operation()
        else:
            super().sync(name)

    def sync_dir(self) -> None:
        """Make changes of the directory durable, or only say so."""
        self._note("sync_dir", "directory")
        if self.careless == "directory":
            self._operation()
        else:
            super().sync_dir()

    def _note(self, kind: str, part: str, *arguments: Any) -> None:
        self.calls.append(Call(len(self.calls) + 1, kind, part))
        self.done.append((kind, arguments))


class WorstCase(Random):
    """Chance at its worst: of what was not synced, nothing survives."""

    def random(self) -> float:
        """Return as good as 1."""
        return 0.999

    def randint(self, low: int, high: int) -> int:
        """Return the lowest."""
        return low

    def choice(self, options: Any) -> Any:
        """Return the first."""
        return options[0]


class CrashOutcome(NamedTuple):
    """What came back after a crash during ``call``, in the middle of step ``step`` of the workload.

    ``acknowledged`` writes had returned, ``durable`` of them were promised to survive.  ``found``
    is after how many writes the store was as it is now; -1 if it never was, or cannot be opened
    (``damage`` says why).  ``torn`` is how many bytes were cut off the log, ``orphans`` how many
    unfinished tables were removed.
    """

    call: Call
    step: int
    acknowledged: int
    durable: int
    found: int
    torn: int = 0
    orphans: int = 0
    damage: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise was."""
        return self.durable <= self.found <= self.acknowledged + 1

    @property
    def lost(self) -> int:
        """How many acknowledged writes are gone; all of them if the store cannot be opened."""
        return self.acknowledged - min(max(self.found, 0), self.acknowledged)


def part_of(name: str) -> str:
    """Return what the file ``name`` is part of."""
    if ".wal" in name or name.endswith(".torn"):
        return "log"
    if name.startswith(MEMBER):
        return "member"
    return "table" if name.endswith(".sst") else "manifest"


def contents_after_each_write(workload: Sequence[WorkloadStep]) -> list[StoreContents]:
    """Return what a store holds after no write, after the first one, and so on."""
    found: list[StoreContents] = [{}]
    for write in workload:
        if isinstance(write, Mapping):
            both = {**found[-1], **write}
            found.append({key: value for key, value in both.items() if value is not None})
    return found


def disk_calls(
    workload: Sequence[WorkloadStep] = WORKLOAD, durability: Durability = Durability.SYNC
) -> list[Call]:
    """Return the calls that reach the disk while ``workload`` runs, in order."""
    disk, store = _begin(durability)
    for step in workload:
        apply_step(store, step)
    return disk.calls


def crash_during(
    call: int,
    workload: Sequence[WorkloadStep] = WORKLOAD,
    durability: Durability = Durability.SYNC,
    *,
    power: bool = True,
    random: Random | None = None,
    careless: str = "",
) -> CrashOutcome:
    """Run ``workload`` until the machine dies during that call (from 1), and see what comes back.

    Without ``power`` only the process dies: what was handed to the system is still there.
    ``random`` decides what of the unsynced survives, nothing if it is not given; ``careless`` is
    about the disk (:class:`RecordingDisk`).
    """
    random = random or WorstCase()
    disk, store = _begin(durability, careless)
    disk.fail_at(call, None if isinstance(random, WorstCase) else random)
    acknowledged = durable = at = 0
    try:
        for at, step in enumerate(workload):  # noqa: B007  # where it was is told, too
            apply_step(store, step)
            acknowledged += isinstance(step, Mapping)
            certain = durability is Durability.SYNC or not isinstance(step, Mapping)
            survives = not power and durability is Durability.OS
            durable = acknowledged if certain or survives else durable
    except PowerCut:
        pass
    died = disk.calls[-1]
    if power:
        disk.crash(random)
    else:
        disk.restore()
    return _come_back(disk, contents_after_each_write(workload), died, (at, acknowledged, durable))


def crash_everywhere(
    workload: Sequence[WorkloadStep] = WORKLOAD,
    durability: Durability = Durability.SYNC,
    *,
    power: bool = True,
    random: Random | None = None,
    careless: str = "",
) -> list[CrashOutcome]:
    """Return the outcome of a crash during each call: see :func:`crash_during`."""
    count = len(disk_calls(workload, durability))
    return [
        crash_during(n, workload, durability, power=power, random=random, careless=careless)
        for n in range(1, count + 1)
    ]


def apply_step(store: Store, step: WorkloadStep) -> None:
    """Do one step of a workload."""
    if isinstance(step, str):
        getattr(store, step)()
        return
    batch = WriteBatch()
    for key, value in step.items():
        batch.delete(key) if value is None else batch.put(key, value)
    store.write(batch)


def reopen_store(disk: SimDisk, report: list[Event] | None = None) -> Store:
    """Open the store on ``disk`` again; ``report`` gathers what happens."""
    events: list[Event] = [] if report is None else report
    return Store.open(disk, report=events.append, segment_bytes=_SEGMENT_BYTES)


_SEGMENT_BYTES = 500  # so that a small workload fills more than one


def _begin(durability: Durability, careless: str = "") -> tuple[RecordingDisk, Store]:
    disk = RecordingDisk()
    options = TreeOptions(memtable_bytes=1 << 20)
    store = Store.open(disk, options=options, durability=durability, segment_bytes=_SEGMENT_BYTES)
    disk.sync_dir()
    disk.calls.clear()
    disk.done.clear()
    disk.careless = careless
    return disk, store


def _come_back(
    disk: RecordingDisk, past: list[StoreContents], died: Call, counts: tuple[int, int, int]
) -> CrashOutcome:
    events: list[Event] = []
    tables = {name for name in disk.names() if part_of(name) == "table"}
    try:
        store = reopen_store(disk, events)
        held = dict(store.scan())
    except Corruption as damage:
        return CrashOutcome(died, *counts, found=-1, damage=str(damage))
    found = max((n for n, state in enumerate(past) if state == held), default=-1)
    torn = sum(event.size for event in events if isinstance(event, TailTruncated))
    return CrashOutcome(died, *counts, found, torn, len(tables - set(disk.names())))
