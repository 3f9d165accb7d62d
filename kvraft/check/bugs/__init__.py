"""Room."""

from kvraft.check.bugs.consensus import OlderTermsCounted
from kvraft.check.bugs.registry import Bug, consensus_bug, find_bug
from kvraft.check.bugs.storage import (
    AppliesRetries,
    ChecksBeforeAppending,
    CountsIncarnations,
    StampsNotRaised,
    UndoesWhatItBegan,
)

__all__ = [
    "AppliesRetries",
    "Bug",
    "ChecksBeforeAppending",
    "CountsIncarnations",
    "OlderTermsCounted",
    "StampsNotRaised",
    "UndoesWhatItBegan",
    "consensus_bug",
    "find_bug",
]
