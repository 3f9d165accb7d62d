"""A trial in a process of its own, so that whatever foreign code does ends in a sentence.

::

    judge_apart ──── what to judge, as JSON ────► python -m kvraft.trial.apart
                ◄─── a report in a file, traces next to it ──── judges, and writes

In that process what is printed goes nowhere, and a watchdog ends it when one run takes longer than
``seconds``: also inside C, where no Python could interrupt.  A process that ends without a report
has died of what it ran.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from kvraft.check.trial import Report, Stuck, judge
from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError
from kvraft.events import Trace

SECONDS = 10
"""How long one run may take."""
_ROOT = Path(__file__).parents[2]
_REPORT = "report.json"
_FRAME = re.compile(r'File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')


def judge_apart(
    title: str,
    *,
    runs: int | None = None,
    seed: int = 1,
    without: Collection[str] = (),
    seconds: int = SECONDS,
) -> Report:
    """Judge ``MODULE:CLASS`` of the working directory in another process; return the report.

    Raises :class:`~kvraft.errors.BadInput` for what cannot be judged, and
    :class:`~kvraft.check.trial.Stuck` if it never comes back, or ends the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        task = {
            "folder": folder,
            "title": title,
            "runs": runs,
            "seed": seed,
            "without": list(without),
            "seconds": seconds,
        }
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, "-m", "kvraft.trial.apart", json.dumps(task)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        file = Path(folder) / _REPORT
        if not file.exists():
            raise _died(title, done.returncode, done.stderr, seconds)
        table = json.loads(file.read_text("utf-8"))
        if "refused" in table:
            raise BadInput(table["refused"])
        report = Report.from_json(table)
        for number, verdict in enumerate(report.verdicts):
            trace = Path(folder) / f"{number}.jsonl"
            if trace.exists():
                verdict.trace = Trace.load(trace)
        return report


def _died(title: str, status: int, errors: str, seconds: int) -> KvraftError:
    """Return the error for a process that left no report."""
    if "Timeout (" in errors:
        frames = list(_FRAME.finditer(errors[errors.index("Timeout (") :]))
        ours = (str(_ROOT / "kvraft"), sysconfig.get_paths()["stdlib"], "<")
        theirs = [frame for frame in frames if not frame["file"].startswith(ours)]
        place = ""
        for frame in (theirs or frames)[:1]:
            place = f", in {Path(frame['file']).name}, line {frame['line']}, in {frame['name']}"
        return Stuck(f"{title} did not come back within {counted(seconds, 'second')}{place}")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    last = errors.strip().splitlines()[-1:] or ["it left no word"]
    return Stuck(f"{title} ended the process that judged it, with {how}: {last[0]:.200}")


class _Printed(io.TextIOBase):
    """Standard output of foreign code: counted, and left out."""

    def __init__(self) -> None:
        self.lines, self.first = 0, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        self.first = (self.first + text)[:60] if len(self.first) < 60 else self.first
        return len(text)


def _main(task: dict[str, Any]) -> None:
    """Judge what the task says, and leave the report in its folder."""
    folder, seconds = Path(task["folder"]), task["seconds"]
    printed = _Printed()

    def alive() -> None:
        faulthandler.dump_traceback_later(seconds, exit=True)

    alive()
    try:
        with redirect_stdout(printed):
            report = judge(
                task["title"],
                runs=task["runs"],
                seed=task["seed"],
                without=task["without"],
                alive=alive,
            )
    except BadInput as error:
        table = {"refused": str(error)}
    else:
        if printed.lines:
            first = printed.first.partition("\n")[0]
            report.notes.append(
                f"it printed {counted(printed.lines, 'line')}, which are left out: {first!r}, …"
            )
        table = report.to_json()
        for number, verdict in enumerate(report.verdicts):
            if verdict.trace is not None:
                with (folder / f"{number}.jsonl").open("w", encoding="utf-8") as file:
                    verdict.trace.save(file)
    (folder / _REPORT).write_text(json.dumps(table), encoding="utf-8")


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
