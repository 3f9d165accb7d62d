"""Consensus: one member's part in Raft, as a pure state machine.

Messages, ticks and proposals go in; what must be made durable, what may be sent and what is
committed comes out.  There is no socket, file, thread, clock or randomness of its own in here: time
comes as ticks, randomness from a given generator.  So the same code runs in a notebook, a
simulator, a model checker and a server.  The loop that its owner runs is in ``raft/raft.py``, what
else the owner must do in ``raft/interface.py``.

Each file imports only from those below it::

    raft                 Raft: what a user calls; which part takes an input
     │
     ├─► election        timeouts, pre-votes, votes, leader stickiness
     ├─► follower        taking a leader's entries and snapshots
     └─► leader          proposals, commitment, changes of members, transfer, reads
           └─► replication    what followers are sent, and what their answers mean
                 └─► progress      one follower: probe, replicate or snapshot
     ┌──── each part acts on
     ▼
    core                 term, vote, role, configurations, commit index, election timer
     ├─► outbox          the next Ready, and how far the Readies before it have come
     └─► proposals, reads, incoming    what waits: proposals, reads, a snapshot in part

    safety               the two rules: who gets a vote, what is committed
    interface            options, Ready, Status
    log                  the newest entries in memory, older ones on disk
    messages             the RPCs, and which are malformed
    admission, quorum    which records may be in a log; configurations and majorities

Invariants that cross the files (Raft Figure 3 follows from them):

- Nothing that depends on a term, a vote or an entry of this member leaves before that term, vote or
  entry is durable.  (What a leader appends does not depend on its own disk.)
- A leader only appends to its log.  A follower drops entries only where they conflict with the
  leader's, and never at or below its commit index.
- An entry counts for a member, the leader included, only once it is durable there; and only
  entries of the leader's own term are committed by counting (§5.4.2).
- The configuration in force is the newest in the log, and a new change does not begin before the
  last one is committed (§6).
- A leader accepts exactly the records that its followers accept: ``raft/admission.py`` has the rule
  for both.
- A read is served, or has failed, within two election timeouts.
- No message, whatever is in it, raises an exception; one that no correct member would send changes
  nothing and is reported as :class:`~kvraft.events.MessageRejected`.

Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
Version)*, 2014, here "Raft"; Ongaro, *Consensus: Bridging Theory and Practice*, 2014, here
"thesis".  ``notebooks/book/figure2.md`` goes through Figure 2 sentence by sentence: the function,
the test, and what differs.
"""

from kvraft.raft import safety
from kvraft.raft.core import Core, Timer
from kvraft.raft.election import Election
from kvraft.raft.follower import Follower
from kvraft.raft.incoming import IncomingSnapshot
from kvraft.raft.interface import (
    DecidedProposal,
    FollowerStatus,
    ProposalOutcome,
    RaftOptions,
    ReadReady,
    Ready,
    ReceivedSnapshot,
    Role,
)
from kvraft.raft.leader import Leadership
from kvraft.raft.log import Log
from kvraft.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
    malformed_reason,
)
from kvraft.raft.outbox import Outbox
from kvraft.raft.progress import Progress, ProgressState
from kvraft.raft.proposals import OpenProposals
from kvraft.raft.quorum import Configuration, committed_index
from kvraft.raft.raft import Raft
from kvraft.raft.reads import ForwardedReads, Lease, RemoteReader, WaitingRead, WaitingReads
from kvraft.raft.replication import Replication

__all__ = [
    "AppendEntries",
    "AppendEntriesReply",
    "Configuration",
    "DecidedProposal",
    "FollowerStatus",
    "InstallSnapshot",
    "InstallSnapshotReply",
    "Log",
    "Message",
    "PreVote",
    "PreVoteReply",
    "ProgressState",
    "ProposalOutcome",
    "Raft",
    "RaftOptions",
    "ReadIndex",
    "ReadIndexReply",
    "ReadReady",
    "Ready",
    "ReceivedSnapshot",
    "RequestVote",
    "RequestVoteReply",
    "Role",
    "TimeoutNow",
    "malformed_reason",
]

# The parts, which no owner needs: planted bugs change them, and the explorer copies them.
__all__ += [
    "Core",
    "Election",
    "Follower",
    "ForwardedReads",
    "IncomingSnapshot",
    "Leadership",
    "Lease",
    "OpenProposals",
    "Outbox",
    "Progress",
    "RemoteReader",
    "Replication",
    "Timer",
    "WaitingRead",
    "WaitingReads",
    "committed_index",
    "safety",
]
