"""A trial in a process of its own, so that whatever foreign code does ends in a sentence.

::

    judge_apart ──── what to judge, as JSON ────► another Python: judge_here()
                ◄─── a report in a file, traces next to it ──── judges, and writes

In that process what is printed goes nowhere, memory is limited, copies of it end at once, and a
watchdog ends it when one run takes too long: also inside C, where no Python could interrupt.  Its
clock is that on the wall, for no other can be waited for everywhere, so the limits are such that an
honest run keeps them where many share a machine.  A process that ends without a report has died of
what it ran.  It has a session of its own, of which nothing is left when it has ended.
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
import traceback
from collections.abc import Collection
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, Any, NoReturn

from kvraft.check.trial import Report, Stuck, judge, subject_of
from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError
from kvraft.events import Trace
from kvraft.trial.session import kill_session

SECONDS, REPLICA_SECONDS = 10, 120
"""How long one run may take, as a rule and of a replica: 40 and 10 times what the longest takes on
an idle machine."""
MEMORY = 2 << 30
"""How many bytes of address space the process may have that judges a class."""
_CODE = "import json, sys; from kvraft.trial.apart import judge_here; "
_CODE += "judge_here(json.loads(sys.argv[1]))"
_LAST = 1 << 16
"""How many bytes of what was written to standard error are looked at."""
_ROOT = Path(__file__).parents[2]
_REPORT = "report.json"
_LATE = re.compile(r"Timeout \((\d+):(\d\d):(\d\d)\)!")
_FRAME = re.compile(r'File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')


def judge_apart(
    title: str,
    *,
    runs: int | None = None,
    seed: int = 1,
    without: Collection[str] = (),
    seconds: int | None = None,
) -> Report:
    """Judge ``MODULE:CLASS`` of the working directory in another process; return the report.

    One run may take ``seconds``, by default as long as is usual for what it is.

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
        with (Path(folder) / "errors").open("w+b") as errors:
            status = _run([sys.executable, "-c", _CODE, json.dumps(task)], path, errors)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST))
            words = errors.read().decode("utf-8", "replace")
        file = Path(folder) / _REPORT
        if not file.exists():
            raise _died(title, status, words)
        table = json.loads(file.read_text("utf-8"))
        if "refused" in table:
            raise BadInput(table["refused"])
        report = Report.from_json(table)
        for number, verdict in enumerate(report.verdicts):
            trace = Path(folder) / f"{number}.jsonl"
            if trace.exists():
                verdict.trace = Trace.load(trace)
        return report


def _run(words: list[str], path: str, errors: IO[bytes]) -> int:
    """Run a process, and return its status once it has ended, with all that it started."""
    process = subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    try:
        return process.wait()
    finally:
        kill_session(process)


def _died(title: str, status: int, errors: str) -> KvraftError:
    """Return the error for a process that left no report."""
    if late := _LATE.search(errors):
        hours, minutes, seconds = map(int, late.groups())
        limit = counted(hours * 3_600 + minutes * 60 + seconds, "second")
        return Stuck(
            f"{title} did not come back within {limit}{_place(errors[late.start() :])}; "
            "if it is only slow, --seconds gives it more"
        )
    how = f"signal {-status}" if status < 0 else f"status {status}"
    if (at := errors.find("Fatal Python error: ")) >= 0:
        why = errors[at:].splitlines()[0].removeprefix("Fatal Python error: ")
        return Stuck(f"{title} ended the process that judged it: {why}{_place(errors[at:])}")
    last = errors.strip().splitlines()[-1:] or ["it left no word"]
    return Stuck(f"{title} ended the process that judged it, with {how}: {last[0]:.200}")


def _place(stack: str) -> str:
    """Return the innermost line of foreign code in a stack that faulthandler left."""
    frames = list(_FRAME.finditer(stack))
    ours = (str(_ROOT / "kvraft"), sysconfig.get_paths()["stdlib"], "<")
    theirs = [frame for frame in frames if not frame["file"].startswith(ours)]
    for frame in (theirs or frames)[:1]:
        return f", in {Path(frame['file']).name}, line {frame['line']}, in {frame['name']}"
    return ""


def usual_seconds(title: str) -> int:
    """Return how long one run of ``MODULE:CLASS`` may take unless somebody says otherwise."""
    return REPLICA_SECONDS if subject_of(title).kind == "replica" else SECONDS


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


def _limit() -> None:
    """Limit the memory of this process, and have copies of it end as they begin."""
    faulthandler.enable()
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        os.register_at_fork(after_in_child=lambda: os._exit(0))


def judge_here(task: dict[str, Any]) -> NoReturn:
    """Judge what the task says, leave the report in its folder, and end the process.

    It ends at once: threads that foreign code left would be waited for.
    """
    try:
        _judge(task)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _judge(task: dict[str, Any]) -> None:
    folder, seconds = Path(task["folder"]), task["seconds"] or SECONDS
    printed = _Printed()
    _limit()

    def alive() -> None:
        faulthandler.dump_traceback_later(seconds, exit=True)

    alive()
    try:
        with redirect_stdout(printed):
            seconds = task["seconds"] or usual_seconds(task["title"])
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
