"""Notebooks as files: which exercises are in one, and what has to run to judge one of them.

A notebook is JSON, so no Jupyter is needed.  An exercise is found by the call of its check, and if
a learner deleted that, by the id of its cell.  The call that judges is always the lesson's own: a
learner's calls of checks are left out, and what a learner prints counts for nothing.

Only the exercise's cell is run, and the definitions that it needs by name: from other cells of the
paper (an import, a function, a class, a variable), or from the imports of the lesson.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kvraft.course.registry import EXERCISES, Exercise
from kvraft.errors import BadInput

LARGEST = 50_000_000
"""Bytes of a notebook that is read."""


class Cell(NamedTuple):
    """A code cell: its id, ``""`` in old formats, and its text without magic commands."""

    id: str
    source: str


class Piece(NamedTuple):
    """Some statements of a cell, by their numbers; ``label`` is the cell's name in messages."""

    label: str
    source: str
    statements: list[int]


class Job(NamedTuple):
    """What a child process runs: a paper's pieces, then the lesson's own and its check.

    ``answers`` are the names that the lesson's check takes from the paper.
    """

    exercise: str
    answers: list[str]
    paper: list[Piece]
    lesson: list[Piece]


def read_cells(path: Path) -> list[Cell]:
    """Return the code cells of a notebook; raises :class:`BadInput` if it is not a notebook."""
    if path.stat().st_size > LARGEST:
        raise BadInput(f"{path.name} is larger than {LARGEST // 1_000_000} MB")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise BadInput(f"{path.name} is not a notebook: it is not JSON") from None
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, list):
        old = isinstance(found, dict) and "worksheets" in found
        why = "it is of format 3: open and save it once in JupyterLab" if old else "it has no cells"
        raise BadInput(f"{path.name} is not a notebook: {why}")
    code = [each for each in cells if isinstance(each, dict) and each.get("cell_type") == "code"]
    return [Cell(str(each.get("id", "")), _source(each.get("source"))) for each in code]


def _source(source: object) -> str:
    text = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
    return re.sub(r"^(\s*)[%!?].*$", r"\1pass", text, flags=re.MULTILINE)


def exercises_in(cells: Sequence[Cell]) -> list[tuple[Exercise, int]]:
    """Return the exercises whose checks are called, with the number of the last cell that does."""
    everything = "\n".join(cell.source for cell in cells)
    found = []
    for exercise in EXERCISES:
        if exercise.file and f"exercises.{exercise.file} import" not in everything:
            continue  # two lessons may have checks of the same name
        places = [n for n, cell in enumerate(cells) if _calls(cell.source, exercise)]
        if places:
            found.append((exercise, places[-1]))
    return found


def _calls(source: str, exercise: Exercise) -> bool:
    what = exercise.check if not exercise.file else rf"\b{exercise.check}\("
    return re.search(what, source) is not None


def find_cell(exercise: Exercise, lesson_cell: Cell, paper: Sequence[Cell]) -> int | None:
    """Return the number of the paper's cell with the answer, ``None`` if it has none."""
    here = dict(exercises_in(paper)).get(exercise)
    if here is not None:
        return here
    for number, cell in enumerate(paper):
        if cell.id and cell.id == lesson_cell.id and exercise.answers[0] in cell.source:
            return number
    return None


def make_job(
    exercise: Exercise, lesson: Sequence[Cell], at: int, paper: Sequence[Cell], here: int
) -> Job:
    """Return what judges ``exercise``, which is in cell ``at`` of a lesson and ``here`` of a paper.

    Raises ``SyntaxError`` if the paper's cell is not Python.
    """
    own = ast.parse(paper[here].source).body
    answered = [n for n, statement in enumerate(own) if not _is_check(statement)]
    needed = _needs([own[n] for n in answered])
    pieces = [*_defining(needed, paper, here, lesson), _piece(paper, here, answered)]
    theirs = ast.parse(lesson[at].source).body
    check = max(n for n, statement in enumerate(theirs) if _is_check(statement))
    wanted = _needs([theirs[check]]) - set(exercise.answers)
    around = [
        n
        for n, each in enumerate(theirs)
        if n != check and _binds(each) & wanted and not _binds(each) & set(exercise.answers)
    ]
    wanted -= {name for n in around for name in _binds(theirs[n])}
    judge = [*_defining(wanted, lesson, at, ()), _piece(lesson, at, [*around, check])]
    return Job(exercise.name, list(exercise.answers), pieces, judge)


def _piece(cells: Sequence[Cell], at: int, statements: list[int]) -> Piece:
    return Piece(f"code cell {at + 1}", cells[at].source, sorted(statements))


def _is_check(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    named = call.func if isinstance(call, ast.Call) else None
    return isinstance(named, ast.Name) and (named.id == "check" or named.id.startswith("check_"))


def _binds(statement: ast.stmt) -> set[str]:
    """Return the names that a statement defines at the top of a cell."""
    match statement:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(each.asname or each.name).partition(".")[0] for each in names}
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign() | ast.AnnAssign():
            return {
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return set()


def _needs(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements use, without builtins and what they define themselves."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and _is_stored(node)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound = {name for statement in statements for name in _binds(statement)}
    return used - stored - arguments - bound - set(dir(builtins))


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _defining(
    needed: set[str], paper: Sequence[Cell], here: int, lesson: Sequence[Cell]
) -> list[Piece]:
    """Return the pieces that define ``needed`` names, and what those need, in the paper's order.

    The last definition before cell ``here`` counts, or else the last of all; a name that the paper
    does not define is imported as in the lesson.
    """
    definitions = {each[0]: each[1:] for each in _definitions(lesson, imports_only=True)}
    chosen: dict[str, dict[int, set[int]]] = {"lesson": {}, "paper": {}}
    own = list(_definitions(paper))
    waiting, known = list(needed), set(needed)
    while waiting:
        name = waiting.pop()
        mine = [each for each in own if each[0] == name and each[1] != here]
        before = [each for each in mine if each[1] < here]
        source = "paper" if mine else "lesson"
        found = (before or mine)[-1][1:] if mine else definitions.get(name)
        if found is None:
            continue  # the cell itself raises a NameError, which names the line
        cell, number, statement = found
        chosen[source].setdefault(cell, set()).add(number)
        more = _needs([statement]) - known
        known |= more
        waiting += more
    return [
        _piece(cells, cell, list(numbers))
        for cells, where in ((lesson, chosen["lesson"]), (paper, chosen["paper"]))
        for cell, numbers in sorted(where.items())
    ]


def _definitions(
    cells: Sequence[Cell], imports_only: bool = False
) -> Iterator[tuple[str, int, int, ast.stmt]]:
    """Yield what cells define: a name, the number of the cell and of the statement, and that."""
    for at, cell in enumerate(cells):
        try:
            statements = ast.parse(cell.source).body
        except (SyntaxError, ValueError, RecursionError):
            continue
        for number, statement in enumerate(statements):
            if imports_only and not isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            for name in _binds(statement):
                yield name, at, number, statement
