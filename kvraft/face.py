"""The face of a store, a tree, a view and a client: what they have of a Python mapping.

Only what costs what it looks like: there is no ``len()``, for nobody knows how many keys there are
without reading them all; ``sum(1 for _ in store)`` does that, and looks like it.  Iteration goes
over keys in their order, and like a scan it sees one moment; what a client's scan sees, reading.py
says.

Invariant: everything here is said in terms of ``get`` and ``scan``, and knows nothing of trees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator

from kvraft.merge import Pair
from kvraft.record import Buffer


class Readable(ABC):
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
    ) -> Generator[Pair, None, None]:
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

    def items(self) -> Generator[Pair, None, None]:
        """Return an iterator over keys and values: :meth:`scan` of everything."""
        return self.scan()
