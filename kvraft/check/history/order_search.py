"""The search for an order of operations: all situations that are possible, moment by moment.

A *situation* is what the map holds, and which operations under way took effect already::

    time ─────────────────────────────────────────────────────────────────────────►
    call of p      p is under way
    return of p    every situation goes on until p took effect:       {}: x=0
                   p at once, or other operations before it           ├─ p ───► {p}: x=1
                                                                      └─ q, p ► {q, p}: x=1
                   and one in which p can never take effect ends

An operation takes effect only when one must, at a return: *just-in-time linearization* (Lowe §4).
Five rules keep the situations few, and none changes the verdict:

- **Each situation once.**  Two ways to one situation have the same future (Lowe §3: the memo).
- **Reads at once.**  What writes nothing, and is explained by the map as it is now, takes effect
  now: that makes nothing else impossible.
- **Needed values stay.**  A value is not overwritten while somebody must still read it and nobody
  can write it again.
- **What can hide, hides.**  A write whose values nobody reads, or only reads under way now, takes
  effect with them just before one that overwrites it: nothing else can notice.
- **Unknown outcomes last.**  An operation without a return may take effect later, or never.  A
  situation that used up more of these than another one like it is dropped.

Sources: Wing and Gong, *Testing and Verifying Concurrent Objects*, JPDC 1993; Lowe, *Testing for
Linearizability*, CCPE 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from kvraft.errors import KvraftError

Map = tuple[bytes | None, ...]
"""What all keys hold, by the number of the key."""

Cell = tuple[int, bytes | None]
"""A key, by its number, with a value."""
Cells = tuple[Cell, ...]


class Step(NamedTuple):
    """An operation for the search: keys are numbers, and times are left to the events."""

    reads: Cells
    writes: Cells
    optional: bool
    """Whether it may take effect at any time after its call, or never."""


class Event(NamedTuple):
    """The call (``step`` begins) or the return of a step, at ``at`` microseconds."""

    at: int
    returns: bool
    step: int


class Path(NamedTuple):
    """The last step that took effect, when, and the path before it."""

    step: int
    at: int
    before: Path | None


class Situation(NamedTuple):
    """What the map holds, and which steps under way took effect: optional ones are ``used``."""

    cells: Map
    done: frozenset[int]
    used: frozenset[int]
    path: Path | None


class TooHard(KvraftError):
    """The search was given up: it has looked at as many situations as it may."""


class Situations:
    """Situations of which none has used up more than another one that is like it otherwise."""

    def __init__(self, found: Iterable[Situation] = ()) -> None:
        self._alike: dict[tuple[Map, frozenset[int]], list[Situation]] = {}
        for situation in found:
            self.add(situation)

    def add(self, new: Situation) -> bool:
        """Add a situation, unless there is one at least as good; return whether it was added."""
        alike = self._alike.setdefault((new.cells, new.done), [])
        if any(old.used <= new.used for old in alike):
            return False
        alike[:] = [old for old in alike if not new.used <= old.used]
        alike.append(new)
        return True

    def __iter__(self) -> Iterator[Situation]:
        for alike in self._alike.values():
            yield from alike


class OrderSearch:
    """Searches an order of ``steps``, by their numbers, from maps that hold one of ``starts``.

    Give it the events in order with :meth:`take`.  It may find out that there is no order before
    the return that shows it, since it knows all steps.  :class:`TooHard` is raised for more than
    ``most`` situations.
    """

    def __init__(
        self, steps: Mapping[int, Step], starts: Iterable[Map], most: float = float("inf")
    ) -> None:
        self._steps = steps
        self._left = most
        self._under_way: dict[int, None] = {}  # in the order of their calls
        self._optional = frozenset(n for n, step in steps.items() if step.optional)
        # Steps that have not returned, by the keys and values that they read, or write.
        self._readers: dict[Cell, set[int]] = {}
        self._writers: dict[Cell, set[int]] = {}
        for number, step in steps.items():
            for cell in step.reads:
                self._readers.setdefault(cell, set()).add(number)
            for cell in step.writes:
                self._writers.setdefault(cell, set()).add(number)
        nothing: frozenset[int] = frozenset()
        self.situations = Situations(Situation(cells, nothing, nothing, None) for cells in starts)
        """What is possible after the events so far."""

    def take(self, event: Event) -> bool:
        """Take the next event; return whether there is still an order."""
        number, step = event.step, self._steps[event.step]
        if not event.returns:
            self._under_way[number] = None
            if not step.writes:
                settled = [self._settle(s, event.at) for s in self.situations]
                self.situations = Situations(settled)
            return True
        found = self._until_done(number, event.at)
        if not found:
            return False
        self.situations = Situations(s._replace(done=s.done - {number}) for s in found)
        del self._under_way[number]
        for cell in step.reads:
            self._readers[cell].discard(number)
        for cell in step.writes:
            self._writers[cell].discard(number)
        return True

    def possible_maps(self, at: int) -> dict[Map, None]:
        """Return all that the map may hold now, whichever steps under way took effect."""
        maps: dict[Map, None] = {}
        self._explore(at, lambda situation: maps.setdefault(situation.cells))
        return maps

    def _until_done(self, number: int, at: int) -> list[Situation]:
        """Return the situations in which step ``number`` took effect, others before it or not."""
        found: list[Situation] = []

        def stop(situation: Situation) -> bool:
            if number not in situation.done:
                return False
            found.append(situation)
            return True

        self._explore(at, stop)
        return found

    def _explore(self, at: int, stop: Callable[[Situation], object]) -> None:
        """Call ``stop`` with each possible situation, and go on from it unless that is true."""
        seen, open_ones = Situations(), list(self.situations)
        while open_ones:
            situation = open_ones.pop()
            self._left -= 1
            if self._left < 0:
                raise TooHard("the operations were too many at once to try all their orders")
            if not stop(situation) and seen.add(situation):
                open_ones += self._followers(situation, at)

    def _followers(self, situation: Situation, at: int) -> Iterator[Situation]:
        """Yield the situations after one more step that is under way."""
        taken = situation.done | situation.used
        for number in self._under_way:
            if number not in taken:
                step = self._steps[number]
                useless = step.optional and not self._readers_of(step) - taken
                if not useless and _explains(situation.cells, step.reads):
                    after = self._after(situation, number, at)
                    if after is not None:
                        yield self._settle(after, at)

    def _after(self, situation: Situation, number: int, at: int) -> Situation | None:
        """Return the situation after a step, ``None`` if it would overwrite what is needed."""
        step = self._steps[number]
        taken = situation.done | situation.used | {number}
        if any(self._keep(key, situation.cells[key], value, taken) for key, value in step.writes):
            return None
        for hidden in self._hidden_by(step, situation, taken):
            situation = self._effect(situation, hidden, at)
        return self._effect(situation, number, at)

    def _keep(self, key: int, old: bytes | None, new: bytes | None, taken: frozenset[int]) -> bool:
        """Return whether somebody must still read ``old``, which nobody else can write again."""
        readers = self._readers.get((key, old))
        if old == new or not readers or readers - self._optional <= taken:
            return False
        return self._writers.get((key, old), taken) <= taken

    def _effect(self, situation: Situation, number: int, at: int) -> Situation:
        """Return the situation in which a step has just taken effect."""
        cells, done, used, path = situation
        if number in self._optional:
            used |= {number}
        else:
            done |= {number}
        return Situation(
            _put(cells, self._steps[number].writes), done, used, Path(number, at, path)
        )

    def _hidden_by(self, step: Step, situation: Situation, taken: frozenset[int]) -> Iterator[int]:
        """Yield writes under way, each with all that read it, that ``step`` can overwrite unseen.

        It must overwrite all of their keys and see none of them.  All that still read their values
        must only read, be under way, and be explained at that moment.
        """
        overwritten = {key for key, _ in step.writes}.difference(key for key, _ in step.reads)
        cells = situation.cells
        for number in self._under_way:
            other = self._steps[number]
            if number in taken or other.reads or not other.writes:
                continue
            if not overwritten.issuperset(key for key, _ in other.writes):
                continue
            readers = self._readers_of(other) - taken
            after = _put(cells, other.writes)
            hides = all(self._reads_only(reader, after) for reader in readers)
            if hides and (readers or not other.optional):
                cells = after
                yield number
                yield from sorted(readers)

    def _readers_of(self, step: Step) -> set[int]:
        """Return the steps that have not returned and read what ``step`` writes."""
        return {reader for cell in step.writes for reader in self._readers.get(cell, ())}

    def _reads_only(self, number: int, cells: Map) -> bool:
        """Return whether a step is under way, writes nothing, and is explained by ``cells``."""
        step = self._steps[number]
        return not step.writes and number in self._under_way and _explains(cells, step.reads)

    def _settle(self, situation: Situation, at: int) -> Situation:
        """Let each read that the map explains now take effect."""
        for number in self._under_way:
            if number not in situation.done and self._reads_only(number, situation.cells):
                situation = self._effect(situation, number, at)
        return situation


def _explains(cells: Map, reads: Cells) -> bool:
    """Return whether a map holds what was read."""
    return all(cells[key] == value for key, value in reads)


def _put(cells: Map, writes: Cells) -> Map:
    """Return a map after some writes."""
    if not writes:
        return cells
    after = list(cells)
    for key, value in writes:
        after[key] = value
    return tuple(after)
