"""One call for all that can be on trial, by name, and for what plays a scenario with it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kvraft.check.trial.consensus import RUNS, judge_consensus
from kvraft.check.trial.guest import abilities_of, check_methods, guest_class
from kvraft.check.trial.replica import RUNS as REPLICA_RUNS
from kvraft.check.trial.replica import judge_replica
from kvraft.check.trial.report import Report
from kvraft.check.trial.subject import check_tree, subject_of
from kvraft.check.trial.tree import RUNS as TREE_RUNS
from kvraft.check.trial.tree import judge_tree
from kvraft.errors import BadInput
from kvraft.lsm import Tree
from kvraft.raft import Raft


def judge(
    title: str,
    *,
    runs: int | None = None,
    seed: int = 1,
    without: Collection[str] = (),
    alive: Callable[[], object] = lambda: None,
) -> Report:
    """Judge the class that ``title`` names, ``MODULE:CLASS``, in this process.

    ``alive`` is called before each run.  Raises :class:`~kvraft.errors.BadInput` for what cannot be
    judged.
    """
    _, kind, made = subject_of(title)
    if kind == "consensus":
        return judge_consensus(
            made, title=title, runs=runs or RUNS, seed=seed, without=without, alive=alive
        )
    if without:
        raise BadInput(f"{title} is a {kind}, which has nothing that it could do without")
    if kind == "replica":
        return judge_replica(made, title=title, runs=runs or REPLICA_RUNS, seed=seed, alive=alive)
    check_tree(made, title)
    make = made.open if issubclass(made, Tree) else made
    return judge_tree(make, title=title, runs=runs or TREE_RUNS, seed=seed, alive=alive)


def consensus_named(title: str) -> type[Raft]:
    """Return the consensus module ``MODULE:CLASS``, for a cluster or a scenario.

    Raises :class:`~kvraft.errors.BadInput` for anything else.
    """
    _, kind, made = subject_of(title)
    if kind != "consensus":
        raise BadInput(f"{title} is a {kind}, and a scenario needs a consensus module")
    check_methods(made, title)
    return guest_class(made, title, abilities_of(made))
