"""Whole clusters in one process, under one seed: network, clocks and disks are simulated.

There are two worlds.  In a :class:`World` members are complete, with a disk each, and simulated
time decides what happens next.  A :class:`Cluster` has consensus alone, and *you* decide which
message arrives and whose timer runs out.  A :class:`SingleMember` is a cluster of one, driven write
by write::

    World ───────────────────► Seat ──► Replica     Cluster ──► Member ──► Raft     SingleMember
    world.py                   seat.py              cluster.py  member.py           single_member.py
     ├─ what is done to it     environment.py   (its input: inbox.py)                    │
     ├─ clients                clients.py            └─ messages in flight               │
     ├─ messages               carrier.py               and links      mail.py           │
     ├─ delays, partitions     network.py                                                │
     ├─ time                   timeline.py                                               │
     └─ disks ──────────────── disk.py, file.py, distrust.py ─────────────────────────────┘

A :class:`Run` (runs/) is a world together with all that was done to it: it can be replayed, forked
at any moment, and saved.

The other files are the lessons' experiments.  Each measures one thing, in worlds of its own:

- ``elections.py``: how long a cluster is without a leader (Raft Figure 16);
- ``lag.py``: what it takes to bring a follower back that was away;
- ``outages.py``: what a client knows of a write whose leader dies on the way;
- ``contention.py``: how often transactions on the same keys conflict;
- ``load.py``: what a strategy of compaction costs a tree.

Invariants:

- The same seed and the same calls give the same trace, byte for byte, on every machine.
- A message is delivered or lost, once.
- After a crash a disk holds what was synced.  What was not synced may be there or not.

Sources: FoundationDB's deterministic simulation; Pillai et al., *All File Systems Are Not Created
Equal* (ALICE), OSDI 2014 (disks); Raft §9.3 (elections).

>>> world = World(members=3, seed=1)
>>> client = world.client("alice")
>>> client.put(b"greeting", b"hello").stage.value
'APPLIED'
>>> world.settle()
>>> {name: member.tree.get(b"greeting") for name, member in world.replicas.items()}
{'n1': b'hello', 'n2': b'hello', 'n3': b'hello'}
"""

from kvraft.sim.cluster import Cluster
from kvraft.sim.contention import (
    ContentionResult,
    account_balances,
    applied_timestamps,
    measure_conflicts,
    open_bank,
    run_transfers,
)
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.elections import (
    PAPER_LATENCY,
    OutageTrial,
    TimeoutRange,
    failed_first_share,
    median_trial,
    paper_options,
    run_election_trials,
)
from kvraft.sim.lag import (
    KEY_COUNT,
    CatchUp,
    last_follower,
    measure_catch_up,
    write_values,
    write_values_for,
)
from kvraft.sim.load import (
    SMALL_TREE,
    Amplification,
    NoCompaction,
    TreeLoad,
    TreeSample,
    amplification_of,
    random_writes,
    run_load,
)
from kvraft.sim.mail import MessageFilter
from kvraft.sim.member import Member, entry_of_term
from kvraft.sim.network import summarize_message
from kvraft.sim.outages import (
    WriteOutage,
    count_write_steps,
    lost_updates,
    measure_write_outage,
    retry_pauses,
    world_with_client,
)
from kvraft.sim.runs import (
    LONGEST_RUN,
    MOST_ACTIONS,
    VERBS,
    Action,
    Argument,
    NotNow,
    Parameter,
    ParameterKind,
    Run,
    RunRecord,
    Target,
    Verb,
    options_from_json,
    parse_run,
    read_run,
)
from kvraft.sim.seat import SYNC, DrainStep, Seat
from kvraft.sim.single_member import Gauge, SingleMember
from kvraft.sim.timeline import MILLISECOND, TICK
from kvraft.sim.world import World

__all__ = [
    "KEY_COUNT",
    "LONGEST_RUN",
    "MILLISECOND",
    "MOST_ACTIONS",
    "PAPER_LATENCY",
    "SMALL_TREE",
    "SYNC",
    "TICK",
    "VERBS",
    "Action",
    "Amplification",
    "Argument",
    "CatchUp",
    "Cluster",
    "ContentionResult",
    "DrainStep",
    "Gauge",
    "Member",
    "MessageFilter",
    "NoCompaction",
    "NotNow",
    "OutageTrial",
    "Parameter",
    "ParameterKind",
    "PowerCut",
    "Run",
    "RunRecord",
    "Seat",
    "SimDisk",
    "SingleMember",
    "Target",
    "TimeoutRange",
    "TreeLoad",
    "TreeSample",
    "Verb",
    "World",
    "WriteOutage",
    "account_balances",
    "amplification_of",
    "applied_timestamps",
    "count_write_steps",
    "entry_of_term",
    "failed_first_share",
    "last_follower",
    "lost_updates",
    "measure_catch_up",
    "measure_conflicts",
    "measure_write_outage",
    "median_trial",
    "open_bank",
    "options_from_json",
    "paper_options",
    "parse_run",
    "random_writes",
    "read_run",
    "retry_pauses",
    "run_election_trials",
    "run_load",
    "run_transfers",
    "summarize_message",
    "world_with_client",
    "write_values",
    "write_values_for",
]
