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

**A member of a cluster** must never take part with less than it promised (``disk/identity.py``),
and nobody can prove from what is left that nothing is missing.  So repair refuses the directory of
a member that is damaged: its cluster has the data, and it comes back as another (``kvraft
rebuild``).  A copy of the directory without ``MEMBER`` can be repaired: it can be dumped, and never
runs again.

What is replaced is first copied to ``lost``, durably; the new manifest counts from one rename on.
If repair is cut short, it can be run again.  Source: LevelDB db/repair.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from kvraft.disk import CURRENT, MEMBER, RealDisk, is_manifest, is_segment, table_number
from kvraft.errors import Corruption, ForeignFile, StateLost
from kvraft.lsm import Manifest, ManifestState, Tree
from kvraft.record import HardState
from kvraft.sstable import TableFormat, TableMetadata, TableWriter
from kvraft.store import OWNER
from kvraft.tools.place import open_directory
from kvraft.tools.repair_plan import LOST, RepairPlan, find_owner, make_plan
from kvraft.tools.salvage import Salvaged, SalvagedLog
from kvraft.tools.verify import check
from kvraft.wal import Wal

INTACT = "Nothing is wrong here, and nothing was changed."


def repair(directory: Path, *, dry_run: bool = False) -> list[str]:
    """Make of what is in ``directory`` a store or a tree that opens; return what was done.

    With ``dry_run`` nothing is written, and what is returned begins by saying so.  Raises
    :class:`~kvraft.errors.BadInput` if there is nothing to repair from,
    :class:`~kvraft.errors.StateLost` for the directory of a member that is damaged, and
    :class:`~kvraft.errors.Locked` if somebody has it open.
    """
    disk = open_directory(directory)
    try:
        owner = find_owner(disk)
        wrong = _wrong(disk, owner)
        if not wrong:
            return [INTACT]
        if MEMBER in disk.names():
            raise StateLost(
                f"{wrong}: and {owner} must not take part with less than it promised. Set its files"
                " aside (kvraft rebuild) and let it join under another name; a copy without its "
                f"{MEMBER} file can be repaired, to be dumped"
            )
        plan = make_plan(disk, owner, wrong)
        if dry_run:
            return ["Nothing was changed; repair would do this.", *plan.described()]
        _carry_out(disk, directory, plan)
        return plan.described()
    finally:
        disk.close()


def _wrong(disk: RealDisk, owner: str) -> str:
    """Return what keeps the files from being opened and read to the end, ``""`` if nothing does."""
    try:
        if CURRENT not in disk.names() and not any(map(is_segment, disk.names())):
            raise Corruption(CURRENT, 0, "is missing")
        check(disk, owner)
    except (Corruption, ForeignFile) as error:
        return str(error)
    if owner == OWNER and not any(map(is_segment, disk.names())):
        return "the log of the store is gone"
    return ""


def _carry_out(disk: RealDisk, directory: Path, plan: RepairPlan) -> None:
    """Copy aside, write tables, let the manifest count, then the log, then take away."""
    old = [name for name in disk.names() if name == CURRENT or is_manifest(name)]
    _keep_aside(directory, [*plan.aside, *old])
    used = [table_number(name) or 0 for name in disk.names()]
    used += [int(name.partition("-")[2]) for name in old if name != CURRENT]
    number = max([0, *used]) + 1
    tables = list(plan.kept)
    for saved in plan.saved.values():
        writer = TableWriter(disk, number, plan.owner, TableFormat(), saved.reach)
        for chunk in saved.chunks:
            writer.add(chunk)
        info = _ended(writer, saved)
        tables += [info] if info else []
        number += 1
    newest = max((info.max_timestamp for info in tables), default=0)
    begins = plan.log is not None
    state = ManifestState(
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


def _ended(writer: TableWriter, saved: Salvaged) -> TableMetadata | None:
    """Finish a table that was written in one go."""
    work = writer.finish(saved.ranges)
    while True:
        try:
            next(work)
        except StopIteration as end:
            info: TableMetadata | None = end.value
            return info


def _new_log(disk: RealDisk, plan: RepairPlan, log: SalvagedLog) -> None:
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
