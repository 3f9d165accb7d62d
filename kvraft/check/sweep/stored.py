"""Run files that come with kvraft: faults that the swarm found once.  data/README.md tells of each.

They replay clean.  No trace is recorded in them, since it changes with the code; what was done
does not.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from kvraft.errors import BadInput
from kvraft.sim import RunRecord, parse_run, read_run

_PACKAGE = Path(str(files("kvraft"))).resolve()
_INSTALLED = _PACKAGE / "data" / "runs"
RUNS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "data" / "runs"
"""The folder of the run files: in the package, or next to it in a checkout."""


def run_names() -> list[str]:
    """Return the names of the runs in the folder ``data/runs``."""
    return sorted(path.stem for path in RUNS.glob("*.jsonl"))


def find_run(name: str) -> RunRecord:
    """Return the run ``name`` of ``data/runs``, or the one in the file ``name``, as it is written.

    Raises :class:`~kvraft.errors.BadInput` if there is no such run, or if it is not valid.
    """
    if name.endswith(".jsonl"):
        return parse_run(read_run(name), name)
    if name not in run_names():
        raise BadInput(f"there is no stored run {name!r}: {', '.join(run_names())}")
    return parse_run(read_run(RUNS / f"{name}.jsonl"), f"{name}.jsonl")
