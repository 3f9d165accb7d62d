"""Views: a tree as it was at one moment, for as long as it is open.

A view copies nothing.  It is a time, and a reader that keeps the versions which were the newest at
that time (``lsm/readers.py``), in memory and on disk.

Invariant: a view returns the same for as long as it is open, whatever is written meanwhile; or it
raises ``BadInput``.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from kvraft.errors import BadInput
from kvraft.lsm.readers import Reader, Readers
from kvraft.mapping import ReadableMapping
from kvraft.record import Buffer, KeyValue, Timestamp


class ReadableAt(Protocol):
    """What a view reads: a tree, which can be read as it was at a time."""

    readers: Readers

    def get(
        self, key: Buffer, default: bytes | None = None, *, at: Timestamp | None = None
    ) -> bytes | None:
        """Return the value of ``key`` ``at`` a time."""

    def scan(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        at: Timestamp | None = None,
    ) -> Generator[KeyValue, None, None]:
        """Return an iterator over what was there ``at`` a time."""


class View(ReadableMapping):
    """A tree as it was at one moment, ``timestamp``.  Made by :meth:`kvraft.lsm.Tree.view`.

    Usable in a ``with`` statement, and in any thread.  One that is garbage-collected is closed.
    """

    def __init__(self, tree: ReadableAt, reader: Reader) -> None:
        self.timestamp: Timestamp = reader.at
        self._tree: ReadableAt | None = tree
        self._readers = tree.readers
        self._reader = reader

    def get(self, key: Buffer, default: bytes | None = None) -> bytes | None:
        """Return the value that ``key`` had, ``default`` if it had none."""
        return self._open().get(key, default, at=self.timestamp)

    def scan(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
    ) -> Generator[KeyValue, None, None]:
        """Return an iterator over what was there: see :meth:`kvraft.lsm.Tree.scan`."""
        tree = self._open()
        return tree.scan(start, stop, prefix=prefix, reverse=reverse, at=self.timestamp)

    def close(self) -> None:
        """Release what it sees; it can no longer be read."""
        tree, self._tree = self._tree, None
        if tree is not None:
            self._readers.leave(self._reader)

    def _open(self) -> ReadableAt:
        if self._tree is None:
            raise BadInput("the view is closed")
        if self._reader.by_time is not self._readers.by_time:
            raise BadInput("what the view saw is gone: a snapshot replaced it")
        return self._tree

    def __repr__(self) -> str:
        what = "closed" if self._tree is None else f"of {self._tree!r}"
        return f"<View at timestamp {self.timestamp}, {what}>"

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
