"""All planted bugs by name.

>>> find_bug("votes twice").consensus.__name__, find_bug("retries applied").replica.__name__
('VotesTwice', 'AppliesRetries')
>>> find_bug("late answers taken").client.__name__
'TakesLateAnswers'
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from kvraft.check.bugs import (
    applying,
    client,
    clocks,
    elections,
    log,
    membership,
    reads,
    replication,
    sessions,
    snapshots,
    tree,
)
from kvraft.client import Client
from kvraft.errors import BadInput
from kvraft.raft import Raft
from kvraft.replica import Replica

_PLACES: dict[str, dict[str, type]] = {
    "elections": {**elections.BUGS},
    "replication": {**replication.BUGS},
    "membership": {**membership.BUGS},
    "reads": {**reads.BUGS},
    "log": {**log.BUGS},
    "tree": {**tree.BUGS},
    "applying": {**applying.BUGS},
    "sessions": {**sessions.BUGS},
    "snapshots": {**snapshots.BUGS},
    "clocks": {**clocks.BUGS},
    "client": {**client.BUGS},
}


class Bug(NamedTuple):
    """A planted bug: the classes of members and clients, of which one has it.

    ``place`` is the part of the system where it is.
    """

    name: str
    consensus: type[Raft] = Raft
    replica: type[Replica] = Replica
    client: type[Client] = Client
    place: str = ""

    @property
    def planted(self) -> type:
        """The class that has the bug."""
        usual = (Raft, Replica, Client)
        found = (self.consensus, self.replica, self.client)
        return next(kind for kind in found if kind not in usual)


def _bug(name: str, place: str, kind: type) -> Bug:
    if issubclass(kind, Raft):
        return Bug(name, consensus=kind, place=place)
    if issubclass(kind, Replica):
        return Bug(name, replica=kind, place=place)
    assert issubclass(kind, Client)
    return Bug(name, client=kind, place=place)


BUGS = {
    name: _bug(name, place, kind)
    for place, kinds in _PLACES.items()
    for name, kind in kinds.items()
}
"""The planted bugs by name, place by place."""


def find_bug(name: str) -> Bug:
    """Return the bug ``name``; raises :class:`~kvraft.errors.BadInput` if there is no such bug."""
    if name not in BUGS:
        near = get_close_matches(name, BUGS, n=3, cutoff=0.4)
        like = f": is it {' or '.join(map(repr, near))}?" if near else ""
        raise BadInput(f"there is no planted bug {name!r}{like} (kvraft zoo lists all)")
    return BUGS[name]


def consensus_bug(name: str) -> type[Raft]:
    """Return the consensus module with the bug ``name``.

    Raises :class:`~kvraft.errors.BadInput` if there is no such bug, or if it is not in consensus.
    """
    bug = find_bug(name)
    if bug.consensus is Raft:
        what = f"the planted bug {name!r} is not in consensus, which alone runs here"
        raise BadInput(f"{what}: try kvraft swarm --bug {name!r}")
    return bug.consensus
