"""The plug-in of pytest: somebody's own Raft on trial, with a test for each property.

::

    pytest --kvraft-raft mymodule:MyRaft              pytest --kvraft-command "node myraft.js"
      kvraft::answers that make sense  PASSED
      kvraft::election safety          PASSED
      kvraft::one vote a term          FAILED         with the steps that break it
      kvraft::fresh reads              SKIPPED        what is not there is not tried

The trial runs once, when the first of these tests does.  ``--kvraft-json`` writes its report.  Then
there are two fixtures as well: ``cluster``, three members of the class on trial, and ``world``,
three complete members of kvraft's own; everything in them is checked after each step.

Invariant: without one of the two options nothing is loaded, and nothing is there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kvraft", "a Raft on trial (kvraft)")
    group.addoption("--kvraft-raft", metavar="CLASS", help="judge this class: mymodule:MyRaft")
    group.addoption("--kvraft-command", metavar="LINE", help="judge what this command starts")
    group.addoption("--kvraft-runs", type=int, metavar="N", help="how many runs (200, or 30)")
    group.addoption("--kvraft-json", metavar="FILE", help="write the report there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Put on trial what the options name, if they name anything."""
    raft, command = config.getoption("kvraft_raft"), config.getoption("kvraft_command")
    if raft and command:
        raise pytest.UsageError("--kvraft-raft or --kvraft-command, not both")
    if raft or command:
        config.pluginmanager.register(_Trial(config), "kvraft trial")


class _Trial:
    """The tests and fixtures of one session, and the report that they share."""

    def __init__(self, config: pytest.Config) -> None:
        self._raft: str | None = config.getoption("kvraft_raft")
        self._command: str | None = config.getoption("kvraft_command")
        self._runs: int | None = config.getoption("kvraft_runs")
        self._json: str | None = config.getoption("kvraft_json")
        self._report: Any = None

    @property
    def report(self) -> Any:
        """The report; the trial runs when it is needed first."""
        if self._report is None:
            from kvraft.trial import judge_apart, judge_command

            if self._command is not None:
                self._report = judge_command(self._command, runs=self._runs)
            else:
                self._report = judge_apart(self._raft or "", runs=self._runs)
            if self._json is not None:
                text = json.dumps(self._report.to_json(), indent=2)
                Path(self._json).write_text(text + "\n", encoding="utf-8")
        return self._report

    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add a test for each property."""
        from kvraft.check.trial import CONSENSUS

        parent = _Properties.from_parent(session, name="kvraft")
        for name in CONSENSUS:
            items.append(_Property.from_parent(parent, name=str(name), trial=self))

    @pytest.fixture
    def cluster(self) -> Any:
        """A cluster of three members of the class on trial, checked after each step."""
        from kvraft.check.raft import watch
        from kvraft.check.trial import consensus_named
        from kvraft.sim import Cluster

        if self._raft is None:
            pytest.skip("a cluster needs a class: --kvraft-raft")
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        cluster = Cluster(3, consensus=consensus_named(self._raft))
        watch(cluster)
        return cluster

    @pytest.fixture
    def world(self) -> Iterator[Any]:
        """A world of three complete members of kvraft's own, checked after each step."""
        from kvraft.check import WorldChecker
        from kvraft.sim import World

        class CheckedWorld(World):
            def stepped(self) -> None:
                checker.check()

        world = CheckedWorld(3, seed=1)
        checker = WorldChecker(world)
        yield world
        world.close()


class _Properties(pytest.Collector):
    """What the tests of the properties belong to."""

    def collect(self) -> list[pytest.Item]:
        """Return nothing: the tests are added when all others are collected."""
        return []


class _Broken(Exception):
    """A property is broken, or cannot be judged here; the text says how."""


class _Property(pytest.Item):
    """The test of one property."""

    def __init__(self, *, trial: _Trial, **named: Any) -> None:
        super().__init__(**named)
        self._trial = trial

    def runtest(self) -> None:
        """Fail if the property is broken, and be skipped if it was not tried."""
        report = self._trial.report
        if report.kind != "consensus":  # its properties are others than those of these tests
            raise _Broken(f"{report.subject} is a {report.kind}: kvraft check judges it")
        verdict = report.verdict(self.name)
        self.user_properties.append(("kvraft", verdict.to_json()["outcome"]))
        if verdict.outcome == "not tried":
            pytest.skip(verdict.what)
        if verdict.outcome == "broken":
            steps = "\n".join(f"  {line}" for line, _ in verdict.lines)
            raise _Broken(f"{self.name} is broken in run {verdict.run}:\n{steps}\n  {verdict.what}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        """Return how it is broken, or the one sentence that says why nothing was judged."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, int, str]:
        """Return what a line of pytest's names."""
        return "kvraft", 0, f"kvraft: {self.name}"
