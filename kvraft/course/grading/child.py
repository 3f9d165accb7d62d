"""The process that judges one exercise of one paper: it reads a job and writes a verdict.

It is started by :mod:`kvraft.course.grading.runner`.  Its standard output goes nowhere; what a
paper prints is counted (:data:`MOST_PRINTED`).  The verdict is a JSON list: right or not, or null
if nothing was answered, and the words.
"""

from __future__ import annotations

import ast
import io
import json
import linecache
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvraft.course.guard import Broken, called
from kvraft.course.verdicts import VERDICTS

MOST_PRINTED = 1_000_000
"""Characters that a paper may print for one exercise."""


class TooMuchPrinted(BaseException):
    """Raised by a print; no ``except Exception`` of a paper stops it."""


class CountedOutput(io.TextIOBase):
    """Standard output that counts, and drops what it is given."""

    def __init__(self) -> None:
        self.left = MOST_PRINTED

    def writable(self) -> bool:
        """Return true: it can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Drop ``text``; raises :class:`TooMuchPrinted` if it is too much in all."""
        self.left -= len(text)
        if self.left < 0:
            raise TooMuchPrinted
        return len(text)


def main(result: str, megabytes: int, seconds: int) -> None:
    """Judge the job on standard input under these limits; write the verdict to ``result``."""
    own = os.getpid()
    job = json.loads(sys.stdin.buffer.read())
    limit(megabytes, seconds)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr = CountedOutput()
    try:
        verdict = judge(job)
    except TooMuchPrinted:
        verdict = stopped(job, f"the cell printed more than {MOST_PRINTED:,} characters")
    except MemoryError:
        verdict = stopped(job, f"the cell needs more than {megabytes:,} MB of memory")
    except BaseException as error:
        verdict = stopped(job, f"the cell ended with {type(error).__name__}")
    if os.getpid() == own:  # a process that the paper forked has nothing to report
        Path(result).write_text(json.dumps(verdict), encoding="utf-8")
    os._exit(0)  # threads that a paper started do not keep it


def stopped(job: dict[str, Any], words: str) -> tuple[bool | None, str]:
    """Return the verdict on a cell that cannot be judged."""
    return False, f"Exercise {job['exercise']}: {words}."


def limit(megabytes: int, seconds: int) -> None:
    """Limit this process's memory, time and files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in (
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_FSIZE, megabytes << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (most, most))
        except (OSError, ValueError):  # the system allows less already, or does not know it
            continue


def judge(job: dict[str, Any]) -> tuple[bool | None, str]:
    """Return whether a paper's answer is right, and why not."""
    paper: dict[str, Any] = {"__name__": "__main__"}
    try:
        called(lambda: run(job["paper"], paper), "the cell")
    except Broken as broken:
        return stopped(job, broken.words)
    missing = [name for name in job["answers"] if name not in paper]
    if missing:
        return stopped(job, f"the cell does not define {missing[0]}")
    lesson: dict[str, Any] = {name: paper[name] for name in job["answers"]}
    VERDICTS.clear()
    run(job["lesson"], lesson)
    for verdict in VERDICTS:
        if verdict.exercise == job["exercise"]:
            return verdict.right, f"{verdict.case} {verdict.words}".strip()
    return stopped(job, "the check recorded no verdict")


def run(pieces: Sequence[Sequence[Any]], scope: dict[str, Any]) -> None:
    """Run the statements of some cells in ``scope``."""
    for label, source, numbers in pieces:
        lines = source.splitlines(keepends=True)
        linecache.cache[label] = (len(source), None, lines, label)
        statements = ast.parse(source).body
        chosen = ast.Module([statements[number] for number in numbers], [])
        exec(compile(chosen, label, "exec"), scope)
