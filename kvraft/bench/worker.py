"""The process that measures one side of a comparison; ``bench/rounds.py`` starts it.

::

    python worker.py TREE PART PEER SEED RECORDS PLACE

It imports kvraft from the directory TREE, and the benchmarks from here: so two versions of kvraft
do the same work, although one of them is older than the benchmark.  For each line on its standard
input it takes the next sample and prints it as JSON; ``{}`` means that there is nothing to measure
in this step, ``{"end": true}`` that there was no further one.

Ctrl-C reaches all processes of a terminal.  Whoever started this one ends it and removes its files,
so it ignores the signal.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent


def adopt(tree: Path) -> None:
    """Import kvraft from ``tree``, and make :mod:`kvraft.bench` the benchmarks of this file."""
    sys.path.insert(0, str(tree))
    kvraft: Any = importlib.import_module("kvraft")
    if Path(kvraft.__file__).resolve().parent.parent != tree.resolve():
        raise ImportError(f"kvraft came from {kvraft.__file__}")
    bench = ModuleType("kvraft.bench")
    bench.__path__ = [str(HERE)]  # a package without the imports of its door
    sys.modules["kvraft.bench"] = kvraft.bench = bench


def answers(arguments: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what is answered to one line after another."""
    tree, part, peer, seed, records, place = arguments
    adopt(Path(tree))
    module: Any = importlib.import_module(f"kvraft.bench.{part}")
    for sample in module.PART.samples(peer, int(seed), int(records), Path(place)):
        yield dataclasses.asdict(sample) if sample is not None else {}
    while True:
        yield {"end": True}


def sentence(error: Exception) -> str:
    """Return what went wrong: an error of kvraft says it by itself."""
    kind = type(error)
    return str(error) if kind.__module__ == "kvraft.errors" else f"{kind.__name__}: {error}"


def serve(arguments: list[str], questions: TextIO, out: TextIO) -> None:
    """Answer each line of ``questions``; an error is the last answer."""
    answer = answers(arguments)
    for _ in questions:
        try:
            line = next(answer)
        except Exception as error:
            print(json.dumps({"error": sentence(error)}), file=out, flush=True)
            return
        print(json.dumps(line), file=out, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what a workload prints is not an answer
    serve(sys.argv[1:], sys.stdin, answers_to)
