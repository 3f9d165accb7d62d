"""Room."""

from kvraft.check.scenario import scenario
from kvraft.check.scenario.grammar import Line
from kvraft.check.scenario.scenario import load

__all__ = ["Line", "load", "scenario"]
