"""How a learner's code is called: what it raises, prints or never ends becomes one sentence.

A check calls a learner's function through :func:`called`.  Whatever that raises is reported with
the learner's line, and a budget of lines (:data:`LINES`) stops what never ends.  The lines are
counted by ``sys.settrace``, which works on Windows and in a browser, where a program can neither
use signals nor stop a thread.  Lines of kvraft itself are not counted: a check that simulates a
cluster costs a learner nothing.

What a budget cannot stop is an endless call inside C, such as ``sum(itertools.count())``: it runs
no line of Python.  ``kvraft grade`` also has a limit of time.
"""

from __future__ import annotations

import dis
import inspect
import io
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache, wraps
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

LINES = 10_000_000
"""How many lines a learner's code may run in one check."""
SHOWN = 2_000
"""How many characters that a learner's code prints during a check are shown."""

_PACKAGE = str(Path(__file__).parents[1])
_SOLUTIONS = str(Path(__file__).parent / "solutions")
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))


class Wrong(Exception):
    """An answer is wrong: ``words`` say why, ``case`` is the simplest situation in which it is."""

    def __init__(self, words: str, case: str = "") -> None:
        super().__init__(f"{case} {words}".strip())
        self.words = words
        self.case = case

    def within(self, case: str) -> Wrong:
        """Return the same finding in the situation ``case``."""
        return type(self)(self.words, f"{case} {self.case}".strip())


class Broken(Wrong):
    """An answer cannot be judged: it raised, never ended, or is of the wrong type."""


class Unanswered(Exception):
    """The answer is still three dots; the text is printed."""


class _OutOfLines(BaseException):
    """Raised inside a learner's code; no ``except Exception`` there stops it."""

    def __init__(self, budget: _Budget) -> None:
        super().__init__()
        self.budget = budget

    def __del__(self) -> None:
        # A bare except swallowed it, and Python ended the tracing when it was raised: start again,
        # so that it is raised at the next line, which is outside of that try.
        self.budget.trace_again()


class _Budget:
    """The lines that a learner's code may still run."""

    def __init__(self, lines: int) -> None:
        self.total = self.left = lines
        self._running = False

    def run(self, ask: Callable[[], T]) -> T:
        """Return what ``ask`` returns; raises :class:`_OutOfLines` in it when no line is left."""
        if self._running:
            return ask()
        before, self._running = sys.gettrace(), True
        sys.settrace(self._enter)
        try:
            return ask()
        finally:
            self._running = False
            sys.settrace(before)

    def trace_again(self) -> None:
        """Trace the functions that run now, if a learner's code still runs."""
        if not self._running:
            return
        frame = inspect.currentframe()
        while frame is not None:
            if not _is_ours(frame.f_code.co_filename):
                frame.f_trace = self._line
            frame = frame.f_back
        sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, value: object) -> Any:
        if _is_ours(frame.f_code.co_filename):
            return None
        if _has_empty_loop(frame.f_code):
            frame.f_trace_opcodes = True
        return self._line

    def _line(self, frame: FrameType, event: str, value: object) -> Any:
        if event in ("line", "opcode"):
            self.left -= 1
            if self.left < 0:
                raise _OutOfLines(self)
        return self._line


_budgets: list[_Budget] = []
"""The budget of the check that runs, last; checks do not nest, but tests call parts of them."""


@contextmanager
def guarding() -> Iterator[None]:
    """Give all learner's code in this context one budget, and show only the first it prints."""
    _budgets.append(_Budget(LINES))
    printed = _Shortened(sys.stdout)
    try:
        with redirect_stdout(printed):
            yield
    finally:
        _budgets.pop()
        if printed.left < 0:
            print(f"\n(Only the first {SHOWN:,} characters that your code printed are shown.)")


class _Shortened(io.TextIOBase):
    """Standard output that passes on the first :data:`SHOWN` characters."""

    def __init__(self, shown_by: TextIO) -> None:
        self.left = SHOWN
        self._shown_by = shown_by

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.left > 0:
            self._shown_by.write(text[: self.left])
        self.left -= len(text)
        return len(text)


def called(ask: Callable[[], T], what: str = "Your rule") -> T:
    """Return what ``ask`` returns; raises :class:`Broken`, which names ``what``, if it cannot."""
    budget = _budgets[-1] if _budgets else _Budget(LINES)
    try:
        return budget.run(ask)
    except Wrong:
        raise
    except _OutOfLines as error:
        place = _place(error.__traceback__)
        raise Broken(
            f"{what} ran {budget.total:,} lines and did not come to an end{place}"
        ) from None
    except RecursionError as error:
        place = _place(error.__traceback__)
        raise Broken(f"{what} calls itself again and again{place}") from None
    except (Exception, SystemExit) as error:
        raise Broken(f"{what} raised {error_text(error)}") from None


def guarded(function: Any) -> Callable[..., Any]:
    """Return ``function`` as it is called by :func:`called`; what it returns is a :func:`scalar`.

    It may be anything: what is not a function raises when it is called.
    """
    name = getattr(function, "__name__", "<lambda>")
    name = name if name.isidentifier() else "your rule"

    @wraps(function, updated=())
    def call(*given: Any, **named: Any) -> Any:
        return called(lambda: scalar(function(*given, **named)), name)

    return call


def scalar(value: Any) -> Any:
    """Return a number of numpy, or a float without a fraction, as Python's own; others as is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not hasattr(value, "tolist") or isinstance(value, type):
        return value
    found = value.tolist()
    return scalar(found) if isinstance(found, bool | int | float | str) else value


def error_text(error: BaseException) -> str:
    """Return what was raised, and the learner's line that did, as text."""
    try:
        text = str(error)
    except Exception:
        text = ""
    named = f"{type(error).__name__}: {text:.200}" if text else type(error).__name__
    return f"{named}{_place(error.__traceback__)}"


def _place(traceback: TracebackType | None) -> str:
    """Return the last line of a learner's in a traceback, ``""`` if there is none."""
    place = ""
    while traceback is not None:
        file, number = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        if not _is_ours(file) and not file.startswith((*_LIBRARIES, "<frozen")):
            text = linecache.getline(file, number).strip()
            place = f", in line {number} of {_label(file)}{f': {text:.100}' if text else ''}"
        traceback = traceback.tb_next
    return place


def _label(file: str) -> str:
    """Return the name of a file, or of a notebook's cell, such as ``cell In[5]``."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    try:
        kind, name = shell.compile.format_code_name(file)
        return f"{kind.lower()} {name}"
    except (AttributeError, TypeError):  # not in a notebook, or not a cell of it
        return Path(file).name


@cache
def _has_empty_loop(code: CodeType) -> bool:
    """Return whether an instruction jumps to itself: ``while True: pass`` runs no line twice."""
    return any(
        "JUMP" in each.opname and each.argval == each.offset for each in dis.get_instructions(code)
    )


@cache
def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_SOLUTIONS)
