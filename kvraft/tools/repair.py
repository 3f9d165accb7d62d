"""Repair: a directory that opens again, with every row that can still be read.

A store or a tree whose manifest, tables or log are lost or damaged is refused, for it lacks
something that was promised.  Repair makes one of it that opens, and says what it lacks:

- **Tables** that are sound are kept, all on level 0; as the highest timestamp wins, their order
  does not matter.  Of one that is damaged the sound parts are written to a new table
  (``salvage.py``).
- **How far they reach** into the log each table tells itself (``sstable.Reach``).  What lies
  between their end and the beginning of the log is lost, and named.  If all tables are sound, the
  log is applied from their end on; if not, all of it is, which does no harm, and brings back what a
  lost table had of it.
- **A log** that is sound and not older than the tables stays as it is.  Otherwise what can be read
  of it goes into a table, and a new log begins after it.
- **The manifest** is made anew.  Tables that the old one, as far as it can be read, says are gone
  stay gone; those that are newer than its sound part count.

What repair cannot know, and so may bring back:

- A lost part may have held the newest version of a key, or its delete: then an older one shows.
  That can only be so for keys and log entries that are named as lost.
- Without any manifest, a table that a compaction had replaced, and that a crash kept from being
  removed, counts again.  Its rows lose to newer ones, but for what a tombstone had hidden that is
  gone since.  And a table that is missing as a whole, that no manifest names and that a compaction
  had written, may leave no trace: the log entries that it held are named only if no other table
  reaches over them.

**A member of a cluster** must never take part with less than it promised (``identity.py``), and
nobody can prove from what is left that nothing is missing.  So repair refuses the directory of a
member that is damaged: its cluster has the data, and it comes back as another (``kvraft rebuild``).
A copy of the directory without ``MEMBER`` can be repaired: it can be dumped, and never runs again.

What is replaced is first copied to ``lost``, durably; the new manifest counts from one rename on.
If repair is cut short, it can be run again.  Source: LevelDB db/repair.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvraft.display import counted
from kvraft.errors import BadInput, Damage, Foreign, Forgotten
from kvraft.filenames import CURRENT, is_manifest, is_segment, table_name, table_number
from kvraft.identity import MEMBER
from kvraft.log_recovery import Recovery, recover
from kvraft.lsm import Tree
from kvraft.manifest import Manifest, edits, load, owner_of, torn_tail
from kvraft.real_disk import RealDisk
from kvraft.record import NO_LOG, ORIGIN, HardState, LogEnd, Position, label
from kvraft.segment import read_header
from kvraft.sstable import Table
from kvraft.store import OWNER
from kvraft.table_format import Reach
from kvraft.tableinfo import TableInfo
from kvraft.tablewriter import Format, TableWriter, check_table
from kvraft.tools.place import open_place
from kvraft.tools.progress import progress
from kvraft.tools.salvage import Salvaged, SalvagedLog, salvage_log, salvage_table
from kvraft.verify import check
from kvraft.version_edit import State
from kvraft.wal import Wal

LOST = "lost"
"""The directory in which repair puts what it does not keep."""

INTACT = "Nothing is wrong here, and nothing was changed."


@dataclass
class Plan:
    """What repair found and will do: tables to keep, parts to save, files to put aside."""

    owner: str
    kept: list[TableInfo] = field(default_factory=list)
    saved: dict[str, Salvaged] = field(default_factory=dict)  # by the name of the damaged table
    aside: dict[str, str] = field(default_factory=dict)  # why, by name
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    reaches: list[Reach] = field(default_factory=list)  # of the tables that are left
    through: Position = ORIGIN  # how far the tables reach
    flushed: Position = ORIGIN
    horizon: int = 0
    next_file: int = 1  # as the old manifest says
    torn: bool = False  # whether it says that, but lost its end
    synced: LogEnd = NO_LOG  # how far the log went once, as the old manifest says
    log: SalvagedLog | None = None  # what goes into a table, if a new log is to begin
    segments: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the tables will have."""
        return sum(info.rows for info in self.kept) + sum(s.rows for s in self.saved.values())

    def told(self) -> list[str]:
        """Return what repair found and does, in sentences."""
        said = [
            *self.notes,
            *(f"{name} goes to {LOST}: {why}." for name, why in self.aside.items()),
        ]
        for name, saved in self.saved.items():
            said.append(f"{counted(saved.rows, 'row')} of {name} can be read, and are kept.")
        if self.log is not None:
            writes = counted(len(self.log.rows) + len(self.log.ranges), "write")
            said.append(f"A new log begins: {writes} of the old one can be read, and are kept.")
        said += [f"LOST: {what}." for what in self.lost]
        if self.lost:
            said.append("For what is lost, an older value may show, or a deleted key.")
        tables = counted(len(self.kept) + sum(s.rows > 0 for s in self.saved.values()), "table")
        rows, end = counted(self.rows, "row"), self.flushed.index
        return [*said, f"The new manifest: {tables} with {rows}, through log index {end}."]


def repair(directory: Path, *, dry_run: bool = False) -> list[str]:
    """Make of what is in ``directory`` a store or a tree that opens; return what was done.

    With ``dry_run`` nothing is written, and what is returned begins by saying so.  Raises
    :class:`~kvraft.errors.BadInput` if there is nothing to repair from,
    :class:`~kvraft.errors.Forgotten` for the directory of a member that is damaged, and
    :class:`~kvraft.errors.Locked` if somebody has it open.
    """
    disk = open_place(directory)
    try:
        owner = _owner(disk)
        wrong = _wrong(disk, owner)
        if not wrong:
            return [INTACT]
        if MEMBER in disk.names():
            raise Forgotten(
                f"{wrong}: and {owner} must not take part with less than it promised. Set its files"
                " aside (kvraft rebuild) and let it join under another name; a copy without its "
                f"{MEMBER} file can be repaired, to be dumped"
            )
        plan = _plan(disk, owner, wrong)
        if dry_run:
            return ["Nothing was changed; repair would do this.", *plan.told()]
        _carry_out(disk, directory, plan)
        return plan.told()
    finally:
        disk.close()


def _wrong(disk: RealDisk, owner: str) -> str:
    """Return what keeps the files from being opened and read to the end, ``""`` if nothing does."""
    try:
        if CURRENT not in disk.names() and not any(map(is_segment, disk.names())):
            raise Damage(CURRENT, 0, "is missing")
        check(disk, owner)
    except (Damage, Foreign) as error:
        return str(error)
    if owner == OWNER and not any(map(is_segment, disk.names())):
        return "the log of the store is gone"
    return ""


def _owner(disk: RealDisk) -> str:
    """Return whose files these are, from whatever still tells."""
    names = disk.names()
    for name in filter(is_segment, names):
        try:
            return str(read_header(name, disk.read(name))[0]["owner"])
        except (Damage, KeyError):
            continue
    try:
        return owner_of(disk)
    except (BadInput, Damage):
        pass
    for number in _tables(names):
        owner = salvage_table(disk, number).owner
        if owner is not None:
            return owner
    raise BadInput("nothing here tells whose files these are: no table or log can be read")


def _tables(names: Iterable[str]) -> list[int]:
    return [number for name in names if (number := table_number(name)) is not None]


# ── what to do ──────────────────────────────────────────────────────────────────────────────────


def _plan(disk: RealDisk, owner: str, wrong: str) -> Plan:
    plan = Plan(owner, notes=[f"What is wrong: {wrong}."])
    if owner != OWNER and any(map(is_segment, disk.names())):
        plan.notes.append(f"These were the files of {owner}: they can be dumped, never run again.")
    live, gone = _read_old(disk, plan)
    numbers = _tables(disk.names())
    for number in progress(numbers, "tables", len(numbers)):
        name = table_name(number)
        later = plan.torn and number >= plan.next_file  # than anything the old manifest knows of
        if number in gone or (live is not None and number not in live and not later):
            plan.aside[name] = "the old manifest says that it was replaced, or never counted"
        else:
            _look_at_table(disk, plan, number, live.get(number) if live else None)
    for number, info in (live or {}).items():
        if number not in numbers:
            stop = f"below {label(info.stop)}" if info.stop else "on"
            plan.lost.append(f"{table_name(number)}: keys from {label(info.start)} {stop}")
    sure = live is not None and not plan.torn
    if not sure:
        _name_gaps(plan)
    _look_at_log(disk, plan, sure=sure)
    return plan


def _look_at_table(disk: RealDisk, plan: Plan, number: int, info: TableInfo | None) -> None:
    name = table_name(number)
    try:
        table = Table.open(disk, info or number)
        check_table(table)
        theirs = str(table.properties.get("owner"))
    except Damage as error:
        plan.aside[name] = f"it is not sound ({error})"
        saved = salvage_table(disk, number, info)
        theirs = plan.owner if saved.owner is None else saved.owner
        if _same_cluster(theirs, plan.owner):
            plan.saved[name] = saved
            plan.lost += saved.lost
            plan.through = max(plan.through, saved.reach.through)
            plan.reaches.append(saved.reach)
    except Foreign as error:
        plan.aside[name] = str(error)
        plan.lost.append(f"all of {name}, for this version of kvraft")
        return
    else:
        if _same_cluster(theirs, plan.owner):
            plan.kept.append(replace(table.info, level=0))
            plan.through = max(plan.through, table.reach.through)
            plan.reaches.append(table.reach)
    if not _same_cluster(theirs, plan.owner):
        plan.aside[name] = f"it belongs to {theirs!r}"


def _same_cluster(one: str, other: str) -> bool:
    """Return whether tables of one can be those of the other: a snapshot carries them along."""
    return one.rpartition("/")[0] == other.rpartition("/")[0]


def _read_old(disk: RealDisk, plan: Plan) -> tuple[dict[int, TableInfo] | None, set[int]]:
    """Take from the old manifest what can be read.

    Returns the tables that are live if all of it can be, and those that it says are gone.
    """
    try:
        if CURRENT in disk.names():
            state = load(disk, plan.owner)
            plan.through, plan.horizon, plan.synced = state.flushed, state.horizon, state.log
            plan.next_file, plan.torn = state.next_file, torn_tail(disk, plan.owner) is not None
            return {info.number: info for info in state.tables}, set()
    except (Damage, Foreign):
        pass
    gone: set[int] = set()
    for name in filter(is_manifest, disk.names()):
        try:
            for _, says in edits(disk, name, plan.owner):
                added = {int(table["number"]) for table in says["add"]}
                gone = (gone | {int(number) for number in says["remove"]}) - added
                plan.through = max(plan.through, Position(*map(int, says["flushed"])))
                plan.horizon = max(plan.horizon, int(says["horizon"]))
        except (Damage, KeyError, TypeError, ValueError):
            plan.notes.append(f"{name} can be read only in part.")
    return None, gone


def _name_gaps(plan: Plan) -> None:
    """Name the log entries that no table that is left says it holds, without a manifest."""
    end = 0
    for after, through in sorted(plan.reaches):
        if after.index > end:
            plan.lost.append(
                f"what log entries {end + 1} to {after.index} wrote, and nobody deleted since: no "
                "table says that it has them"
            )
        end = max(end, through.index)


def _look_at_log(disk: RealDisk, plan: Plan, *, sure: bool) -> None:
    """Decide where the log goes on, and whether it can stay as it is.

    All of it is applied again unless it is ``sure`` that no table is missing.
    """
    plan.flushed = plan.through
    plan.segments = [name for name in disk.names() if is_segment(name)]
    log = Recovery()
    try:
        log = recover(disk, plan.owner)
    except (Damage, Foreign) as error:
        plan.notes.append(f"The log cannot be used as it is: {error}.")
    if not log.segments:
        if plan.segments or plan.owner == OWNER:
            _begin_log(disk, plan)
    elif log.last.index < plan.through.index:
        end = f"The log ends at entry {log.last.index}, the tables at {plan.through.index}."
        plan.notes.append(end)
        _begin_log(disk, plan)
    else:
        _lost_between(plan, log.base.index)
        newest = log.segments[-1]
        if log.torn is not None:
            size = counted(log.torn.size, "byte")
            plan.lost.append(f"what the last {size} of {newest.name} said, if ever synced")
        elif (newest.id, newest.size) < plan.synced:
            plan.lost.append(f"all log entries after {log.last.index}, at the end of {newest.name}")
        whole = plan.owner == OWNER and bool(plan.saved or plan.lost or not sure)
        plan.flushed = log.base if whole else max(plan.through, log.base)


def _begin_log(disk: RealDisk, plan: Plan) -> None:
    plan.log = SalvagedLog()
    if plan.owner == OWNER:
        plan.log = salvage_log(disk, plan.owner, plan.segments)
        if plan.log.first:
            _lost_between(plan, plan.log.first - 1)
        elif not plan.segments:
            plan.lost.append(f"all log entries after {plan.through.index}, for the log is gone")
    for name in plan.segments:
        plan.aside[name] = "what can be read of it goes into a table, and a new log begins"
    plan.lost += plan.log.lost
    # One further on than anything there was, so that no two writes ever share an index.
    end = max(plan.through.index, plan.log.last) + 1
    plan.flushed = Position(end, plan.through.term)


def _lost_between(plan: Plan, base: int) -> None:
    if (end := plan.through.index) < base:
        plan.lost.append(
            f"log entries {end + 1} to {base}, which are in no sound table and no longer in the log"
        )


# ── doing it ────────────────────────────────────────────────────────────────────────────────────


def _carry_out(disk: RealDisk, directory: Path, plan: Plan) -> None:
    """Copy aside, write tables, let the manifest count, then the log, then take away."""
    old = [name for name in disk.names() if name == CURRENT or is_manifest(name)]
    _keep_aside(directory, [*plan.aside, *old])
    used = [table_number(name) or 0 for name in disk.names()]
    used += [int(name.partition("-")[2]) for name in old if name != CURRENT]
    number = max([0, *used]) + 1
    tables = list(plan.kept)
    for saved in plan.saved.values():
        writer = TableWriter(disk, number, plan.owner, Format(), saved.reach)
        for chunk in saved.chunks:
            writer.add(chunk)
        info = _ended(writer, saved)
        tables += [info] if info else []
        number += 1
    newest = max((info.max_timestamp for info in tables), default=0)
    begins = plan.log is not None
    state = State(
        tables=tuple(tables),
        flushed=plan.through if begins else plan.flushed,
        timestamp=newest,
        horizon=max(plan.horizon, newest),
        next_file=number,
    )
    Manifest(disk, plan.owner, state)
    if plan.log is not None:
        _new_log(disk, plan, plan.log)
    for name in plan.aside:
        if name in disk.names():
            disk.remove(name)
    disk.sync_dir()


def _ended(writer: TableWriter, saved: Salvaged) -> TableInfo | None:
    """Finish a table that was written in one go."""
    work = writer.finish(saved.ranges)
    while True:
        try:
            next(work)
        except StopIteration as end:
            info: TableInfo | None = end.value
            return info


def _new_log(disk: RealDisk, plan: Plan, log: SalvagedLog) -> None:
    """Put what was read of the old log into a table, and begin a new one after it."""
    with Tree.open(disk, owner=plan.owner) as tree:
        tree.apply(log.rows, plan.flushed, log.ranges)
        tree.flush()
    for name in plan.segments:
        disk.remove(name)
    disk.sync_dir()
    wal = Wal.open(disk, plan.owner)
    if plan.flushed.term:
        wal.save(HardState(plan.flushed.term, None), [])
    wal.reset(plan.flushed)
    wal.close()


def _keep_aside(directory: Path, names: Iterable[str]) -> None:
    """Copy files to :data:`LOST`, and make the copies durable."""
    lost = directory / LOST
    lost.mkdir(exist_ok=True)
    for name in names:
        copy = _free(lost / name)
        shutil.copyfile(directory / name, copy)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
    aside = RealDisk(lost)
    aside.sync_dir()
    aside.close()
    (lost / "LOCK").unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """Return ``path``, or with a number after it if that is taken."""
    number, free = 0, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
