"""A number in a lesson comes from an output or is asserted, and a title's from what is drawn."""

from __future__ import annotations

import ast
import copy
import tomllib
from pathlib import Path

import nbformat
import pytest

from kvraft.course.registry import EXERCISES
from tests.helpers import numbers

ROOT = Path(__file__).parents[2]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED = tomllib.loads((Path(__file__).parent / "numbers.toml").read_text(encoding="utf-8"))
DRAWN = ALLOWED.pop("drawn")

CITED, LITERALS = 9, 8
"""How many numbers stand in numbers.toml.  When one is shown by a cell, lower this."""

books = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def lesson(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def checks(path: Path) -> dict[str, list[str]]:
    """Which files of the package check the exercises of a lesson, by the exercise's number."""
    mine = [each for each in EXERCISES if each.lesson == path.name[:2]]
    return {
        each.name.partition(".")[2]: [
            f"course/exercises/{each.file}.py",
            f"course/solutions/{each.solutions}.py",
        ]
        if each.file
        else []
        for each in mine
    }


def key(claim: numbers.Claim) -> tuple[str, str]:
    return claim.cell, f"{numbers.amount_of(claim.written):g}"


def allowed(path: Path) -> set[tuple[str, str]]:
    found = ALLOWED.get(path.name[:2], {})
    return {(cell, number) for cell, reasons in found.items() for number in reasons}


@books
def test_each_number_is_shown_asserted_or_cited(path):
    found = numbers.unshown(lesson(path), checks(path))
    bare = [claim for claim in found if key(claim) not in allowed(path)]
    lines = [f"{claim.cell}: {claim.written} in: {claim.line}" for claim in bare]
    assert not bare, "print it, assert it, or say it without a number:\n" + "\n".join(lines)


@books
def test_each_number_that_is_allowed_is_needed(path):
    assert allowed(path) == allowed(path) & {
        key(claim) for claim in numbers.unshown(lesson(path), checks(path))
    }


def test_the_list_of_allowed_numbers_only_gets_shorter():
    names = {path.name[:2] for path in BOOKS}
    assert set(ALLOWED) <= names
    reasons = [r for cells in ALLOWED.values() for each in cells.values() for r in each.values()]
    assert all(len(reason) > 10 for reason in reasons)
    assert (len(reasons), len(DRAWN)) == (CITED, LITERALS)


def test_lessons_have_numbers_to_be_looked_at():
    found = {path.name[:2]: sum(map(len, map(numbers.claims_of, lesson(path)))) for path in BOOKS}
    assert min(found.values()) > 25, found
    assert sum(found.values()) > 1000


def replaced(cells: list, cell: str, old: str, new: str) -> list:
    cells = copy.deepcopy(cells)
    (found,) = (each for each in cells if each.id == cell)
    assert old in found.source, found.source
    found.source = found.source.replace(old, new, 1)
    return cells


PLANTED = {
    "a count": ("05", "cell-025", "**Answer.** 56.", "**Answer.** 58.", "58"),
    "a count in words": ("00", "cell-032", "of one week", "of seventeen weeks", "seventeen"),
    "a count of two words": (
        "06",
        "cell-047",
        "Twenty crashes",
        "Twenty-three crashes",
        "Twenty-three",
    ),
    "thousands": ("00", "cell-032", "1,707", "1,708", "1,708"),
    "a percentage": ("12", "cell-087", "27 %", "29 %", "29"),
    "a decimal": ("08", "cell-092", "1.17", "1.18", "1.18"),
    "another unit": ("02", "cell-082", "1.3 s", "1.4 s", "1.4"),
    "a summary": ("07", "cell-064", "0.84 %", "0.94 %", "0.94"),
    "a table": ("01", "cell-020", "entry 9 of term 2", "entry 7 of term 2", "7"),
    "a caption": ("03", "cell-018", "five of seven votes", "six of seventeen votes", "seventeen"),
    "an exercise": ("08", "cell-103", "5.5 bytes", "5.7 bytes", "5.7"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_number_that_nothing_shows_is_found(kind):
    number, cell, old, new, written = PLANTED[kind]
    (path,) = (each for each in BOOKS if each.name.startswith(number))
    before = numbers.unshown(lesson(path), checks(path))
    after = numbers.unshown(replaced(lesson(path), cell, old, new), checks(path))
    assert [claim.written for claim in after if claim not in before] == [written]


def test_an_output_that_changes_is_missed_by_its_prose():
    """The other way round: a lesson that is recorded again keeps its old number in the prose."""
    (path,) = (each for each in BOOKS if each.name.startswith("05"))
    cells = lesson(path)
    for cell in cells:
        for output in cell.get("outputs", []):
            output.text = output.get("text", "").replace("1,680", "1,560")
        if cell.cell_type == "markdown" and cell.id == "harder-crashes":
            cell.source += " All 1,680 of them kept the promise."
    assert [c.written for c in numbers.unshown(cells, checks(path))] == ["1,680"]


def test_a_string_shows_nothing_and_another_section_shows_nothing():
    cell = nbformat.v4.new_markdown_cell("## 1 · A\n\nIt takes 77 ms.")
    shown = nbformat.v4.new_code_cell("wait(77)")
    believed = nbformat.v4.new_code_cell("print('77 ms')  # 77")
    elsewhere = nbformat.v4.new_markdown_cell("## 2 · B")
    assert not numbers.unshown([cell, shown], {})
    assert numbers.unshown([cell, believed], {})
    assert numbers.unshown([cell, elsewhere, shown], {})
    remembered = nbformat.v4.new_markdown_cell("## What to remember\n\nIt takes 77 ms.")
    assert not numbers.unshown([elsewhere, shown, remembered], {})


def test_what_refers_is_not_a_claim():
    cell = nbformat.v4.new_markdown_cell(
        "### 7 things\n\n1. As in §5.4.2 and §8, Figures 7 and 8, [09](09_truncation.ipynb), (10), "
        "lesson 12, sections 1, 2 and 44, exercise 3, Bloom 1970, July 2015, n31, `a_7`, #12"
    )
    assert [claim.written for claim in numbers.claims(cell)] == ["7"]


@pytest.mark.parametrize("path", sorted((ROOT / "kvraft/viz/figures").glob("*.py")), ids=str)
def test_a_title_has_no_number_of_its_own(path):
    for text in numbers.strings_of(path.read_text(encoding="utf-8")):
        assert text in DRAWN or not list(numbers.numbers_in(text)), text


def test_each_drawn_string_that_is_allowed_is_needed():
    files = (ROOT / "kvraft/viz/figures").glob("*.py")
    texts = {text for path in files for text in numbers.strings_of(path.read_text("utf-8"))}
    assert set(DRAWN) <= texts


def test_a_number_written_into_a_title_is_found():
    code = "def plot():\n    '''Draw 3 lines.'''\n    titled(figure, f'all 17 of {n:5.1f} kept')"
    texts = numbers.strings_of(code)
    assert [n for text in texts for n, _, _ in numbers.numbers_in(text)] == ["17"]
    assert ast.parse(code)
