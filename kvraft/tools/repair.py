"""Repair: a new manifest for tables whose manifest is lost or damaged.

A manifest tells which tables are live.  Without it the tables tell some of that themselves: each
knows its owner, its timestamps and its contents, and a checksum says whether it is whole.

What repair knows and what it cannot know:

- It keeps every table that is whole and belongs to the owner, all on level 0; as the highest
  timestamp wins, their order does not matter.  So nothing that was in a sound table is lost.
- A table that a compaction had replaced may still have lain there, if a crash kept it from being
  removed, or a reader had it open.  Its rows are older versions of what the newer tables say, and
  they lose to them, **but for what a dropped tombstone had hidden**: such a row would come back.
  Where the old manifest can still be read up to some edit, the tables that it says are gone stay
  gone.
- How far into the log the tables reach is taken from the last edit that can be read.  If none can
  be, it is taken to be index 0: the log is then applied from its beginning, which does no harm if
  it is all there.  If it was cut already, the owner refuses to open, and a member of a cluster has
  to be rebuilt from the others: it must not guess.

What is not kept is put aside in ``lost``, never removed.  Source: LevelDB db/repair.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Damage, Foreign
from kvraft.manifest import CURRENT, Manifest, State, edits, load, owner_of
from kvraft.record import ORIGIN, Position
from kvraft.segment import is_segment
from kvraft.segment import owner_of as owner_of_log
from kvraft.sstable import Table
from kvraft.tableinfo import TableInfo, table_name, table_number
from kvraft.tablewriter import check_table
from kvraft.tools.progress import progress

LOST = "lost"
"""The directory in which repair puts what it does not keep."""


@dataclass
class Plan:
    """What repair found, and what it does: ``kept`` tables, and files put aside with the reason."""

    owner: str
    kept: list[TableInfo] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)
    flushed: Position = ORIGIN
    horizon: int = 0
    notes: list[str] = field(default_factory=list)


def repair(directory: Path, *, dry_run: bool = False) -> list[str]:
    """Rebuild the manifest of the tree in ``directory``; return what was done, in sentences.

    With ``dry_run`` nothing is written.  Raises ``BadInput`` if there are no tables, or if nothing
    is wrong with the manifest, and :class:`~kvraft.errors.Locked` if somebody has it open.
    """
    if not directory.is_dir():
        raise BadInput(f"there is no directory {directory}")
    disk = RealDisk(directory)
    try:
        plan = _plan(disk)
        said = [*plan.notes]
        said += [f"{name} goes to {LOST}: {why}." for name, why in plan.aside.items()]
        rows = sum(info.rows for info in plan.kept)
        kept = f"{len(plan.kept)} tables with {rows:,} rows"
        if dry_run:
            return [*said, f"A new manifest would have {kept}, through {plan.flushed.index}."]
        _carry_out(disk, directory, plan)
        return [*said, f"The new manifest has {kept}, through log index {plan.flushed.index}."]
    finally:
        disk.close()


def _plan(disk: RealDisk) -> Plan:
    numbers = [n for name in disk.names() if (n := table_number(name)) is not None]
    if not numbers and CURRENT not in disk.names():
        raise BadInput("there are no tables here to make a manifest of")
    plan = Plan(_owner(disk, numbers))
    gone = _read_old(disk, plan)
    for number in progress(numbers, "tables", len(numbers)):
        name = table_name(number)
        try:
            table = Table.open(disk, number)
            check_table(table)
        except (Damage, Foreign) as error:
            plan.aside[name] = f"it is not sound ({error})"
            continue
        theirs = str(table.properties.get("owner"))
        if theirs.rpartition("/")[0] != plan.owner.rpartition("/")[0]:
            plan.aside[name] = f"it belongs to {theirs!r}"
        elif number in gone:
            plan.aside[name] = "the old manifest says that it was replaced"
        else:
            plan.kept.append(replace(table.info, level=0))
    return plan


def _owner(disk: RealDisk, numbers: list[int]) -> str:
    """Return whose tree it is, from whatever still tells."""
    if any(is_segment(name) for name in disk.names()):
        return owner_of_log(disk)
    try:
        return owner_of(disk)
    except (BadInput, Damage):
        pass
    for number in numbers:
        try:
            return str(Table.open(disk, number).properties.get("owner", ""))
        except (Damage, Foreign):
            continue
    raise BadInput("nothing here tells whose tables these are: none of them is sound")


def _read_old(disk: RealDisk, plan: Plan) -> set[int]:
    """Take from the old manifest what can be read; return the tables that it says are gone."""
    try:
        load(disk, plan.owner)
    except (Damage, Foreign) as error:
        plan.notes.append(f"The manifest cannot be used: {error}.")
    else:
        if all(f"{info.number:06d}.sst" in disk.names() for info in load(disk, plan.owner).tables):
            raise BadInput("there is nothing to repair: the manifest and its tables are there")
        plan.notes.append("The manifest is sound, but tables are missing.")
    gone: set[int] = set()
    names = [name for name in disk.names() if name.startswith("MANIFEST-")]
    for name in names:
        try:
            for _, says in edits(disk, name, plan.owner):
                added = {int(table["number"]) for table in says["add"]}
                gone = (gone | {int(number) for number in says["remove"]}) - added
                plan.flushed = max(plan.flushed, Position(*map(int, says["flushed"])))
                plan.horizon = max(plan.horizon, int(says["horizon"]))
        except (Damage, KeyError, TypeError, ValueError):
            plan.notes.append(f"{name} can be read only in part.")
    return gone


def _carry_out(disk: RealDisk, directory: Path, plan: Plan) -> None:
    lost = directory / LOST
    lost.mkdir(exist_ok=True)
    old = [name for name in disk.names() if name == CURRENT or name.startswith("MANIFEST-")]
    for name in [*plan.aside, *old]:
        (shutil.copy2 if name in old else shutil.move)(directory / name, _free(lost / name))
    for name in old:
        disk.remove(name)
    disk.sync_dir()
    used = [table_number(name) or int(name[9:] or 0) for name in old if name != CURRENT]
    highest = max([0, *used, *(info.number for info in plan.kept)])
    highest = max([highest, *(table_number(name) or 0 for name in plan.aside)])
    state = State(
        tables=tuple(plan.kept),
        flushed=plan.flushed,
        timestamp=max((info.max_timestamp for info in plan.kept), default=0),
        horizon=max([plan.horizon, *(info.max_timestamp for info in plan.kept)]),
        next_file=highest + 1,
    )
    Manifest(disk, plan.owner, state)


def _free(path: Path) -> Path:
    """Return ``path``, or with a number behind it if that is taken."""
    number, free = 0, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
