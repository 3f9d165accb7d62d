"""Room."""

from kvraft.raft import safety
from kvraft.raft.core import Core, Timer
from kvraft.raft.election import Election
from kvraft.raft.fates import OpenProposals
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
from kvraft.raft.quorum import Configuration, committed_index
from kvraft.raft.raft import Raft
from kvraft.raft.reads import ForwardedReads, Lease, RemoteReader, WaitingRead, WaitingReads
from kvraft.raft.replication import Replication

__all__ = [
    "AppendEntries",
    "AppendEntriesReply",
    "Configuration",
    "Core",
    "DecidedProposal",
    "Election",
    "Follower",
    "FollowerStatus",
    "ForwardedReads",
    "IncomingSnapshot",
    "InstallSnapshot",
    "InstallSnapshotReply",
    "Leadership",
    "Lease",
    "Log",
    "Message",
    "OpenProposals",
    "Outbox",
    "PreVote",
    "PreVoteReply",
    "Progress",
    "ProgressState",
    "ProposalOutcome",
    "Raft",
    "RaftOptions",
    "ReadIndex",
    "ReadIndexReply",
    "ReadReady",
    "Ready",
    "ReceivedSnapshot",
    "RemoteReader",
    "Replication",
    "RequestVote",
    "RequestVoteReply",
    "Role",
    "TimeoutNow",
    "Timer",
    "WaitingRead",
    "WaitingReads",
    "committed_index",
    "malformed_reason",
    "safety",
]
