"""Long work in slices, as an object that can be copied between any two of them.

A flush or a merge takes too long to be done at once: it is done slice by slice, between other
things.  A generator would be the shortest way to write that down, but a generator cannot be copied,
and a world must be copied at any moment, so that a run can be forked there.  So long work is a
:class:`SlicedWork`: its attributes are its state, and its slices are methods::

    step ──► _rows ─╮ until there are no more   ──► _filter ─╮ …   ──► None: done
               ╰────╯                                 ╰──────╯

Invariant: a copy (``copy.deepcopy``) goes on as the original would have, and shares nothing with it
that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class SlicedWork(Generic[T]):
    """Work whose ``stage`` is the method that does the next slice, ``None`` once it is done.

    Each such method sets the stage that follows it, unless it is itself to be called again.  The
    last one sets ``result``.
    """

    stage: Callable[[], None] | None
    result: T

    def step(self) -> bool:
        """Do one slice; return whether there are more.  Raises what the work raises."""
        if self.stage is not None:
            self.stage()
        return self.stage is not None

    def then(self, stage: Callable[[], None]) -> None:
        """Go on with ``stage``, in this same slice."""
        self.stage = stage
        stage()

    def __iter__(self) -> Iterator[None]:
        """Do all slices, with a pause after each but the last."""
        while self.step():
            yield

    def run_to_end(self) -> T:
        """Do all slices without a pause; return the result."""
        while self.step():
            pass
        return self.result
