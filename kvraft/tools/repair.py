"""Repair: a directory that opens again, with every row that can still be read.

A store or a tree whose manifest, tables or log are lost or damaged is refused, for something that
was promised is missing.  Repair turns it into one that opens, and reports what is missing:

- **Tables** that are intact are kept, all on level 0; as the highest timestamp wins, their order
  does not matter.  The intact parts of a damaged one are written to a new table (``salvage.py``).
- **How far into the log** each table goes is in its properties (:class:`kvraft.sstable.LogRange`).
  Entries between the end of the tables and the beginning of the log are lost, and named.  If all
  tables are intact, the log is applied from their end on; if not, all of it is, which does no harm,
  and restores what a lost table had of it.
- **A log** that is intact and not older than the tables is kept.  Otherwise what can be read of it
  goes into a table, and a new log begins after it.
- **The manifest** is made from scratch.  Tables that the old one, as far as it can be read, had
  removed stay removed; those that are newer than its intact part count.

What repair cannot know, and so may show again:

- A lost part may have had the newest version of a key, or its delete: then an older one shows.
  That can happen only for keys and log entries that are named as lost.
- Without any manifest, a table that a compaction had replaced, but that a crash kept from being
  removed, counts again.  Its rows lose to newer ones, except for rows that were hidden by a
  tombstone which is gone since.  And a table that is missing as a whole, that no manifest names and
  that a compaction had written, may leave no trace: its log entries are named only if no other
  table covers them.

**A member of a cluster** must never take part with less than it promised (``disk/identity.py``),
and nothing can prove from what is left that nothing is missing.  So repair refuses the directory of
a damaged member: its cluster has the data, and it returns as another member (``kvraft rebuild``).
A copy of the directory without ``MEMBER`` can be repaired, to be dumped; it never runs again.

What is replaced is first copied to ``lost``, durably; the new manifest counts from one rename on.
If repair is interrupted, it can be run again.  Source: LevelDB db/repair.
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
from kvraft.sstable import TableFormat, TableWriter
from kvraft.store import OWNER
from kvraft.tools.place import open_directory
from kvraft.tools.repair_plan import LOST, RepairPlan, find_owner, make_plan
from kvraft.tools.salvage import SalvagedLog
from kvraft.tools.verify import check
from kvraft.wal import Wal

INTACT = "Nothing is wrong here, and nothing was changed."


def repair(directory: Path, *, dry_run: bool = False) -> list[str]:
    """Repair the store or tree in ``directory``, so that it opens; return what was done.

    With ``dry_run`` nothing is written, and the first sentence says so.  Raises
    :class:`~kvraft.errors.BadInput` if there is nothing to repair from,
    :class:`~kvraft.errors.StateLost` for the directory of a damaged member, and
    :class:`~kvraft.errors.Locked` if another process has it open.
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
        _execute(disk, directory, plan)
        return plan.described()
    finally:
        disk.close()


def _wrong(disk: RealDisk, owner: str) -> str:
    """Return why the files cannot be opened and read to the end, ``""`` if they can."""
    try:
        if CURRENT not in disk.names() and not any(map(is_segment, disk.names())):
            raise Corruption(CURRENT, 0, "is missing")
        check(disk, owner)
    except (Corruption, ForeignFile) as error:
        return str(error)
    if owner == OWNER and not any(map(is_segment, disk.names())):
        return "the log of the store is gone"
    return ""


def _execute(disk: RealDisk, directory: Path, plan: RepairPlan) -> None:
    """Copy files aside, then write tables, manifest and log, then remove what was replaced."""
    old = [name for name in disk.names() if name == CURRENT or is_manifest(name)]
    _keep_aside(directory, [*plan.aside, *old])
    used = [table_number(name) or 0 for name in disk.names()]
    used += [int(name.partition("-")[2]) for name in old if name != CURRENT]
    number = max([0, *used]) + 1
    tables = list(plan.kept)
    for saved in plan.saved.values():
        writer = TableWriter(disk, number, plan.owner, TableFormat(), saved.log_range)
        for chunk in saved.chunks:
            writer.add(chunk)
        info = writer.finish(saved.ranges).run_to_end()
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


def _new_log(disk: RealDisk, plan: RepairPlan, log: SalvagedLog) -> None:
    """Put what was read of the old log into a table, and begin a new log after it."""
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
        copied = _unused(lost / name)
        shutil.copyfile(directory / name, copied)
        with copied.open("rb+") as file:
            os.fsync(file.fileno())
    aside = RealDisk(lost)
    aside.sync_dir()
    aside.close()
    (lost / "LOCK").unlink(missing_ok=True)


def _unused(path: Path) -> Path:
    """Return ``path``, with a number after it if it exists."""
    number, unused = 0, path
    while unused.exists():
        number += 1
        unused = path.with_name(f"{path.name}.{number}")
    return unused
