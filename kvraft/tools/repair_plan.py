"""What a repair will do: what of a directory can be kept, what is set aside, and what is lost.

:func:`make_plan` reads everything and writes nothing; ``repair.py`` executes a plan, and describes
what a repair may show again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kvraft.disk import CURRENT, RealDisk, is_manifest, is_segment, table_name, table_number
from kvraft.display import counted
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.lsm import load_manifest, manifest_owner, read_edits, torn_manifest_tail
from kvraft.record import NO_LOG, ORIGIN, LogEnd, Position, label
from kvraft.sstable import LogRange, Table, TableMetadata, check_table
from kvraft.store import OWNER
from kvraft.tools.progress import progress_bar
from kvraft.tools.salvage import Salvaged, SalvagedLog, salvage_log, salvage_table
from kvraft.wal import Recovery, read_segment_header, recover

LOST = "lost"
"""The directory into which repair moves what it does not keep."""


@dataclass
class RepairPlan:
    """What repair found and will do: tables to keep, parts to save, files to set aside."""

    owner: str
    kept: list[TableMetadata] = field(default_factory=list)
    saved: dict[str, Salvaged] = field(default_factory=dict)  # by the name of the damaged table
    aside: dict[str, str] = field(default_factory=dict)  # why, by name
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    log_ranges: list[LogRange] = field(default_factory=list)  # of the tables that are left
    through: Position = ORIGIN  # the log position through which the tables go
    flushed: Position = ORIGIN
    horizon: int = 0
    next_file: int = 1  # in the old manifest
    torn: bool = False  # whether the old manifest lost its end
    synced: LogEnd = NO_LOG  # how far the log was synced, by the old manifest
    log: SalvagedLog | None = None  # what goes into a table, if a new log is to begin
    segments: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the tables will have."""
        return sum(info.rows for info in self.kept) + sum(s.rows for s in self.saved.values())

    def described(self) -> list[str]:
        """Return what repair found and will do, in sentences."""
        lines = [
            *self.notes,
            *(f"{name} goes to {LOST}: {why}." for name, why in self.aside.items()),
        ]
        for name, saved in self.saved.items():
            lines.append(f"{counted(saved.rows, 'row')} of {name} can be read, and are kept.")
        if self.log is not None:
            writes = counted(len(self.log.rows) + len(self.log.ranges), "write")
            lines.append(f"A new log begins: {writes} of the old one can be read, and are kept.")
        lines += [f"LOST: {what}." for what in self.lost]
        if self.lost:
            lines.append("For what is lost, an older value may show, or a deleted key.")
        tables = counted(len(self.kept) + sum(s.rows > 0 for s in self.saved.values()), "table")
        rows, end = counted(self.rows, "row"), self.flushed.index
        return [*lines, f"The new manifest: {tables} with {rows}, through log index {end}."]


def make_plan(disk: RealDisk, owner: str, wrong: str) -> RepairPlan:
    """Return the plan for the files of ``owner``; ``wrong`` is why a repair is needed."""
    plan = RepairPlan(owner, notes=[f"What is wrong: {wrong}."])
    if owner != OWNER and any(map(is_segment, disk.names())):
        plan.notes.append(f"These were the files of {owner}: they can be dumped, never run again.")
    live, gone = _read_old(disk, plan)
    numbers = _tables(disk.names())
    for number in progress_bar(numbers, "tables", len(numbers)):
        name = table_name(number)
        later = plan.torn and number >= plan.next_file  # than any file in the old manifest
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


def _look_at_table(
    disk: RealDisk, plan: RepairPlan, number: int, info: TableMetadata | None
) -> None:
    name = table_name(number)
    try:
        table = Table.open(disk, info or number)
        check_table(table)
        theirs = str(table.properties.get("owner"))
    except Corruption as error:
        plan.aside[name] = f"it is damaged ({error})"
        saved = salvage_table(disk, number, info)
        theirs = plan.owner if saved.owner is None else saved.owner
        if _same_cluster(theirs, plan.owner):
            plan.saved[name] = saved
            plan.lost += saved.lost
            plan.through = max(plan.through, saved.log_range.through)
            plan.log_ranges.append(saved.log_range)
    except ForeignFile as error:
        plan.aside[name] = str(error)
        plan.lost.append(f"all of {name}, for this version of kvraft")
        return
    else:
        if _same_cluster(theirs, plan.owner):
            plan.kept.append(replace(table.metadata, level=0))
            plan.through = max(plan.through, table.log_range.through)
            plan.log_ranges.append(table.log_range)
    if not _same_cluster(theirs, plan.owner):
        plan.aside[name] = f"it belongs to {theirs!r}"


def _same_cluster(one: str, other: str) -> bool:
    """Return whether both owners are of one cluster: a snapshot brings tables of other members."""
    return one.rpartition("/")[0] == other.rpartition("/")[0]


def _read_old(disk: RealDisk, plan: RepairPlan) -> tuple[dict[int, TableMetadata] | None, set[int]]:
    """Put into ``plan`` what can be read of the old manifest.

    Returns the live tables, ``None`` if part of it cannot be read, and the tables it removed.
    """
    try:
        if CURRENT in disk.names():
            state = load_manifest(disk, plan.owner)
            plan.through, plan.horizon, plan.synced = state.flushed, state.horizon, state.log
            plan.next_file, plan.torn = (
                state.next_file,
                torn_manifest_tail(disk, plan.owner) is not None,
            )
            return {info.number: info for info in state.tables}, set()
    except (Corruption, ForeignFile):
        pass
    gone: set[int] = set()
    for name in filter(is_manifest, disk.names()):
        try:
            for _, edit in read_edits(disk, name, plan.owner):
                added = {int(table["number"]) for table in edit["add"]}
                gone = (gone | {int(number) for number in edit["remove"]}) - added
                plan.through = max(plan.through, Position(*map(int, edit["flushed"])))
                plan.horizon = max(plan.horizon, int(edit["horizon"]))
        except (Corruption, KeyError, TypeError, ValueError):
            plan.notes.append(f"{name} can be read only in part.")
    return None, gone


def _name_gaps(plan: RepairPlan) -> None:
    """Add to ``plan.lost`` the log entries that no remaining table covers."""
    end = 0
    for after, through in sorted(plan.log_ranges):
        if after.index > end:
            plan.lost.append(
                f"what log entries {end + 1} to {after.index} wrote and no later entry deleted: no "
                "table says that it has them"
            )
        end = max(end, through.index)


def _look_at_log(disk: RealDisk, plan: RepairPlan, *, sure: bool) -> None:
    """Decide where the log continues, and whether it can be kept.

    All of it is applied again unless it is ``sure`` that no table is missing.
    """
    plan.flushed = plan.through
    plan.segments = [name for name in disk.names() if is_segment(name)]
    log = Recovery()
    try:
        log = recover(disk, plan.owner)
    except (Corruption, ForeignFile) as error:
        plan.notes.append(f"The log cannot be used unchanged: {error}.")
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
            plan.lost.append(f"what the last {size} of {newest.name} contained, if ever synced")
        elif (newest.id, newest.size) < plan.synced:
            plan.lost.append(f"all log entries after {log.last.index}, at the end of {newest.name}")
        whole = plan.owner == OWNER and bool(plan.saved or plan.lost or not sure)
        plan.flushed = log.base if whole else max(plan.through, log.base)


def _begin_log(disk: RealDisk, plan: RepairPlan) -> None:
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
    # One above every index that was used, so that no two writes ever share one.
    end = max(plan.through.index, plan.log.last) + 1
    plan.flushed = Position(end, plan.through.term)


def _lost_between(plan: RepairPlan, base: int) -> None:
    if (end := plan.through.index) < base:
        plan.lost.append(
            f"log entries {end + 1} to {base}, in no intact table and no longer in the log"
        )


def find_owner(disk: RealDisk) -> str:
    """Return the owner of the files, from the first file that can still be read."""
    names = disk.names()
    for name in filter(is_segment, names):
        try:
            return str(read_segment_header(name, disk.read(name))[0]["owner"])
        except (Corruption, KeyError):
            continue
    try:
        return manifest_owner(disk)
    except (BadInput, Corruption):
        pass
    for number in _tables(names):
        owner = salvage_table(disk, number).owner
        if owner is not None:
            return owner
    raise BadInput("nothing here names the owner of these files: no table or log can be read")


def _tables(names: Iterable[str]) -> list[int]:
    return [number for name in names if (number := table_number(name)) is not None]
