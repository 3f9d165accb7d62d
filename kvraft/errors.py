"""The errors kvraft raises: one small family, one clear sentence each.

Everything a caller may want to catch derives from :class:`KvraftError`.  The message says what was
wrong, where, and what would be right, so that printing it is enough: the command line does just
that.  Which one to raise:

* the caller is wrong: :class:`WrongType` for a value of the wrong type, :class:`BadInput` for one
  of the right type that cannot be meant (too long, negative, unknown, out of order);
* the files are wrong: :class:`Corruption`, :class:`ForeignFile`, :class:`StateLost`;
* nobody is wrong, but not here or not now: :class:`Locked`, :class:`FilesChanged`,
  :class:`ReadOnly`, :class:`DiskFull`, :class:`NotLeader`, :class:`Busy`, :class:`Stopped`,
  :class:`TimedOut`.

The caller's mistakes are what Python itself calls them, too: ``except ValueError`` catches both
kinds, ``except TypeError`` a wrong type.  A full disk is the ``OSError`` that it was.  Nothing else
is one of Python's: :class:`TimedOut` is not a ``TimeoutError``, for that is an ``OSError``, and
those are taken for a disk that failed.
"""

from __future__ import annotations

import errno


class KvraftError(Exception):
    """Base of every error that kvraft raises on purpose."""


class BadInput(KvraftError, ValueError):
    """The caller handed in something that cannot be meant: a wrong row, option, number or order."""


class WrongType(BadInput, TypeError):
    """The caller handed in something of the wrong type, such as a ``str`` for a key."""


class Corruption(KvraftError):
    """Bytes that were promised are not what was written.  Nothing is guessed, nothing shortened.

    ``file`` and ``offset`` (bytes from its start) say where, ``what`` says what was found.
    """

    def __init__(self, file: str, offset: int, what: str) -> None:
        super().__init__(f"{file}, offset {offset}: {what}")
        self.file = file
        self.offset = offset
        self.what = what


class ForeignFile(KvraftError):
    """A file is sound but not ours: it belongs to another member or to another format version."""


def format_mismatch(file: str, found: object, reads: int) -> ForeignFile:
    """Return the refusal of ``file``, written in format ``found`` where ``reads`` is the one known.

    Every kind of file is refused in these words, which say how its contents can be moved.
    """
    return ForeignFile(
        f"{file} has format {found}; this version of kvraft reads format {reads}: dump it with "
        "the version that wrote it (kvraft dump) and load it with this one (kvraft load)"
    )


class StateLost(KvraftError):
    """A member's disk does not hold what the member promised: it must not take part as if it did.

    It can come back as another member; see disk/identity.py.
    """


class Locked(KvraftError):
    """Another process has this data directory open."""


class FilesChanged(KvraftError):
    """Files that were only read went while another process wrote: opened again, they can be read.

    Nothing is wrong with them.
    """


class ReadOnly(KvraftError):
    """What was opened for reading only takes no writes."""


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
    """Only the leader can do this; ``leader`` is the member to ask instead, if one is known."""

    def __init__(self, member: str, leader: str | None) -> None:
        known = f"ask {leader}" if leader else "no leader is known"
        super().__init__(f"{member} is not the leader: {known}")
        self.leader = leader


class Busy(KvraftError):
    """Nothing was taken, because too much is under way already: try again a little later."""


class Stopped(KvraftError):
    """A member that met a failed write or a failed sync does nothing more until it is restarted."""


class TimedOut(KvraftError):
    """What was waited for did not happen in the time allowed."""
