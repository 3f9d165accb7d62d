"""Room."""

from kvraft.check.raft.checker import RaftChecker, watch
from kvraft.check.raft.seen import ObservedMember

__all__ = ["ObservedMember", "RaftChecker", "watch"]
