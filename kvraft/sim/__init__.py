"""A whole cluster in one process, under one seed: network, clocks and disks are simulated.

>>> from kvraft.sim import World
>>> world = World(members=3, seed=1)
>>> client = world.client("alice")
>>> client.put(b"greeting", b"hello").stage.value
'APPLIED'
>>> world.settle()
>>> {name: member.tree.get(b"greeting") for name, member in world.replicas.items()}
{'n1': b'hello', 'n2': b'hello', 'n3': b'hello'}
"""

from kvraft.sim.cluster import Cluster
from kvraft.sim.contention import ContentionResult, balances, contest, open_bank, stamps, transfers
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.elections import (
    LATENCY,
    Range,
    Trial,
    failed_first,
    middle,
    options_for,
    run_trials,
)
from kvraft.sim.lag import KEYS, CatchUp, a_follower, catch_up, write, write_for
from kvraft.sim.load import (
    SMALL,
    Amplification,
    NoCompaction,
    TreeLoad,
    TreeSample,
    amplification_of,
    drive,
    writes_of,
)
from kvraft.sim.mail import MessageFilter
from kvraft.sim.member import Member, entry_of_term
from kvraft.sim.network import Envelope, describe
from kvraft.sim.outages import WriteOutage, begun, lost_updates, outage, pauses, steps_of_a_write
from kvraft.sim.single_member import Gauge, SingleMember
from kvraft.sim.timeline import MILLI
from kvraft.sim.world import World

__all__ = [
    "KEYS",
    "LATENCY",
    "MILLI",
    "SMALL",
    "Amplification",
    "CatchUp",
    "Cluster",
    "ContentionResult",
    "Envelope",
    "Gauge",
    "Member",
    "MessageFilter",
    "NoCompaction",
    "PowerCut",
    "Range",
    "SimDisk",
    "SingleMember",
    "TreeLoad",
    "TreeSample",
    "Trial",
    "World",
    "WriteOutage",
    "a_follower",
    "amplification_of",
    "balances",
    "begun",
    "catch_up",
    "contest",
    "describe",
    "drive",
    "entry_of_term",
    "failed_first",
    "lost_updates",
    "middle",
    "open_bank",
    "options_for",
    "outage",
    "pauses",
    "run_trials",
    "stamps",
    "steps_of_a_write",
    "transfers",
    "write",
    "write_for",
    "writes_of",
]
