"""ARCHITECTURE.md follows a put, a flush and a read; here these paths are walked.

A profiler notes every function of kvraft that is called meanwhile.  The page holds if

- its steps, modules and functions, are called in the order of the page;
- every module that is entered is named in the section, or in one before it, or is listed here.

A step is a mention of a file, `kvraft/room/file.py`, as text or as a link.  Where functions are
named after it in the same paragraph or list item, as `Class.method` or `function()`, these are the
steps.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import kvraft
from kvraft import World

ROOT = Path(kvraft.__file__).parent
PAGE = ROOT / "ARCHITECTURE.md"

DRIVERS = ("kvraft/sim/", "kvraft/__init__.py")
"""What drives the path and is not part of it."""
EVERYWHERE = {
    "kvraft/errors.py",
    "kvraft/events/trace.py",
    "kvraft/inputs.py",
    "kvraft/record.py",
}
"""Vocabulary, and what is told of a path: every path enters it."""


class Step(NamedTuple):
    """A call of a function, or on a page a mention of it; of a whole module, if it is ``""``."""

    file: str
    function: str = ""

    def is_call(self, call: "Step") -> bool:
        """Return whether ``call`` is what this step of a page means."""
        name = f".{call.function}"
        return self.file == call.file and (not self.function or name.endswith(f".{self.function}"))

    def __str__(self) -> str:
        return f"{self.file} {self.function}".rstrip()


@contextmanager
def called() -> Iterator[list[Step]]:
    """Give the list of kvraft's functions that a ``with`` block calls, in order."""
    calls: list[Step] = []
    steps: dict[object, Step | None] = {}

    def note(frame, event, argument):
        if event != "call":
            return
        code = frame.f_code
        if code not in steps:
            path = Path(code.co_filename)
            steps[code] = None
            if path.is_relative_to(ROOT) and code.co_name != "<module>":
                file = f"kvraft/{path.relative_to(ROOT).as_posix()}"
                if not file.startswith(DRIVERS):
                    steps[code] = Step(file, code.co_qualname)
        step = steps[code]
        if step is not None and (not calls or calls[-1] is not step):
            calls.append(step)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


# ── the paths ───────────────────────────────────────────────────────────────────────────────────


def put(world: World, leader: str) -> None:
    world.client("ann").put(b"city", b"Oslo")
    world.settle()


def flush(world: World, leader: str) -> None:
    world.replicas[leader].tree.flush()


def get(world: World, leader: str) -> None:
    assert world.client("ann").get(b"city") == b"Oslo"


PATHS: dict[str, tuple[str, Callable[[World, str], None]]] = {
    "put": (r"\b(put|write)\b", put),
    "flush": (r"\bflush\b", flush),
    "get": (r"\b(get|read)\b", get),
}
"""By name: what the title of its section has in it, and what walks it.  In this order: what is read
was flushed before."""


def walk() -> dict[str, list[Step]]:
    """Return what each path calls, in a cluster that has a leader and a client with a session."""
    world = World(3, seed=1)
    world.run_until(lambda: world.leader() is not None)
    world.client("ann").put(b"first", b"1")
    world.settle()
    leader = world.leader()
    assert leader is not None
    found = {}
    for name, (_, path) in PATHS.items():
        with called() as calls:
            path(world, leader)
        found[name] = calls
    world.close()
    return found


# ── the page ────────────────────────────────────────────────────────────────────────────────────


def steps_of(page: str) -> dict[str, list[Step]]:
    """Return the steps that each path's section tells, in order."""
    pieces = re.split(r"^(#+ .*)$", page, flags=re.MULTILINE)
    told: dict[str, list[Step]] = {}
    for title, text in zip(pieces[1::2], pieces[2::2], strict=True):
        for name, (words, _) in PATHS.items():
            if re.search(words, title, re.IGNORECASE):
                told.setdefault(name, []).extend(_steps(text))
    return told


def _steps(text: str) -> Iterator[Step]:
    """Yield the steps of a section: those of a file end with its paragraph or list item."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
        file, alone = "", False
        for found in re.finditer(
            r"(?P<file>kvraft/[\w/]+\.py)|`(?P<name>[A-Za-z_]\w*(?:\.\w+)+|\w+(?=\(\)`))(?:\(\))?`",
            paragraph,
        ):
            if found["name"] and file:
                yield Step(file, found["name"])
                alone = False
            elif found["file"] and found["file"] != file:  # a link names its file twice
                if alone:
                    yield Step(file)
                file, alone = found["file"], True
        if alone:
            yield Step(file)


def problems(told: list[Step], calls: list[Step], known: set[str]) -> str:
    """Return in what a page and a walk differ, a line each; ``""`` if they agree."""
    found = []
    files = dict.fromkeys(call.file for call in calls)
    named = {step.file for step in told}
    for file in files:
        if file not in named | known | EVERYWHERE:
            found.append(f"{file} is entered, and the page does not name it")
    at = 0
    for before, step in zip([None, *told], told, strict=False):
        place = next((n for n in range(at, len(calls)) if step.is_call(calls[n])), None)
        if place is not None:
            at = place
        elif any(step.is_call(call) for call in calls):
            found.append(f"{step} is not called after {before}, only before")
        else:
            found.append(f"{step} is on the page, and is not called")
    return "\n".join(found)


@pytest.fixture(scope="module")
def walked() -> dict[str, list[Step]]:
    return walk()


@pytest.mark.parametrize("name", PATHS)
def test_the_page_says_what_happens_in_order(name, walked):
    steps = steps_of(PAGE.read_text(encoding="utf-8"))
    assert steps.get(name), f"no section of the page is about {name}"
    earlier = list(PATHS)[: list(PATHS).index(name)]
    known = {step.file for before in earlier for step in steps[before]}
    wrong = problems(steps[name], walked[name], known)
    entered = "\n".join(dict.fromkeys(call.file for call in walked[name]))
    assert not wrong, f"{wrong}\n\nEntered, in order:\n{entered}"


def test_a_page_that_leaves_out_or_swaps_or_invents_a_step_is_caught():
    a, b, c, again = (Step(f"kvraft/{file}.py", "T.do") for file in "abca")
    calls = [a, b, c, again]
    page = "# A put\n\n1. `kvraft/a.py`: `T.do`\n2. [b](kvraft/b.py)\n3. kvraft/c.py `do()`\n"
    steps = steps_of(page)["put"]
    assert steps == [a, Step(b.file), Step(c.file, "do")]
    assert problems(steps, calls, set()) == ""
    assert "b.py is entered" in problems([a, c], calls, set())
    assert problems([a, c], calls, {b.file}) == ""
    assert "only before" in problems([c, b], [a, b, c], {a.file})
    assert "is not called" in problems([*steps, Step(a.file, "T.other")], calls, set())
