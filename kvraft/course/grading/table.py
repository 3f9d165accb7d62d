"""The table of ``kvraft grade``: learner, exercise, right or not, words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kvraft.course.grading.papers import Cell, exercises_in, find_cell, make_job, read_cells
from kvraft.course.grading.runner import Limits, run_job
from kvraft.course.registry import LESSONS, Exercise
from kvraft.display import counted
from kvraft.errors import BadInput

NAME = 24
"""Characters that a learner's name takes in a row of text; a longer one moves the rest."""
WIDEST = 160
"""Characters of the words in a row of text; a CSV file has all of them."""


class Row(NamedTuple):
    """One exercise of one learner.  ``result`` is one of right, not yet, not answered, no paper."""

    learner: str
    exercise: str
    result: str
    words: str


def grade(lesson: Path, handed_in: Sequence[Path], limits: Limits) -> Iterator[Row]:
    """Yield a row for each exercise of ``lesson`` and each paper, in these orders.

    A folder stands for the notebooks in it.  Raises :class:`~kvraft.errors.BadInput` if ``lesson``
    is not a lesson; a paper that is not one gets a row that says so.
    """
    cells = read_cells(lesson)
    asked = exercises_in(cells)
    if not asked:
        raise BadInput(f"{lesson.name} has none of the exercises that kvraft knows")
    papers = [
        path
        for given in handed_in
        for path in (sorted(given.glob("*.ipynb")) if given.is_dir() else [given])
    ]
    if not papers:
        raise BadInput("there is no notebook to grade")
    for paper, learner in zip(papers, learners(papers), strict=True):
        yield from _graded(learner, paper, cells, asked, limits)


def learners(papers: Sequence[Path]) -> list[str]:
    """Return a name for each paper: the file's, or its whole path if two have the same."""
    stems = [paper.stem for paper in papers]
    return [
        paper.stem if stems.count(paper.stem) == 1 else paper.with_suffix("").as_posix()
        for paper in papers
    ]


def _graded(
    learner: str,
    path: Path,
    lesson: Sequence[Cell],
    asked: Sequence[tuple[Exercise, int]],
    limits: Limits,
) -> Iterator[Row]:
    try:
        paper = read_cells(path)
    except BadInput as error:
        yield Row(learner, "-", "no paper", f"{error}.")
        return
    except OSError as error:
        yield Row(learner, "-", "no paper", f"{path.name}: {error.strerror or error}.")
        return
    places = {exercise: find_cell(exercise, lesson[at], paper) for exercise, at in asked}
    if all(place is None for place in places.values()):
        yield Row(learner, "-", "no paper", _of_another(path, paper, asked))
        return
    for exercise, at in asked:
        here = places[exercise]
        if here is None:
            words = f"The cell of exercise {exercise.name}, {exercise.title}, is missing."
            yield Row(learner, exercise.name, "not answered", words)
        else:
            yield Row(learner, exercise.name, *_judged(exercise, lesson, at, paper, here, limits))


def _of_another(path: Path, paper: Sequence[Cell], asked: Sequence[tuple[Exercise, int]]) -> str:
    """Return a sentence for a paper that has no exercise of this lesson."""
    wanted = LESSONS[asked[0][0].lesson][0]
    others = sorted({exercise.lesson for exercise, _ in exercises_in(paper)})
    if others:
        return f"{path.name} is a copy of {LESSONS[others[0]][0]}, not of {wanted}."
    return f"{path.name} has no exercise of {wanted}."


def _judged(
    exercise: Exercise,
    lesson: Sequence[Cell],
    at: int,
    paper: Sequence[Cell],
    here: int,
    limits: Limits,
) -> tuple[str, str]:
    """Return the result of one exercise, and the words."""
    try:
        job = make_job(exercise, lesson, at, paper, here)
    except SyntaxError as error:
        return "not yet", f"Exercise {exercise.name}: line {error.lineno} is not Python."
    except (ValueError, RecursionError):
        return "not yet", f"Exercise {exercise.name}: the cell is not Python."
    right, words = run_job(job, limits)
    return {True: "right", False: "not yet", None: "not answered"}[right], words


# ── the table as text ───────────────────────────────────────────────────────────────────────────


def text_rows(rows: Iterator[Row]) -> Iterator[str]:
    """Yield the table line by line, as it is found."""
    rights: list[bool] = []
    yield _line(Row("learner", "exercise", "result", "words"))
    for row in rows:
        rights.append(row.result == "right")
        yield _line(row)
    yield f"{counted(len(rights), 'row')}, {sum(rights)} of them right."


def _line(row: Row) -> str:
    words = " ".join(row.words.split())
    short = words if len(words) <= WIDEST else f"{words[: WIDEST - 1]}…"
    return f"{row.learner:{NAME}}  {row.exercise:8}  {row.result:12}  {short}".rstrip()


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a line of titles; a spreadsheet takes none for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in rows:
        writer.writerow([f"'{cell}" if cell[:1] in "=+@\t\r" and cell else cell for cell in row])
    return text.getvalue()
