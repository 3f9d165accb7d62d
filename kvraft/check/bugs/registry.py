"""All planted bugs by name: those of consensus, of storage and of the client library.

>>> find_bug("votes twice").consensus.__name__, find_bug("retries applied").replica.__name__
('VotesTwice', 'AppliesRetries')
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.check.bugs.client import CLIENT_BUGS
from kvraft.check.bugs.consensus import CONSENSUS_BUGS
from kvraft.check.bugs.storage import STORAGE_BUGS
from kvraft.client import Client
from kvraft.errors import BadInput
from kvraft.raft import Raft
from kvraft.replica import Replica


class Bug(NamedTuple):
    """A planted bug: the consensus module and the replica of every member, and its clients.

    One of the three has the bug, the others are correct.
    """

    name: str
    consensus: type[Raft] = Raft
    replica: type[Replica] = Replica
    client: type[Client] = Client


BUGS = {
    **{name: Bug(name, consensus=made) for name, made in CONSENSUS_BUGS.items()},
    **{name: Bug(name, replica=made) for name, made in STORAGE_BUGS.items()},
    **{name: Bug(name, client=made) for name, made in CLIENT_BUGS.items()},
}
"""The planted bugs by name."""


def find_bug(name: str) -> Bug:
    """Return the bug ``name``; raises :class:`~kvraft.errors.BadInput` if there is no such bug."""
    if name not in BUGS:
        raise BadInput(f"there is no planted bug {name!r}: {', '.join(BUGS)}")
    return BUGS[name]


def consensus_bug(name: str) -> type[Raft]:
    """Return the consensus module with the bug ``name``.

    Raises :class:`~kvraft.errors.BadInput` if there is no such bug, or if it is not
    in consensus.
    """
    bug = find_bug(name)
    if name not in CONSENSUS_BUGS:
        where = "storage" if name in STORAGE_BUGS else "the client"
        raise BadInput(f"the planted bug {name!r} is in {where}, but only consensus runs here")
    return bug.consensus
