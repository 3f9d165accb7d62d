"""What copies of a whole share: things that never change.

``copy.deepcopy`` of a world copies everything that it refers to.  Most of that never changes: log
entries, events that were reported, what the manifest knows of a table.  Their classes are marked
:func:`immutable`, so a copy refers to the same ones; that makes copying a long run cheap.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def immutable(kind: type[T]) -> type[T]:
    """Mark a class whose instances, and all they refer to, never change: deep copies share them."""
    kind.__deepcopy__ = _itself  # type: ignore[attr-defined]
    return kind


def _itself(self: T, memo: dict[int, object]) -> T:
    return self
