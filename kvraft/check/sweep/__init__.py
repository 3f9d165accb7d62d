"""Room."""

from kvraft.check.sweep.hunt import hunt
from kvraft.check.sweep.soak import MemberOutage, Soak, UsageSample, points, trends
from kvraft.check.sweep.swarm import run_seed, summary
from kvraft.check.sweep.usage import second_half, trend

__all__ = [
    "MemberOutage",
    "Soak",
    "UsageSample",
    "hunt",
    "points",
    "run_seed",
    "second_half",
    "summary",
    "trend",
    "trends",
]
