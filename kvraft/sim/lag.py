"""A follower that is away for a while, and what it takes to bring it back.

A leader that still has the entries sends those; one that has truncated them sends a snapshot
(Raft §7).  :func:`measure_catch_up` measures both in bytes, in the same world each time::

    ──── writes ────┬─────────────── more writes ───────────────┬──── bytes sent to it ────
                    follower crashes           it is started again            it has it all

The number of keys is fixed, so the log grows with time and a snapshot does not.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.inputs import whole_number
from kvraft.raft import AppendEntries, InstallSnapshot
from kvraft.record import entry_size
from kvraft.replica import ReplicaOptions
from kvraft.sim.timeline import MILLISECOND
from kvraft.sim.world import World

KEY_COUNT = 100
"""How many keys are written, unless the caller asks for another number."""
VALUE_BYTES = 40


class CatchUp(NamedTuple):
    """What it took to bring back a follower that was ``away`` milliseconds.

    It lacked ``missed`` entries when it returned.  Then it was sent ``entries`` bytes of the log
    and ``snapshot`` bytes of snapshots, and had everything ``took`` microseconds after its return.
    """

    away: int
    missed: int
    entries: int
    snapshot: int
    took: int

    @property
    def sent(self) -> int:
        """The bytes that it was sent in all."""
        return self.entries + self.snapshot


def last_follower(world: World) -> str:
    """Return the running member with the highest name that does not lead."""
    return max(name for name in world.replicas if name != world.leader())


def write_values(
    world: World, count: int, *, client: str = "alice", keys: int = KEY_COUNT
) -> dict[bytes, bytes]:
    """Write ``count`` values by ``client``, each applied before the next; return keys and values.

    The keys are used in turn, starting at the end of the log, so that later calls overwrite the
    oldest values.
    """
    whole_number(count, "a number of writes", minimum=0)
    whole_number(keys, "the number of keys", minimum=1)
    start = max(replica.marks.last for replica in world.replicas.values())
    written = {}
    for number in range(start, start + count):
        key, value = b"key %04d" % (number % keys), b"%d " % number * VALUE_BYTES
        written[key] = value[:VALUE_BYTES]
        world.client(client).put(key, written[key])
    return written


def write_values_for(
    world: World, millis: int, *, client: str = "alice", keys: int = KEY_COUNT
) -> None:
    """Write by ``client`` for ``millis`` milliseconds, as fast as the cluster answers."""
    until = world.now + whole_number(millis, "a time to write for", minimum=0) * MILLISECOND
    while world.now < until:
        write_values(world, 1, client=client, keys=keys)


def measure_catch_up(
    away: int, options: ReplicaOptions, *, seed: int = 0, keys: int = KEY_COUNT
) -> CatchUp:
    """Return what it takes to bring a follower back that was ``away`` milliseconds.

    Raises :class:`~kvraft.errors.BadInput` for a time below 0.
    """
    whole_number(keys, "the number of keys", minimum=1)
    if whole_number(away, "how long a follower is away, in ms,") < 0:
        raise BadInput(f"a follower cannot be away for {away} ms")
    world = World(3, seed=seed, options=options)
    write_values(world, 2 * keys, keys=keys)
    world.settle()
    name = last_follower(world)
    world.crash(name)
    write_values_for(world, away, keys=keys)
    world.restart(name)
    leader = world.replicas[world.leader() or ""]
    goal, began = leader.marks.last, world.now
    missed = goal - world.replicas[name].marks.last
    entries = snapshot = seen = 0
    while world.replicas[name].marks.applied < goal:
        world.step()
        for id, _, message in world.in_flight:
            if id > seen and message.to == name:
                seen = id
                if isinstance(message, AppendEntries):
                    entries += sum(map(entry_size, message.entries))
                elif isinstance(message, InstallSnapshot):
                    snapshot += len(message.data)
    return CatchUp(away, missed, entries, snapshot, world.now - began)
