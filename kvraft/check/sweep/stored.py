"""Run files that come with kvraft: faults that the swarm found once, and those of the zoo.

Those by themselves (data/README.md describes each) replay clean.  Those under ``zoo`` have one of
the planted bugs each, and break something; those in which a trial found it are scenarios.  No trace
is recorded in any, since it changes with the code; what was done does not.
"""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.resources import resource_folder
from kvraft.sim import RunRecord, parse_run, read_run

RUNS = resource_folder("data") / "runs"
"""The folder of the run files."""


def run_names() -> list[str]:
    """Return the names of the runs in the folder ``data/runs``, without those of the zoo."""
    return sorted(path.stem for path in RUNS.glob("*.jsonl"))


def is_run(name: str) -> bool:
    """Return whether ``name`` is that of a run file, or of a stored run."""
    return name.endswith(".jsonl") or (RUNS / f"{name}.jsonl").is_file()


def find_run(name: str) -> RunRecord:
    """Return the run ``name`` of ``data/runs``, or the one in the file ``name``, as it is written.

    That of a bug in the zoo has a name such as ``zoo/votes_twice``.  Raises
    :class:`~kvraft.errors.BadInput` if there is no such run, or if it is not valid.
    """
    if not is_run(name):
        raise BadInput(f"there is no stored run {name!r}: {', '.join(run_names())}")
    path = name if name.endswith(".jsonl") else RUNS / f"{name}.jsonl"
    return parse_run(read_run(path), str(name))


def scenario_file(name: str) -> str:
    """Return the file of a scenario of the zoo, such as ``zoo/old_votes_counted``.

    Any other name is returned as it is.
    """
    path = RUNS / f"{name}.txt"
    return str(path) if path.is_file() else name
