"""Scenarios: situations in a cluster, written by hand in a text file, played and checked.

A scenario is a story of one step a line, with what is expected in between.  The first line is its
title; lines that begin with ``#`` are prose.  Set-up comes first::

    members s1 s2 s3            the voters; perhaps also: learners s4
    options pre_vote=no         any of contract.Options; yes, no or a number
    log s1: 1 1 2               a log to begin with, as the terms of its entries
    term s1: 3, vote s2         a term, and perhaps a vote, to begin with
    bug older terms counted     a bug of planted.py that all members have
    unwatched one vote a term   a property of properties.py that is let pass; one a line
    seed 7

Then steps.  ``WHICH`` messages are meant is said by any of ``KIND``, ``from s1``, ``to s2`` and
``number 5``; nothing means all that are in flight::

    timeout s1                  deliver WHICH           propose s1 x y
    tick s1 3                   drop WHICH              change s1 to s1 s2 s3 learners s4
    run 30                      duplicate WHICH         transfer s1 to s2
    crash s1                    settle                  read s1 1
    restart s1                  partition s1 s2 | s3    snapshot s1 5
    add s4                      sever s1 to s2          refuse NotLeader propose s2 x
                                heal

``run`` lets ticks pass for everybody; all else is by hand (sim/cluster.py).  ``sever`` cuts a link
in one direction, ``snapshot`` cuts a log, and ``refuse`` is a step that raises that error.  What is
expected::

    expect leader s1            or none
    expect flying WHICH         or: expect not flying WHICH
    expect s1 leader, term 3, log 1 1 2, commit 2
    violation leader completeness

Of a member may be expected its role (``leader``, ``follower`` … ``down``), ``term 3``, ``vote s1``,
``knows s1`` (as leader), ``log 1 1 2`` (terms), ``base 5`` (where its log was cut), ``commit 2``,
``applied x y`` (keys), ``voters s1 s2``, ``outgoing …``, ``learners …``, ``lease yes``, ``decided
2-3 committed``, ``read 1 served 4`` (``failed``, ``waiting``), ``refused KIND``, ``sends s2
snapshot`` (how it sends to that follower).  ``none`` stands for nothing.

Every step is watched (raft/raft.py).  A ``violation`` is expected of the step before it; it ends
the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from kvraft.check.properties import Property, Violation
from kvraft.check.raft import watch
from kvraft.check.scenario.expect import UnmetExpectation
from kvraft.check.scenario.grammar import Line, Setup, read
from kvraft.errors import BadInput, KvraftError
from kvraft.raft import Configuration, Raft
from kvraft.sim import Cluster

__all__ = ["PlayedScenario", "Scenario", "UnmetExpectation", "load", "names", "parse"]

_PACKAGE = Path(str(files("kvraft"))).resolve()
_INSTALLED = _PACKAGE / "data" / "scenarios"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "data" / "scenarios"
"""Where the scenarios lie that come with kvraft: in the package, or beside it in a checkout."""


class PlayedScenario(NamedTuple):
    """How a scenario went.

    ``violation`` is the one that was expected.  ``stops`` has for each line that was done the
    number of the trace's last step by then, and the line.
    """

    cluster: Cluster
    violation: Violation | None
    stops: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that was read; ``prose`` is what stands before its first step."""

    name: str
    title: str
    prose: str
    setup: Setup
    lines: tuple[Line, ...]
    violation: Property | None
    """What the last line is expected to break."""

    def cluster(self, *, consensus: type[Raft] | None = None, trace: bool = True) -> Cluster:
        """Return the cluster that it begins with, perhaps with another consensus module."""
        setup = self.setup
        return Cluster(
            Configuration(tuple(setup.members), (), tuple(setup.learners)),
            seed=setup.seed,
            options=setup.options,
            consensus=consensus or setup.consensus,
            logs=setup.logs,
            hard_states=setup.hard_states,
            trace=trace,
        )

    def play(
        self,
        *,
        consensus: type[Raft] | None = None,
        on_line: Callable[[Cluster, str], object] = lambda cluster, line: None,
    ) -> PlayedScenario:
        """Let it happen, perhaps with another consensus module.

        ``tell`` is called before the first line, with ``""``, and after each, with its text.
        Raises :class:`UnmetExpectation` where something is not as expected,
        :class:`~kvraft.check.Violation` where a property is broken unexpectedly, and
        :class:`~kvraft.errors.BadInput` where a step cannot be done; each names file and line.
        """
        cluster = self.cluster(consensus=consensus)
        watch(cluster, but=self.setup.unwatched)
        stops: list[tuple[int, str]] = []
        on_line(cluster, "")
        for line in self.lines:
            try:
                broken = self._do(line, cluster)
            finally:
                on_line(cluster, line.text)
            stops.append((len(cluster.trace) - 1, line.text))
            if broken is not None:
                if line is not self.lines[-1] or broken.property != self.violation:
                    raise broken
                return PlayedScenario(cluster, broken, tuple(stops))
        if self.violation is not None:
            raise UnmetExpectation(
                f"{self.name}: expected a violation of {self.violation}\n{cluster}"
            )
        return PlayedScenario(cluster, None, tuple(stops))

    def _do(self, line: Line, cluster: Cluster) -> Violation | None:
        """Do one line; return the violation, if that is what it brings about."""
        where = f"{self.name}, line {line.number}: {line.text}"
        try:
            line.action(cluster)
        except UnmetExpectation as error:
            raise UnmetExpectation(f"{where}\n{error}\n{cluster}") from None
        except Violation as error:
            return Violation(error.property, error.members, f"{error.what} ({where})")
        except KvraftError as error:
            raise BadInput(f"{where}: {error}") from error
        return None


def parse(text: str, name: str = "scenario") -> Scenario:
    """Read a scenario; raises :class:`~kvraft.errors.BadInput` naming ``name`` and the line."""
    return Scenario(name, *read(text, name))


def names() -> list[str]:
    """Return the names of the scenarios in the folder ``data/scenarios``."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load(name: str) -> Scenario:
    """Read the scenario called ``name`` from ``data/scenarios``, or from the file of that path.

    Raises :class:`~kvraft.errors.BadInput` if there is none, or none such.
    """
    path = Path(name) if name.endswith(".txt") else FOLDER / f"{name}.txt"
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        known = ", ".join(names())
        raise BadInput(f"there is no scenario {name!r}; in data/scenarios are: {known}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no text in UTF-8") from None
