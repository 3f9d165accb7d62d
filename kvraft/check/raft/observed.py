"""The members as the checkers of consensus see them: now, and when they were last checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kvraft.check.properties import Property, Violation
from kvraft.raft import Configuration, Log, Raft
from kvraft.record import Entry, HardState


class ObservedMember(NamedTuple):
    """A member at one moment."""

    raft: Raft | None  # None while it is down
    hard_state: HardState  # on its disk
    log: Log  # on its disk, through ``durable``
    durable: int
    applied: Sequence[Entry] = ()  # every entry from index 1 on; empty where that is not observed
    paused: bool = False  # it stands still or has just woken: it does not know the time yet


@dataclass(slots=True)
class PreviousState:
    """A member as it was when it was last checked."""

    raft: Raft | None = None
    log: Log = field(default_factory=Log)
    hard_state: HardState = field(default_factory=HardState)
    commit: int = 0
    led: int = 0  # the term that it led, or 0
    configurations: list[tuple[int, Configuration]] = field(default_factory=list)
    new: list[Entry] = field(default_factory=list)  # configurations not checked yet


class ObservedMembers:
    """All members: ``names`` returns their names, up or down, and ``look`` shows one of them.

    The properties in ``but`` may be broken: a broken property often breaks another one a little
    later, and that may be the one of interest.
    """

    def __init__(
        self,
        look: Callable[[str], ObservedMember],
        names: Callable[[], Iterable[str]],
        but: Sequence[Property],
    ) -> None:
        self.look = look
        self.names = names
        self._but = but

    def fail(self, property: Property, members: Sequence[str], what: str) -> None:
        """Raise :class:`Violation`, unless the property may be broken."""
        if property not in self._but:
            raise Violation(property, members, what)

    def running(self, *, awake: bool = False) -> list[Raft]:
        """Return the consensus modules of all running members, or of those that do not stand still.

        Time passes for who stands still, too, and before it acts again it takes all of it.
        """
        seen = map(self.look, self.names())
        return [each.raft for each in seen if each.raft and not (awake and each.paused)]

    def holds(self, name: str, entry: Entry) -> bool:
        """Return whether a member holds ``entry`` on disk and, if it runs, in its log."""
        if name not in self.names():
            return False
        seen = self.look(name)
        held = entry.index <= seen.durable and covers(seen.log, entry)
        return held and (seen.raft is None or covers(seen.raft.log, entry))


def entry_at(log: Log, index: int) -> Entry:
    """Return the entry at ``index``, which ``log`` must hold."""
    return log.slice(index, index)[0]


def covers(log: Log, entry: Entry) -> bool:
    """Return whether ``log`` holds ``entry``, or begins after its place."""
    return entry.index <= log.base.index or log.has(entry.index, entry.term)


def place(entry: Entry) -> str:
    """Return how messages name an entry."""
    return f"entry {entry.index} of term {entry.term}"
