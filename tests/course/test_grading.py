"""``kvraft grade``: a row for every exercise of every paper, whatever is handed in."""

import csv
import json
import os
import sys
import time
from pathlib import Path

import pytest

from kvraft.cli import cli
from kvraft.course.grading import Limits, grade
from kvraft.course.grading.table import Row, csv_text, learners

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSON = NOTEBOOKS / "07_sstables_and_bloom_filters.ipynb"
FIND = "    return next((n for n, last in enumerate(last_keys) if key <= last), None)"


def book(path: Path = LESSON) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def cell_with(notebook: dict, text: str) -> dict:
    return next(c for c in notebook["cells"] if text in "".join(c["source"]))


def answered(notebook: dict, check: str, answer: str) -> dict:
    """Put ``answer`` in place of the three dots in the cell with ``check``."""
    cell = cell_with(notebook, check)
    source = "".join(cell["source"])
    assert "..." in source
    body = source.replace("    return ...", answer) if "return ..." in source else answer
    cell["source"] = body if "return ..." in source else source.replace("...", answer, 1)
    return notebook


def only(notebook: dict, *texts: str) -> dict:
    """Leave only the code cells with these texts: one exercise is enough for most tests."""
    notebook["cells"] = [
        c
        for c in notebook["cells"]
        if c["cell_type"] == "code" and any(text in "".join(c["source"]) for text in texts)
    ]
    return notebook


def lesson_of(tmp_path, check: str = "check_find_block(") -> Path:
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps(only(book(), check)), encoding="utf-8")
    return path


def paper_of(tmp_path, body: str, before: str = "", after: str = "") -> Path:
    """A paper with this body of ``find_block``, and code before and after the function."""
    notebook = only(answered(book(), "check_find_block(", body), "check_find_block(")
    (cell,) = notebook["cells"]
    source = cell["source"]
    if before:
        source = f"{before}\n{source}"
    cell["source"] = source.replace("\ncheck_find_block(", f"\n{after}\ncheck_find_block(")
    path = tmp_path / "ann.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def rows_of(tmp_path, paper: Path, seconds: int = 60) -> list[Row]:
    return list(grade(lesson_of(tmp_path), [paper], Limits(seconds, 1_000)))


# ── papers that are what they should be ─────────────────────────────────────────────────────────


def test_a_table_of_two_learners_by_the_command_line(tmp_path, capsys):
    notebook = answered(book(), "check_find_block(", FIND)
    notebook = answered(notebook, '"8f5c9a17a157"', "[1, 0.0, 1, 1]")
    (tmp_path / "ann.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (tmp_path / "bob.ipynb").write_text("{", encoding="utf-8")
    table = tmp_path / "table.csv"
    papers = [str(tmp_path / name) for name in ("ann.ipynb", "bob.ipynb")]
    assert cli.main(["grade", str(LESSON), *papers, "--csv", str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["learner", "exercise"],
        ["ann", "07.1"],
        ["ann", "07.2"],
        ["ann", "07.3"],
        ["bob", "-"],
        ["4", "rows,"],
    ]
    with table.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["result"] for row in found] == ["not yet", "not answered", "right", "no paper"]
    assert found[0]["words"] == "i is above h, the last key of block 1."
    assert found[3]["words"] == "bob.ipynb is not a notebook: it is not JSON."


def test_definitions_of_other_cells_are_found_by_name(tmp_path):
    paper = paper_of(tmp_path, "    return looked_up(last_keys, key)")
    notebook = book(paper)
    helper = "import bisect\nLATER = None\ndef looked_up(keys, key):\n    at = bisect.bisect_left"
    helper += "(keys, key)\n    return at if at < len(keys) else LATER"
    other = {"cell_type": "code", "source": ["%matplotlib inline\n", "1 / 0"]}
    notebook["cells"] = [other, {"cell_type": "code", "source": helper}, *notebook["cells"]]
    paper.write_text(json.dumps(notebook), encoding="utf-8")
    assert rows_of(tmp_path, paper)[0].result == "right"


def test_the_check_is_the_lessons_own(tmp_path):
    paper = paper_of(tmp_path, FIND.replace("None", "0"), after="def check_find_block(x): pass")
    notebook = book(paper)
    notebook["cells"][0]["source"] += "\nprint('Right. Every key is searched.')"
    paper.write_text(json.dumps(notebook), encoding="utf-8")
    (row,) = rows_of(tmp_path, paper)
    assert row.result == "not yet"
    assert "so no block has it" in row.words


def test_a_deleted_check_is_found_by_its_cell(tmp_path):
    paper = paper_of(tmp_path, FIND)
    notebook = book(paper)
    notebook["cells"][0]["source"] = notebook["cells"][0]["source"].replace(
        "\ncheck_find_block(find_block)", ""
    )
    paper.write_text(json.dumps(notebook), encoding="utf-8")
    assert rows_of(tmp_path, paper)[0].result == "right"


# ── papers that are not ─────────────────────────────────────────────────────────────────────────

ENDLESS = "    import time\n    while True:\n        time.sleep(0.01)"
PAPERS = {
    "raises": ("    return {}[key]", "", "raised KeyError: b'', in line 5 of code cell 1: return"),
    "never ends": ("    while True:\n        pass", "", "lines and did not come to an end"),
    "exits": (FIND, "import sys; sys.exit(0)", "the cell raised SystemExit: 0, in line 1 of"),
    "ends the process": (FIND, "import os; os._exit(0)", "ended the process, with status 0"),
    "kills itself": (FIND, "import os; os.kill(os.getpid(), 9)", "the process, by signal 9"),
    "prints 100 MB": (FIND, "print('x' * 100_000_000)", "printed more than 1,000,000 characters"),
    "needs memory": (FIND, "x = bytes(3_000_000_000)", "MemoryError"),
    "asks": (FIND, "input('name?')", "raised EOFError"),
    "is not Python": (FIND, "def:", "Exercise 07.3: line 1 is not Python."),
    "defines nothing": (FIND, "", "does not define find_block"),
    "starts threads": (
        FIND,
        "import threading, time\nthreading.Thread(target=time.sleep, args=[99]).start()",
        "",
    ),
    "replaces print": (FIND, "import builtins, sys\nsys.stdout = None\nprint = None", ""),
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of memory")
@pytest.mark.parametrize("name", PAPERS)
def test_whatever_a_paper_does_is_a_sentence_in_the_table(tmp_path, name):
    body, before, words = PAPERS[name]
    paper = paper_of(tmp_path, body, before)
    if name == "defines nothing":
        text = paper.read_text(encoding="utf-8").replace("def find_block", "def find_blocks")
        paper.write_text(text, encoding="utf-8")
    begun = time.monotonic()
    (row,) = rows_of(tmp_path, paper)
    assert row.result == ("not yet" if words else "right"), row
    assert words in row.words
    assert row.words.startswith("Exercise 07.3: ") is bool(words)
    assert "Traceback" not in row.words
    assert time.monotonic() - begun < 90


def test_one_that_sleeps_for_ever_is_ended(tmp_path):
    (row,) = rows_of(tmp_path, paper_of(tmp_path, FIND, ENDLESS.replace("    ", "", 1)), seconds=4)
    assert row.words in (
        "Exercise 07.3: the cell did not end within 4 seconds.",
        "Exercise 07.3: line 2 is not Python.",
    )
    before = "import time\nwhile True: time.sleep(0.01)"
    (row,) = rows_of(tmp_path, paper_of(tmp_path, FIND, before), seconds=4)
    assert row == Row(
        "ann", "07.3", "not yet", "Exercise 07.3: the cell did not end within 4 seconds."
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_one_that_forks_is_judged_once_and_leaves_nothing(tmp_path):
    mark = tmp_path / "alive"
    before = (
        "import os, time\nif os.fork() == 0:\n    time.sleep(20)\n"
        f"    open({str(mark)!r}, 'w').close()\n"
    )
    begun = time.monotonic()
    (row,) = rows_of(tmp_path, paper_of(tmp_path, FIND, before))
    assert row.result == "right", row
    assert time.monotonic() - begun < 20
    assert not mark.exists()


def test_what_is_handed_in_may_be_anything(tmp_path):
    other = tmp_path / "other.ipynb"
    other.write_text(json.dumps(book(NOTEBOOKS / "06_memtable_and_flush.ipynb")), encoding="utf-8")
    files = {
        "old": json.dumps({"worksheets": []}),
        "list": "[1]",
        "deep": "[" * 100_000,
        "empty": json.dumps({"cells": [7, {"cell_type": "code"}, {"source": 7}]}),
        "bytes": "\udcff",
    }
    paths = [other, tmp_path / "nobody.ipynb", tmp_path]
    for name, text in files.items():
        path = tmp_path / f"{name}.ipynb"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        paths.append(path)
    lesson = lesson_of(tmp_path)
    lesson = lesson.rename(tmp_path / "lesson.json")
    rows = {row.learner: row for row in grade(lesson, paths[:2] + paths[3:], Limits(10))}
    assert all(row.result == "no paper" for row in rows.values())
    assert rows["other"].words == (
        "other.ipynb is a copy of 06_memtable_and_flush, not of 07_sstables_and_bloom_filters."
    )
    assert "No such file" in rows["nobody"].words
    assert "format 3" in rows["old"].words
    assert "it has no cells" in rows["list"].words
    assert "it is not JSON" in rows["deep"].words
    assert "has no exercise of 07" in rows["empty"].words
    assert "it is not JSON" in rows["bytes"].words


def test_a_lesson_that_is_none_is_refused_in_a_sentence(tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": []}), encoding="utf-8")
    assert cli.main(["grade", str(path), str(path)]) == 2
    assert "has none of the exercises that kvraft knows" in capsys.readouterr().err
    assert cli.main(["grade", str(tmp_path / "no.ipynb"), str(path)]) == 2
    (tmp_path / "folder").mkdir()
    assert cli.main(["grade", str(LESSON), str(tmp_path / "folder")]) == 2


def test_a_missing_cell_is_a_row(tmp_path):
    paper = tmp_path / "ann.ipynb"
    paper.write_text(json.dumps(only(book(), "check_find_block(")), encoding="utf-8")
    rows = list(grade(LESSON, [paper], Limits()))
    assert [row.result for row in rows] == ["not answered"] * 3
    assert rows[0].words == "The cell of exercise 07.1, Which block?, is missing."


def test_names_of_learners_are_told_apart():
    papers = [Path("a/06.ipynb"), Path("b/06.ipynb"), Path("b/eve.ipynb")]
    assert learners(papers) == ["a/06", "b/06", "eve"]


def test_a_spreadsheet_takes_nothing_for_a_formula():
    assert "'=HYPERLINK(1)" in csv_text([Row("=HYPERLINK(1)", "07.1", "right", "")])
