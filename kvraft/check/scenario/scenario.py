"""Scenarios: situations in a cluster, written by hand in a text file, played and checked.

A scenario has one step a line, with expectations in between.  The first line is its title; lines
that begin with ``#`` are prose.  Set-up comes first::

    members s1 s2 s3            the voters; optionally also: learners s4
    options pre_vote=no         any of RaftOptions; yes, no or a number
    log s1: 1 1 2               an initial log, as the terms of its entries
    term s1: 3, vote s2         an initial term, optionally with a vote
    bug older terms counted     a planted bug (check/bugs) that every member has
    unwatched one vote a term   a property of check/properties.py that may break; one a line
    latency 1 6                 how many ticks messages take by clock, at least and at most
    seed 7

Then come the steps.  ``WHICH`` selects messages in flight by any of ``KIND``, ``from s1``,
``to s2`` and ``number 5``; without any, it selects all::

    timeout s1                  deliver WHICH           propose s1 x y
    tick s1 3                   drop WHICH              change s1 to s1 s2 s3 learners s4
    run 30                      duplicate WHICH         transfer s1 to s2
    crash s1                    settle                  read s1 1
    restart s1                  partition s1 s2 | s3    snapshot s1 5
    add s4                      sever s1 to s2          refuse NotLeader propose s2 x
                                heal

``run`` makes ticks pass for all members; everything else is by hand (sim/cluster.py).  ``crash s1
after begin``, or ``after save``, is a crash between two steps of its next drain.  ``sever`` cuts a
link in one direction, ``snapshot`` truncates a log, and ``refuse`` expects that its step
raises that error.  Expectations::

    expect leader s1            or: expect leader none
    expect flying WHICH         such messages are in flight; or: expect not flying WHICH
    expect s1 leader, term 3, log 1 1 2, commit 2
    violation leader completeness

Expectations of a member are its role (``leader``, ``follower`` … ``down``), ``term 3``, ``vote
s1``, ``knows s1`` (as leader), ``log 1 1 2`` (terms), ``base 5`` (where its log was truncated),
``commit 2``, ``applied x y`` (keys), ``voters s1 s2``, ``outgoing …``, ``learners …``, ``lease
yes``, ``decided 2-3 committed``, ``read 1 served 4`` (or ``failed``, ``waiting``), ``refused KIND``
(messages that it refused), ``sends s2 snapshot`` (how it sends to that follower).  ``none`` means
an empty value.

This is one language and a run file (sim/runs/) is another: a scenario is written by hand, decides
each arrival in a cluster without time, and says what it expects; a run file records, for
a world with time and disks, what was done to it and when.  ``kvraft play`` plays both.

Every step is checked (``check/raft``).  ``violation`` expects that the step before it breaks a
property; it ends the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kvraft.check.properties import Property, Violation
from kvraft.check.raft import watch
from kvraft.check.scenario.expect import UnmetExpectation
from kvraft.check.scenario.grammar import Line, Setup, read
from kvraft.errors import BadInput, KvraftError
from kvraft.raft import Configuration, Raft
from kvraft.resources import resource_folder
from kvraft.sim import Cluster

__all__ = ["PlayedScenario", "Scenario", "UnmetExpectation", "load", "names", "parse"]

FOLDER = resource_folder("data") / "scenarios"
"""The folder of kvraft's own scenarios."""


class PlayedScenario(NamedTuple):
    """How a scenario went.

    ``violation`` is the expected one, if any.  ``stops`` has, for each line that was played, the
    number of the last step of the trace by then, and the line.
    """

    cluster: Cluster
    violation: Violation | None
    stops: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed scenario; ``prose`` are the comments before its first step."""

    name: str
    title: str
    prose: str
    setup: Setup
    lines: tuple[Line, ...]
    violation: Property | None
    """What the last line is expected to break."""

    def cluster(self, *, consensus: type[Raft] | None = None, trace: bool = True) -> Cluster:
        """Return the cluster in which it starts, with another ``consensus`` module if given."""
        setup = self.setup
        return Cluster(
            Configuration(tuple(setup.members), (), tuple(setup.learners)),
            seed=setup.seed,
            options=setup.options,
            latency=setup.latency,
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
        """Play it, with ``consensus`` in place of its own consensus module, if given.

        ``on_line`` is called before the first line, with ``""``, and after each, with its text.
        Raises :class:`UnmetExpectation` if an expectation is not met,
        :class:`~kvraft.check.Violation` if a property breaks unexpectedly, and
        :class:`~kvraft.errors.BadInput` if a step is impossible; each names file and line.
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
        """Play one line; return the violation that it causes, if any."""
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
    """Return the scenario in ``text``.

    Raises :class:`~kvraft.errors.BadInput`, which names ``name`` and the line.
    """
    return Scenario(name, *read(text, name))


def names() -> list[str]:
    """Return the names of the scenarios in the folder ``data/scenarios``."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load(name: str) -> Scenario:
    """Return the scenario ``name`` of ``data/scenarios``, or the one in the file ``name``.

    Raises :class:`~kvraft.errors.BadInput` if there is no such scenario, or if it is not valid.
    """
    path = Path(name) if name.endswith(".txt") else FOLDER / f"{name}.txt"
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        known = ", ".join(names())
        raise BadInput(f"there is no scenario {name!r}; in data/scenarios are: {known}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text in UTF-8") from None
