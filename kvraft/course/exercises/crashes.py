"""Lesson 05: a learner's promise judges real crashes; a learner's order of a flush is executed.

A **promise** decides whether a state may be found after a crash.  It is tried on crashes of a real
store at all three levels of durability, and on losses that must not happen.

An **order** of the five steps of a flush is executed: the calls of a real flush are recorded, then
made again in that order, with a crash after each of them and nothing unsynced surviving; then the
store is opened.

Source: Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kvraft.check.storage import (
    WORKLOAD,
    Call,
    RecordingDisk,
    StoreContents,
    WorkloadStep,
    WorstCase,
    apply_step,
    contents_after_each_write,
    crash_everywhere,
    reopen_store,
)
from kvraft.course.answers import one_of, value_of, yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import agrees, need_answer, need_function
from kvraft.course.verdicts import exercise
from kvraft.errors import Corruption
from kvraft.lsm import TreeOptions
from kvraft.sim import SimDisk
from kvraft.store import Store
from kvraft.wal import Durability

# ── the promise ─────────────────────────────────────────────────────────────────────────────────

PromiseRule = Callable[[list[StoreContents], int, int, StoreContents], bool]
"""``promised(history, durable, acknowledged, found)``."""


class CrashCase(NamedTuple):
    """What was found after a crash, and whether it may be; ``what`` describes it.

    ``why`` is the part of the promise that decides.
    """

    history: list[StoreContents]
    durable: int
    acknowledged: int
    found: StoreContents
    right: bool
    what: str

    @property
    def why(self) -> str:
        """Which part of the promise decides, as a sentence."""
        if self.found not in self.history:
            return "no number of writes, one after another, leads to it."
        if not self.right:
            after = max(n for n, state in enumerate(self.history) if state == self.found)
            early = after < self.durable
            return "a durable write is missing." if early else "that write had not begun."
        if self.found == self.history[self.acknowledged]:
            return "it is what was acknowledged."
        if self.found in self.history[self.acknowledged + 1 :]:
            return "the write in progress may be there."
        return "writes that were acknowledged but not durable may be missing."

    def __str__(self) -> str:
        return (
            f"{self.what}; durable {self.durable}, acknowledged {self.acknowledged}, "
            f"found {self.found}."
        )


_SMALL: tuple[WorkloadStep, ...] = (
    {b"a": b"1"},
    {b"b": b"1", b"c": b"1"},
    {b"a": None},
    {b"b": b"2"},
)


def cases() -> list[CrashCase]:
    """Return all cases, those in which little happened first."""
    history = contents_after_each_write(_SMALL)
    found = [
        CrashCase(history, 2, 3, history[1], False, "a write that was durable is gone"),
        CrashCase(history, 0, 1, {}, True, "one was acknowledged, none was durable, none is there"),
        CrashCase(history, 3, 3, history[3], True, "all acknowledged writes are there, no more"),
        CrashCase(history, 1, 1, history[2], True, "the write in progress is there"),
        CrashCase(history, 1, 1, history[3], False, "a write is there that was not made yet"),
        CrashCase(history, 1, 2, {b"a": b"1", b"b": b"1"}, False, "half of a batch is there"),
        CrashCase(history, 1, 3, {b"b": b"1", b"c": b"1", b"z": b"9"}, False, "a key from nowhere"),
        CrashCase(history, 3, 4, {**history[4], b"a": b"1"}, False, "a deleted key is back"),
        CrashCase(history, 0, 4, {b"b": b"2"}, False, "a later write is there, an earlier is not"),
        CrashCase(history, 4, 4, {}, False, "nothing is there of four durable writes"),
        CrashCase(history, 4, 4, history[3], False, "a key has an older value"),
        CrashCase(history, 0, 0, {}, True, "nothing was written, nothing is there"),
    ]  # fmt: skip
    history = contents_after_each_write(WORKLOAD)
    for level in Durability:
        for power in (False, True):
            for out in crash_everywhere(durability=level, power=power):
                what = f"a crash during call {out.call.number}, {out.call}, at {level.name}"
                held = history[out.found]
                found.append(CrashCase(history, out.durable, out.acknowledged, held, True, what))
    return found


@exercise("05.2")
def check_promise(promised: PromiseRule) -> str:
    """Print whether ``promised`` judges every case correctly, or the first that it does not."""

    def ask(case: CrashCase) -> bool:
        copies = [dict(state) for state in case.history]
        return promised(copies, case.durable, case.acknowledged, dict(case.found))

    def wrong_in(case: CrashCase) -> str:
        if yes_or_no(lambda: ask(case), "your function") is case.right:
            return ""
        verdict = "keeps the promise" if case.right else "breaks it"
        return f"This {verdict}, but your function says the opposite: {case.why}"

    judged = cases()
    need_function(lambda: ask(judged[0]), "promise")
    return f"It judges {agrees(judged, wrong_in)} crashes and losses correctly."


# ── the order of a flush ────────────────────────────────────────────────────────────────────────

STEPS = (
    "write the table",
    "sync the table",
    "sync the directory",
    "commit to the manifest",
    "drop the log",
)
"""What a flush does, in the order in which it does it."""

_BIG = b"x" * 300
_LOAD: tuple[WorkloadStep, ...] = (
    {b"a": _BIG},
    {b"b": _BIG},
    {b"c": _BIG},
    {b"a": None},
    {b"d": b"4"},
)
_DiskCall = tuple[str, tuple[Any, ...]]
"""The name of a disk's method, and its arguments."""


def _recorded() -> tuple[SimDisk, dict[str, list[_DiskCall]], StoreContents]:
    """Return a disk before a flush, the calls of the flush by step, and the store's contents."""
    disk = RecordingDisk()
    options = TreeOptions(memtable_bytes=1 << 20)
    store = Store.open(disk, options=options, durability=Durability.SYNC, segment_bytes=500)
    for step in _LOAD:
        apply_step(store, step)
    before = disk.copy()
    began = len(disk.done)
    store.flush()
    steps: dict[str, list[_DiskCall]] = {name: [] for name in STEPS}
    for call, doing in zip(disk.calls[began:], disk.done[began:], strict=True):
        steps[_step_of(call, bool(steps["commit to the manifest"]))].append(doing)
    return before, steps, contents_after_each_write(_LOAD)[-1]


def _step_of(call: Call, committed: bool) -> str:
    if call.part == "table":
        return STEPS[1] if call.kind == "sync" else STEPS[0]
    if call.part == "manifest":
        return STEPS[3]
    return STEPS[4] if call.part == "log" or committed else STEPS[2]


@exercise("05.3", functions=False)
def check_order(order: Any) -> str:
    """Print whether a flush in this order of :data:`STEPS` survives a crash after every call."""
    need_answer(order, "put a list of the five steps in place of the three dots")
    given = value_of(order)
    names = [one_of(each, STEPS) for each in given] if isinstance(given, list) else []
    if sorted(filter(None, names)) != sorted(STEPS):
        raise Broken(f"Give each of these once: {', '.join(STEPS)}.")
    before, steps, held = _recorded()
    todo = [(name, doing) for name in names if name for doing in steps[name]]
    for count in range(len(todo) + 1):
        problem = _crash_after(before.copy(), todo[:count], held)
        if problem:
            name = todo[count - 1][0]
            raise Wrong(problem.format(repr(name)))
    return f"Crashed after each of its {len(todo)} calls, the flush lost nothing."


def _crash_after(disk: SimDisk, todo: Sequence[tuple[str, _DiskCall]], held: StoreContents) -> str:
    """Make these calls, lose power, open the store; return what is wrong with it, if anything."""
    for name, (method, arguments) in todo:
        try:
            getattr(disk, method)(*arguments)
        except FileNotFoundError:
            return f"There is nothing to {name.split()[0]} yet in {{}}."
    disk.crash(WorstCase())
    try:
        store = reopen_store(disk)
        found = dict(store.scan())
    except Corruption as corruption:
        return (
            f"A crash in {{}}, or right after it, leaves a store that cannot be opened: "
            f"{corruption}"
        )
    if found != held:
        gone = sorted(key.decode() for key in held if found.get(key) != held[key])
        return f"A crash in {{}}, or right after it, loses {', '.join(gone)}."
    return ""
