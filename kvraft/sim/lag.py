"""A follower that is away for a while, and what it takes to bring it back.

A leader that still has the entries sends those; one that has cut them sends a snapshot instead
(Raft §7).  :func:`catch_up` measures both in bytes, in a world that is the same each time::

    ──── writes ────┬─────────────── more writes ───────────────┬──── bytes sent to it ────
                    follower crashes           it is started again            it has it all

The map that is written has a fixed number of keys.  So what a snapshot weighs does not grow with
time, and the log does.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.inputs import whole_number
from kvraft.raft import AppendEntries, InstallSnapshot
from kvraft.record import entry_size
from kvraft.replica import ReplicaOptions
from kvraft.sim.timeline import MILLI
from kvraft.sim.world import World

KEYS = 100
VALUE_BYTES = 40


class CatchUp(NamedTuple):
    """What became of a follower that was ``away`` so many milliseconds.

    It lacked ``missed`` entries when it came back.  From then on it was sent ``entries`` bytes of
    the log and ``snapshot`` bytes of snapshots, and had everything after ``took`` microseconds.
    """

    away: int
    missed: int
    entries: int
    snapshot: int
    took: int

    @property
    def sent(self) -> int:
        """The bytes of content it was sent in all."""
        return self.entries + self.snapshot


def a_follower(world: World) -> str:
    """Return the running member with the highest name that does not lead."""
    return max(name for name in world.replicas if name != world.leader())


def write(
    world: World, count: int, *, client: str = "alice", keys: int = KEYS
) -> dict[bytes, bytes]:
    """Let ``client`` write ``count`` values, one after another, each applied before the next.

    Return what was written.  The keys go round, beginning where the log ends, so that writing on
    overwrites the oldest.
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


def write_for(world: World, millis: int, *, client: str = "alice", keys: int = KEYS) -> None:
    """Let ``client`` write for ``millis`` milliseconds, as fast as the cluster answers."""
    until = world.now + whole_number(millis, "a time to write for", minimum=0) * MILLI
    while world.now < until:
        write(world, 1, client=client, keys=keys)


def catch_up(away: int, options: ReplicaOptions, *, seed: int = 0, keys: int = KEYS) -> CatchUp:
    """Return what it takes to bring a follower back that was ``away`` milliseconds.

    Raises :class:`~kvraft.errors.BadInput` for a time below 0.
    """
    whole_number(keys, "the number of keys", minimum=1)
    if whole_number(away, "how long a follower is away, in ms,") < 0:
        raise BadInput(f"nobody is away for {away} ms")
    world = World(3, seed=seed, options=options)
    write(world, 2 * keys, keys=keys)
    world.settle()
    name = a_follower(world)
    world.crash(name)
    write_for(world, away, keys=keys)
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
