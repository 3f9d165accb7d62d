"""A replica on trial: what it raises is a verdict, and so is a member that is gone in the end.

The zoo shows that the other verdicts can be that something is broken.
"""

import pytest

from kvraft.check import Violation
from kvraft.check.sweep.judged import JudgedRun
from kvraft.check.trial import Outcome, Promise, judge_replica
from kvraft.replica import Replica
from kvraft.sim import Run


class Raises(Replica):
    """A member that fails in an input."""

    def submit(self, request):
        """Raise."""
        raise ZeroDivisionError("in the middle")


def test_what_it_raises_is_a_verdict():
    report = judge_replica(Raises, runs=1, shrinking=1)
    verdict = report.verdict(Promise.ANSWERS)
    assert verdict.outcome is Outcome.BROKEN
    assert "it raises ZeroDivisionError: in the middle" in verdict.what
    assert report.broken == [verdict]


def test_a_member_that_is_gone_after_all_repairs_is_found():
    run = Run(3, seed=1)
    judged = JudgedRun(run)
    run.run_until(lambda: run.world.leader() is not None)
    judged.repair()
    run.world.crash(next(name for name in run.members if name != run.world.leader()))
    with pytest.raises(Violation, match="after all repairs") as found:
        judged.end()
    assert found.value.property == "progress"
