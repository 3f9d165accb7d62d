"""Run one job in a process of its own, with limits, and end whatever it leaves running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kvraft.course.grading.papers import Job

_ROOT = str(Path(__file__).parents[3])
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from kvraft.course.grading.child import main; "
    "main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))"
)
LARGEST = 100_000
"""Bytes of a verdict that is read."""


class Limits(NamedTuple):
    """What one exercise may use: seconds, and megabytes of memory where the system can limit it."""

    seconds: int = 60
    megabytes: int = 2_000


def run_job(job: Job, limits: Limits) -> tuple[bool | None, str]:
    """Return whether the answer is right, ``None`` if it is open, and the words."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home, result = Path(folder, "home"), Path(folder, "verdict.json")
        home.mkdir()
        asked = (_ROOT, str(result), str(limits.megabytes), str(limits.seconds))
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            start_new_session=True,  # a group of its own, which can be ended as a whole
        )
        try:
            process.communicate(json.dumps(job._asdict()).encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            words = f"the cell did not end within {limits.seconds} seconds"
            return False, f"Exercise {job.exercise}: {words}."
        finally:
            _end(process)
        return _verdict(job, result, process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, as far as the system knows that."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _verdict(job: Job, result: Path, status: int) -> tuple[bool | None, str]:
    try:
        with result.open("rb") as file:
            right, words = json.loads(file.read(LARGEST))
    except (OSError, ValueError, TypeError):
        how = f"with status {status}" if status >= 0 else f"by signal {-status}"
        return False, f"Exercise {job.exercise}: the cell ended the process, {how}."
    return (right if isinstance(right, bool) else None), str(words)
