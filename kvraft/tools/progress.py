"""A progress bar on long work: on a terminal, where tqdm is installed; nothing anywhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def progress_bar(
    items: Iterable[T], what: str, total: int | None = None
) -> Generator[T, None, None]:
    """Yield ``items`` while a bar on stderr counts them; ``what`` is its title."""
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        bar = importlib.import_module("tqdm").tqdm
    except ImportError:
        yield from items
        return
    yield from bar(items, desc=what, total=total, unit_scale=True, leave=False)
