"""A crash during every single disk call of a store: what is there afterwards?

A *workload* is a list of steps.  A dict is one atomic write: keys with their values, or ``None``
for a delete.  A word is long work or a sync (:data:`WORDS`).  The workload runs once undisturbed,
to learn which calls reach the disk (:func:`disk_calls`), and then once for each call, during which
the machine or the process dies (:func:`crash_during`).

The promise, for every crash:

- the store holds exactly the first *n* writes, for some *n*: none is missing, none is there in
  part;
- *n* is at least the number of durable writes, and at most one more than the number of
  acknowledged ones, because one was in progress.

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
"""Steps other than writes; each is a method of :class:`~kvraft.store.Store`."""

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
    """One call that changes the disk: its number, its kind, and the part of the store it is for."""

    number: int
    kind: str
    part: str  # "log", "table", "manifest" or "directory"

    def __str__(self) -> str:
        return f"{self.kind} {self.part}" if self.kind != "sync_dir" else "sync directory"


class RecordingDisk(SimDisk):
    """A simulated disk that records its calls, and can be careless about some syncs.

    ``done`` has the method and the arguments of each call.  ``careless`` names a part whose syncs
    do nothing, though they return as if done.
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
        """Append bytes to a file."""
        self._note("append", part_of(name), name, data)
        super().append(name, data)

    def truncate(self, name: str, size: int) -> None:
        """Truncate a file."""
        self._note("truncate", part_of(name), name, size)
        super().truncate(name, size)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self._note("rename", part_of(new), old, new)
        super().rename(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._note("remove", part_of(name), name)
        super().remove(name)

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable, unless this disk is careless about it."""
        self._note("sync", part_of(name), name)
        if part_of(name) == self.careless:
            self.begin_operation()
        else:
            super().sync(name)

    def sync_dir(self) -> None:
        """Make changes of the directory durable, unless this disk is careless about it."""
        self._note("sync_dir", "directory")
        if self.careless == "directory":
            self.begin_operation()
        else:
            super().sync_dir()

    def _note(self, kind: str, part: str, *arguments: Any) -> None:
        self.calls.append(Call(len(self.calls) + 1, kind, part))
        self.done.append((kind, arguments))


class WorstCase(Random):
    """The worst luck: nothing survives that was not synced."""

    def random(self) -> float:
        """Return almost 1."""
        return 0.999

    def randint(self, low: int, high: int) -> int:
        """Return ``low``."""
        return low

    def choice(self, options: Any) -> Any:
        """Return the first of ``options``."""
        return options[0]


class CrashOutcome(NamedTuple):
    """What the store holds after a crash during ``call``, in step number ``step`` of the workload.

    ``acknowledged`` writes had returned, and ``durable`` of them must survive.  The store holds the
    first ``found`` writes; -1 means that it holds anything else, or cannot be opened (``damage``
    says why).  ``torn`` bytes of the log were truncated, and ``orphans`` unfinished tables removed.
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
        """Whether the promise was kept."""
        return self.durable <= self.found <= self.acknowledged + 1

    @property
    def lost(self) -> int:
        """How many acknowledged writes are lost; all of them if the store cannot be opened."""
        return self.acknowledged - min(max(self.found, 0), self.acknowledged)


def part_of(name: str) -> str:
    """Return the part of a store that the file ``name`` belongs to."""
    if ".wal" in name or name.endswith(".torn"):
        return "log"
    if name.startswith(MEMBER):
        return "member"
    return "table" if name.endswith(".sst") else "manifest"


def contents_after_each_write(workload: Sequence[WorkloadStep]) -> list[StoreContents]:
    """Return the contents of a store before the first write, after the first, and so on."""
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
    """Crash ``workload`` during call number ``call`` (from 1); return what the store holds then.

    Without ``power`` only the process dies, and what it gave to the operating system survives.
    ``random`` decides which unsynced bytes survive; by default none do.  ``careless`` names a part
    whose syncs do nothing (:class:`RecordingDisk`).
    """
    random = random or WorstCase()
    disk, store = _begin(durability, careless)
    disk.fail_at(call, None if isinstance(random, WorstCase) else random)
    acknowledged = durable = at = 0
    try:
        for at, step in enumerate(workload):  # noqa: B007  # the outcome has it
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
    return _outcome(disk, contents_after_each_write(workload), died, (at, acknowledged, durable))


def crash_everywhere(
    workload: Sequence[WorkloadStep] = WORKLOAD,
    durability: Durability = Durability.SYNC,
    *,
    power: bool = True,
    random: Random | None = None,
    careless: str = "",
) -> list[CrashOutcome]:
    """Return the outcome of a crash during each call; :func:`crash_during` has the options."""
    count = len(disk_calls(workload, durability))
    return [
        crash_during(n, workload, durability, power=power, random=random, careless=careless)
        for n in range(1, count + 1)
    ]


def apply_step(store: Store, step: WorkloadStep) -> None:
    """Apply one step of a workload to ``store``."""
    if isinstance(step, str):
        getattr(store, step)()
        return
    batch = WriteBatch()
    for key, value in step.items():
        batch.delete(key) if value is None else batch.put(key, value)
    store.write(batch)


def reopen_store(disk: SimDisk, report: list[Event] | None = None) -> Store:
    """Open the store on ``disk`` again; events are appended to ``report``."""
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


def _outcome(
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
