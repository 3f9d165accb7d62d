"""The verbs: all that can be done to a world from outside, in one table.

========= ========================================================================================
member    crash restart timeout pause resume transfer cancel_transfer set_clock add rebuild change
link      cut slow lossy clog repair
world     partition heal lose
message   drop duplicate delay deliver drop_all
disk      flush fill extend corrupt wipe break_disk cut_power slow_disk repair_disk switch_off
          copy_disk bring_copy lie_about_syncs misdirect remember_disk go_stale
client    put delete write get scan increment write_large retry dismiss
========= ========================================================================================

Those of members and disks are in runs/member_verbs.py, those of links and messages in
runs/traffic_verbs.py, those of clients in runs/client_verbs.py.
"""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.sim.runs.client_verbs import CLIENT_VERBS
from kvraft.sim.runs.member_verbs import DISK_VERBS, MEMBER_VERBS
from kvraft.sim.runs.traffic_verbs import LINK_VERBS, MESSAGE_VERBS
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
