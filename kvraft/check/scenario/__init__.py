"""Room."""

from kvraft.check.scenario.grammar import Line
from kvraft.check.scenario.scenario import Scenario, load, names, parse

__all__ = ["Line", "Scenario", "load", "names", "parse"]
