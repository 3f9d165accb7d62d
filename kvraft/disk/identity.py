"""A member that forgot is another member: how a disk says whose it is, and that it is no copy.

Raft rests on what members promised: votes, and entries that they said they hold.  A member whose
disk forgot some of it and takes part all the same can elect two leaders in one term, or a leader
that lacks what is committed; its neighbours cannot tell (Alagappan et al., *Protocol-Aware
Recovery*, FAST 2018).  So whoever opens the disk of a member finds out first whether it can have
forgotten, and refuses to start if so:

- **Wiped**: the disk is empty, though the member is not ``new``.
- **An old copy**: a small file, ``MEMBER``, says whose disk it is and which file it is itself: its
  number on the file system, which a copy does not keep.
- **Damaged**, or in part gone: log, tables and manifest say so themselves (``wal/segment.py``,
  ``check_disk``); so does ``MEMBER``.

What a member forgot cannot be had again.  Its data can: :func:`set_aside` moves its files out of
the way, and it comes back under *another name*, as a newcomer does: by a change of members (Raft
§6) that removes the old name and adds the new one as a learner, which votes once it has caught up.
Then nobody counts on what the old one promised any more, and that is all the proof there is to it.

::

    MEMBER      one frame (disk/frame.py) of kind 1, payload in JSON:
                    format, owner ("cluster/member"), file (its own number; "" if there is none)

Invariant: ``MEMBER`` is durable before the first file of the log is made, so a log without it has
lost it.

Not noticed: an old copy put back into the very same files, as the snapshots of virtual machines do.
"""

from __future__ import annotations

import json

from kvraft.disk import frame
from kvraft.disk.disk import TEMPORARY_SUFFIX, Disk
from kvraft.errors import Corruption, ForeignFile, StateLost, format_mismatch

MEMBER = "MEMBER"
ASIDE_PREFIX = "aside-"
"""What the names of files begin with that were set aside."""

FORMAT = 1
_KIND = 1
_SEED = frame.checksum_seed("kvraft member")


def claim_disk(disk: Disk, owner: str, *, new: bool) -> None:
    """See to it that ``disk`` is that of ``owner`` and has not forgotten; mark it if it is new.

    ``new`` says that this member never ran before: then its disk must be empty, but for what a
    first start left that was cut short.  Raises :class:`~kvraft.errors.StateLost`,
    :class:`~kvraft.errors.ForeignFile` and :class:`~kvraft.errors.Corruption`.
    """
    names = live_files(disk)
    if MEMBER in names:
        check_owner(disk, owner)
        if new and len(names) > 1:
            raise StateLost(f"{owner} is said to be new, but it has run before: start it as it is")
        if not new and len(names) == 1:
            raise StateLost(f"all that {owner} had on its disk is gone: {REBUILD_ADVICE}")
    elif names:
        what = f"the disk of {owner} holds {names[0]}, but its {MEMBER} file is gone"
        raise StateLost(f"{what}: {REBUILD_ADVICE}")
    elif not new:
        raise StateLost(f"the disk of {owner} is empty, though it has run before: {REBUILD_ADVICE}")
    else:
        _mark(disk, owner)


def live_files(disk: Disk) -> list[str]:
    """Return the names of the files that count: neither those set aside nor unfinished ones."""
    names = [name for name in disk.names() if not name.startswith(ASIDE_PREFIX)]
    return [name for name in names if not name.endswith(TEMPORARY_SUFFIX)]


def set_aside(disk: Disk) -> list[str]:
    """Rename all files, durably, so that a new member can begin here; return their new names.

    Those of an earlier time stay, under names of their own.  If it is interrupted, it can be called
    again.
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
    """Return the name under which ``member`` comes back: n2, n2.2, n2.3 and so on."""
    name, dot, number = member.rpartition(".")
    return f"{name}.{int(number) + 1}" if dot and number.isdigit() else f"{member}.2"


REBUILD_ADVICE = (
    "what it promised is forgotten. Set its files aside (kvraft rebuild) and let it join under "
    "another name"
)


def check_owner(disk: Disk, owner: str) -> None:
    """See whether ``MEMBER`` says that this is the disk of ``owner``, and no copy; write nothing.

    Raises as :func:`claim_disk` does.
    """
    found = frame.decode(disk.read(MEMBER), 0, seed=_SEED)
    if isinstance(found, str):
        raise Corruption(MEMBER, 0, f"{found}: {REBUILD_ADVICE}")
    try:
        says = json.loads(found.payload if found.kind == _KIND else b"")
        number, theirs, file = says["format"], str(says["owner"]), str(says["file"])
    except (ValueError, KeyError, TypeError):
        raise Corruption(MEMBER, 0, "it makes no sense") from None
    if number != FORMAT:
        raise format_mismatch(MEMBER, number, FORMAT)
    if theirs != owner:
        raise ForeignFile(f"{MEMBER} says that this is the disk of {theirs!r}, not of {owner!r}")
    here = disk.identity(MEMBER)
    if file and here and file != here:
        what = f"the disk of {owner} is a copy, and so maybe an old one"
        raise StateLost(f"{what}: {REBUILD_ADVICE}")


def _mark(disk: Disk, owner: str) -> None:
    """Write ``MEMBER``, which a file must be made for before it can tell its own number."""
    temporary = MEMBER + TEMPORARY_SUFFIX
    if temporary in disk.names():
        disk.remove(temporary)
    disk.create(temporary)
    says = {"format": FORMAT, "owner": owner, "file": disk.identity(temporary)}
    disk.append(temporary, frame.encode(_KIND, json.dumps(says).encode(), synced=0, seed=_SEED))
    disk.sync(temporary)
    disk.rename(temporary, MEMBER)
    disk.sync_dir()
