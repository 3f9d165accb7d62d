"""The errors kvraft raises: one small family, one clear sentence each.

Everything a caller may want to catch derives from :class:`KvraftError`.  The message says what was
wrong, where, and what would be right, so that printing it is enough, which is what the command line
does.  Which one to raise:

* the caller is wrong: :class:`WrongType` for a value of the wrong type, :class:`BadInput` for one
  of the right type that is invalid (too long, negative, unknown, out of order);
* the files are wrong: :class:`Corruption`, :class:`ForeignFile`, :class:`StateLost`;
* nothing is wrong, but it cannot be done here or now: :class:`Locked`, :class:`FilesChanged`,
  :class:`ReadOnly`, :class:`DiskFull`, :class:`NotLeader`, :class:`Busy`, :class:`Stopped`,
  :class:`TimedOut`.

A caller's errors are also those of Python: ``except ValueError`` catches both kinds, ``except
TypeError`` a wrong type; and :class:`DiskFull` is an ``OSError``.  Nothing else derives from one of
Python's: :class:`TimedOut` is not a ``TimeoutError``, because that is an ``OSError``, which kvraft
treats as a failed disk.
"""

from __future__ import annotations

import errno


class KvraftError(Exception):
    """Base of every error that kvraft raises on purpose."""


class BadInput(KvraftError, ValueError):
    """The caller passed something invalid: a wrong row, option, number or order."""


class WrongType(BadInput, TypeError):
    """The caller passed something of the wrong type, such as a ``str`` for a key."""


class Corruption(KvraftError):
    """Bytes that were made durable are not what was written.  Nothing is guessed or dropped.

    ``file`` and ``offset`` (bytes from its start) say where, ``what`` says what was found.
    """

    def __init__(self, file: str, offset: int, what: str) -> None:
        super().__init__(f"{file}, offset {offset}: {what}")
        self.file = file
        self.offset = offset
        self.what = what


class ForeignFile(KvraftError):
    """A file is intact but not ours: it belongs to another member or to another format version."""


def format_mismatch(file: str, found: object, reads: int) -> ForeignFile:
    """Return the error for ``file``, written in format ``found`` where ``reads`` is the known one.

    It is the same for every kind of file, and says how to move the contents.
    """
    return ForeignFile(
        f"{file} has format {found}; this version of kvraft reads format {reads}: dump it with "
        "the version that wrote it (kvraft dump) and load it with this one (kvraft load)"
    )


class StateLost(KvraftError):
    """A member's disk does not hold what the member promised, so it must not take part.

    It can return as another member; see disk/identity.py.
    """


class Locked(KvraftError):
    """Another process has this data directory open."""


class FilesChanged(KvraftError):
    """Files that were open for reading changed because another process writes: open them again.

    Nothing is wrong with them.
    """


class ReadOnly(KvraftError):
    """A write to something that was opened for reading only."""


class DiskFull(KvraftError, OSError):
    """There was no space, or no quota, for a write: nothing was written, and reads go on.

    Nothing else is wrong: as soon as there is space the same call succeeds.
    """

    def __init__(self, what: str) -> None:
        super().__init__(errno.ENOSPC, what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class NotLeader(KvraftError):
    """Only the leader can do this; ``leader`` is the member to ask instead, if it is known."""

    def __init__(self, member: str, leader: str | None) -> None:
        known = f"ask {leader}" if leader else "no leader is known"
        super().__init__(f"{member} is not the leader: {known}")
        self.leader = leader


class Busy(KvraftError):
    """Nothing was done, because too much is under way already: try again a little later."""


class Stopped(KvraftError):
    """A write or a sync failed, so this member does nothing more until it is restarted."""


class TimedOut(KvraftError):
    """The expected result did not come in the time allowed."""
