"""Room."""

from kvraft.check.explore.explorer import NO_TIME, ExplorationReport, explore
from kvraft.check.explore.state_space import ExplorationBounds

__all__ = ["NO_TIME", "ExplorationBounds", "ExplorationReport", "explore"]
