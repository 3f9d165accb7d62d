"""Whose disk this is, and whether it may have forgotten: a member that forgot is another member.

Raft relies on what members promised: their votes, and the entries that they acknowledged.  If a
member's disk has lost some of that and the member takes part nevertheless, two leaders may be
elected in one term, or a leader without a committed entry; no other member can notice (Alagappan et
al., *Protocol-Aware Recovery*, FAST 2018).  So a member first checks whether its disk may have
forgotten, and does not start if so:

- **Wiped**: the disk is empty, though the member is not ``new``.
- **An old copy**: a small file, ``MEMBER``, names the owner of the disk and its own file number on
  the file system, which a copy does not share.
- **Damaged** or incomplete: log, tables and manifest detect that themselves (``wal/recovery.py``,
  ``log_and_tree.check_disk``), and so does ``MEMBER``.

A lost promise cannot be restored, but the data can.  :func:`set_aside` renames the files, and the
member joins again under *another name*, as a new member does: a change of members (Raft §6) removes
the old name and adds the new one as a learner, which votes once it has caught up.  From then on no
quorum depends on what the old member promised.

::

    MEMBER      one frame (disk/frame.py) of kind 1, payload in JSON:
                    format, owner ("cluster/member"), file (its own number; "" if there is none)

Invariant: ``MEMBER`` is durable before the first file of the log is created, so a log without it
has lost it.

Not detected: an old copy restored into the very same files, as snapshots of virtual machines do.
"""

from __future__ import annotations

import json

from kvraft.disk import frame
from kvraft.disk.disk import TEMPORARY_SUFFIX, Disk
from kvraft.errors import Corruption, ForeignFile, StateLost, format_mismatch

MEMBER = "MEMBER"
ASIDE_PREFIX = "aside-"
"""The names of files that were set aside begin with this."""

FORMAT = 2
_KIND = 1
_SEED = frame.checksum_seed("kvraft member")


def claim_disk(disk: Disk, owner: str, *, new: bool) -> None:
    """Check that ``disk`` belongs to ``owner`` and has not forgotten; mark it if it is new.

    ``new`` means that this member never ran before.  Its disk must then be empty, except for what
    an interrupted first start left.  Raises :class:`~kvraft.errors.StateLost`,
    :class:`~kvraft.errors.ForeignFile` and :class:`~kvraft.errors.Corruption`.
    """
    names = live_files(disk)
    if MEMBER in names:
        check_owner(disk, owner)
        if new and len(names) > 1:
            raise StateLost(f"{owner} was started as new, but it has run before: start it as it is")
        if not new and len(names) == 1:
            raise StateLost(f"everything that {owner} had on its disk is gone: {REBUILD_ADVICE}")
    elif names:
        what = f"the disk of {owner} holds {names[0]}, but its {MEMBER} file is gone"
        raise StateLost(f"{what}: {REBUILD_ADVICE}")
    elif not new:
        raise StateLost(f"the disk of {owner} is empty, though it has run before: {REBUILD_ADVICE}")
    else:
        _mark(disk, owner)


def live_files(disk: Disk) -> list[str]:
    """Return the names of all files except those set aside and unfinished ones."""
    names = [name for name in disk.names() if not name.startswith(ASIDE_PREFIX)]
    return [name for name in names if not name.endswith(TEMPORARY_SUFFIX)]


def set_aside(disk: Disk) -> list[str]:
    """Rename all files, durably, so that a new member can start here; return their new names.

    Files that were set aside earlier stay as they are.  After an interruption, call it again.
    """
    names = disk.names()
    earlier = [name.removeprefix(ASIDE_PREFIX) for name in names if name.startswith(ASIDE_PREFIX)]
    times = [name.split("-")[0] for name in earlier]
    number = 1 + max([int(time) for time in times if time.isdigit()], default=0)
    aside = []
    for name in names:
        if not name.startswith(ASIDE_PREFIX):
            aside.append(f"{ASIDE_PREFIX}{number}-{name}")
            disk.rename(name, aside[-1])
    disk.sync_dir()
    return aside


def replacement_name(member: str) -> str:
    """Return the name under which ``member`` joins again: n2.2 after n2, then n2.3 and so on."""
    name, dot, number = member.rpartition(".")
    return f"{name}.{int(number) + 1}" if dot and number.isdigit() else f"{member}.2"


REBUILD_ADVICE = (
    "its promises are forgotten. Set its files aside (kvraft rebuild) and let it join under "
    "another name"
)


def check_owner(disk: Disk, owner: str) -> None:
    """Check that ``MEMBER`` names ``owner`` and that the disk is not a copy; write nothing.

    Raises as :func:`claim_disk` does.
    """
    data = disk.read(MEMBER)
    if (older := frame.older_format(data)) is not None:
        raise format_mismatch(MEMBER, older, FORMAT)
    found = frame.decode(data, 0, seed=_SEED)
    if isinstance(found, str):
        raise Corruption(MEMBER, 0, f"{found}: {REBUILD_ADVICE}")
    try:
        fields = json.loads(found.payload if found.kind == _KIND else b"")
        number, named, file = fields["format"], str(fields["owner"]), str(fields["file"])
    except (ValueError, KeyError, TypeError):
        raise Corruption(MEMBER, 0, "its contents make no sense") from None
    if number != FORMAT:
        raise format_mismatch(MEMBER, number, FORMAT)
    if named != owner:
        raise ForeignFile(f"{MEMBER} says that this is the disk of {named!r}, not of {owner!r}")
    here = disk.identity(MEMBER)
    if file and here and file != here:
        what = f"the disk of {owner} is a copy, and so maybe an old one"
        raise StateLost(f"{what}: {REBUILD_ADVICE}")


def _mark(disk: Disk, owner: str) -> None:
    """Write ``MEMBER``; its file must exist before its number is known."""
    temporary = MEMBER + TEMPORARY_SUFFIX
    if temporary in disk.names():
        disk.remove(temporary)
    disk.create(temporary)
    fields = {"format": FORMAT, "owner": owner, "file": disk.identity(temporary)}
    data = frame.encode(_KIND, json.dumps(fields).encode(), synced=0, seed=_SEED, offset=0)
    disk.append(temporary, data)
    disk.sync(temporary)
    disk.rename(temporary, MEMBER)
    disk.sync_dir()
