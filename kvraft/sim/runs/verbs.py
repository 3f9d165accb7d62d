"""The verbs: all that can be done to a world from outside, in one table.

========= ========================================================================================
member    crash restart timeout pause resume transfer cancel_transfer set_clock add rebuild change
link      cut slow lossy clog repair
world     partition heal
message   drop duplicate delay deliver
disk      flush fill extend corrupt wipe
client    put delete write get
========= ========================================================================================

Those of members and disks are in runs/member_verbs.py, the others in runs/traffic_verbs.py.
"""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.sim.runs.member_verbs import DISK_VERBS, MEMBER_VERBS
from kvraft.sim.runs.traffic_verbs import CLIENT_VERBS, LINK_VERBS, MESSAGE_VERBS
from kvraft.sim.runs.verb import Verb

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (*MEMBER_VERBS, *LINK_VERBS, *MESSAGE_VERBS, *DISK_VERBS, *CLIENT_VERBS)
}
"""All verbs, by name."""


def find_verb(name: object) -> Verb:
    """Return the verb of that name; ``BadInput`` if there is none."""
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        raise BadInput(f"there is no verb {name!r:.60}: {', '.join(VERBS)}")
    return verb
