"""What survives: a crash at every call, the death of a leader at every step, the log that is kept.

::

    crashes         one store: a crash during each of its disk calls, and what is there afterwards
    leader_deaths   three members: the leader dies at each step of one transaction
    retention       any trace: was each log segment that was dropped free to go?

Invariants:

- After a crash the store holds the first *n* writes, none of them in part, and at least all that
  were durable.
- A transaction is held in full or not at all, by every member at every step.
- What is in no durable table is in the log.

Source: Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014 (crash at every call).
"""

from kvraft.check.storage.crashes import (
    WORKLOAD,
    Call,
    CrashOutcome,
    RecordingDisk,
    StoreContents,
    WorkloadStep,
    WorstCase,
    apply_step,
    contents_after_each_write,
    crash_during,
    crash_everywhere,
    disk_calls,
    reopen_store,
)
from kvraft.check.storage.leader_deaths import (
    OPTIONS,
    SEED,
    CopyEnd,
    LeaderDeath,
    count_steps,
    flush_all,
    force_snapshot,
    keys_held,
    kill_leader_at,
    kill_leader_everywhere,
    log_bytes,
    restart_others,
)
from kvraft.check.storage.retention import RetentionChecker, RetentionProperty

__all__ = [
    "OPTIONS",
    "SEED",
    "WORKLOAD",
    "Call",
    "CopyEnd",
    "CrashOutcome",
    "LeaderDeath",
    "RecordingDisk",
    "RetentionChecker",
    "RetentionProperty",
    "StoreContents",
    "WorkloadStep",
    "WorstCase",
    "apply_step",
    "contents_after_each_write",
    "count_steps",
    "crash_during",
    "crash_everywhere",
    "disk_calls",
    "flush_all",
    "force_snapshot",
    "keys_held",
    "kill_leader_at",
    "kill_leader_everywhere",
    "log_bytes",
    "reopen_store",
    "restart_others",
]
