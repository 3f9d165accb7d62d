"""The part of Python's mapping that a store, a tree, a view and a client have; bounds of a scan.

There is no ``len()``, because its cost would surprise: counting the keys means reading them all, as
``sum(1 for _ in store)`` shows.  Iteration is over keys in their order, and sees one moment, like a
scan; client/reading.py says what a client's scan sees.

A scan covers the keys with ``start <= key < stop``, where a stop of ``None`` means no end; a prefix
is short for the two bounds of all keys that begin with it.

Invariant: everything here is written in terms of ``get`` and ``scan``, and knows nothing of trees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator

from kvraft.errors import BadInput
from kvraft.inputs import as_bytes
from kvraft.record import Buffer, KeyValue


class ReadableMapping(ABC):
    """Keys and values in the order of keys, read like a ``dict``."""

    @abstractmethod
    def get(self, key: Buffer, default: bytes | None = None) -> bytes | None:
        """Return the value of ``key``, ``default`` if it has none."""

    @abstractmethod
    def scan(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
    ) -> Generator[KeyValue, None, None]:
        """Return an iterator over keys and values with ``start <= key < stop``."""

    def __getitem__(self, key: Buffer) -> bytes:
        """Return the value of ``key``; ``KeyError`` if it has none."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: Buffer) -> bool:
        """Return whether ``key`` has a value."""
        return self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator over the keys."""
        return self.keys()

    def __reversed__(self) -> Iterator[bytes]:
        """Return an iterator over the keys, the last one first."""
        return (key for key, _ in self.scan(reverse=True))

    def keys(self) -> Iterator[bytes]:
        """Return an iterator over the keys."""
        pairs = self.scan()
        return (key for key, _ in pairs)

    def values(self) -> Iterator[bytes]:
        """Return an iterator over the values, in the order of their keys."""
        pairs = self.scan()
        return (value for _, value in pairs)

    def items(self) -> Generator[KeyValue, None, None]:
        """Return an iterator over keys and values: :meth:`scan` of everything."""
        return self.scan()


def prefix_stop(prefix: bytes) -> bytes | None:
    r"""Return the ``stop`` of a scan of all keys that begin with ``prefix``, ``None`` for no end.

    >>> prefix_stop(b"user/"), prefix_stop(b"a\xff"), prefix_stop(b"\xff")
    (b'user0', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def scan_bounds(
    start: Buffer, stop: Buffer | None, prefix: Buffer | None
) -> tuple[bytes, bytes | None]:
    """Return the start and the stop of a scan; raise ``BadInput`` if they make no sense."""
    if prefix is not None:
        if start != b"" or stop is not None:
            raise BadInput("a scan has a prefix or bounds, not both")
        prefix = as_bytes(prefix, "the prefix of a scan")
        return prefix, prefix_stop(prefix)
    start = as_bytes(start, "the start of a scan")
    if stop is not None:
        stop = as_bytes(stop, "the stop of a scan")
        if start > stop:
            raise BadInput(f"a scan must not start after its stop: {start!r} is above {stop!r}")
    return start, stop
