"""What nbval does not look at: it passes a notebook that was never run, and compares no image."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import nbformat
import pytest

from kvraft.course import check
from kvraft.course.answers import digest
from kvraft.disk.frame import checksum_seed
from kvraft.viz.shown import png_image
from tests.helpers.notebooks import normalise, slide_type

ROOT = Path(__file__).parents[2]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BANNED = re.compile(
    r"\b(interact|interactive|interactive_output|Output|clear_output)\b|^\s*[%!]", re.MULTILINE
)
HEADINGS = ["What you will learn", "What to remember", "Exercise"]

books = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code"):
    book = nbformat.read(path, as_version=4)
    return [cell for cell in book.cells if cell.cell_type == kind]


def test_there_are_notebooks():
    numbers = [path.name[:2] for path in BOOKS]
    assert numbers == [
        "00",
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "08",
        "09",
        "10",
        "11",
        "12",
        "13",
        "15",
    ]


@books
def test_was_run_top_to_bottom_and_without_an_error(path):
    code = cells(path)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        tags = cell.metadata.get("tags", [])
        assert "raises-exception" in tags or not any(o.output_type == "error" for o in cell.outputs)
        assert not any(out.get("name") == "stderr" for out in cell.outputs)


@books
def test_is_stored_without_anything_that_differs_between_machines(path):
    text = path.read_text(encoding="utf-8")
    book = nbformat.read(path, as_version=4)
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert book.metadata.kernelspec.name == "python3"
    assert not re.search(r"/(home|root|Users|work|tmp)/", text)
    assert not re.search(r"\bat 0x[0-9a-f]{6,}", text)
    assert len(text) < 1_000_000
    ids = [cell.id for cell in book.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", each) for each in ids), ids


@books
def test_is_a_set_of_slides_too(path):
    book = nbformat.read(path, as_version=4)
    for number, cell in enumerate(book.cells):
        before = book.cells[number - 1] if number else None
        assert cell.metadata.slideshow.slide_type == slide_type(cell, before), cell.source
    kinds = [cell.metadata.slideshow.slide_type for cell in book.cells]
    assert kinds[0] == "slide"
    assert kinds.count("slide") >= 8
    longest = max(
        len(list(rest)) for first, rest in groupby(kinds, lambda k: k in ("-", "fragment")) if first
    )
    assert longest <= 5, "a slide is a screen"


def test_a_cell_keeps_its_id_and_a_new_one_gets_a_name():
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# a", id=each)
            for each in ("cell-007", "ring", "0a1b2c3d")
        ]
    )
    assert [cell.id for cell in normalise(book).cells] == ["cell-007", "ring", "cell-008"]


@books
def test_uses_nothing_that_strict_comparison_cannot_bear(path):
    for cell in cells(path):
        assert not BANNED.search(cell.source), cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
        ast.parse(cell.source)


@books
def test_every_picture_has_a_digest_of_its_data(path):
    for cell in cells(path):
        shown = [out.get("data", {}).get("text/html", "") for out in cell.outputs]
        images = sum("data:image/png" in html for html in shown)
        printed = "".join(out.get("text", "") for out in cell.outputs)
        assert printed.count("figure data sha256:") == images, cell.source


def test_nbval_compares_all_of_a_figure_but_its_pixels():
    lines = (ROOT / "notebooks/nbval.cfg").read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split(": ", 1) for line in lines if ": " in line)
    first, other, renamed = (
        re.sub(pairs["regex"], pairs["replace"], png_image(pixels, says, (330, 480)))
        for pixels, says in ((b"one", "A line"), (b"another", "A line"), (b"one", "A curve"))
    )
    assert first == other != renamed


@books
def test_every_picture_has_words_for_those_who_do_not_see_it(path):
    for cell in cells(path):
        for out in cell.outputs:
            data = out.get("data", {})
            assert not any(kind.startswith("image/") for kind in data), cell.source
            images = re.findall(r"<img[^>]*>", data.get("text/html", ""))
            assert all(re.match(r'<img alt="[^"]{15,}"', each) for each in images), cell.source


@pytest.mark.parametrize("name", ["04_the_log", "10_clients"])
def test_a_page_made_of_a_lesson_has_the_words_of_each_picture(name):
    html = pytest.importorskip("nbconvert").HTMLExporter()
    page, _ = html.from_filename(str(ROOT / "notebooks" / f"{name}.ipynb"))
    images = re.findall(r"<img[^>]*>", page)
    assert len(images) > 5
    for image in images:
        assert len(re.search(r'alt="([^"]*)"', image)[1]) > 15, image[:200]
        assert "No description" not in image, image[:200]


@books
def test_every_widget_has_a_still_picture_and_says_something_in_words(path):
    for cell in cells(path):
        for out in cell.outputs:
            data = out.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data:
                assert "<img alt=" in data["text/html"], cell.source
                assert len(data["text/plain"]) > 40, cell.source


@books
def test_keeps_to_the_form_of_a_lesson(path):
    code, prose = cells(path), cells(path, "markdown")
    lines = [len([line for line in c.source.splitlines() if line.strip()]) for c in code]
    words = [len(c.source.split()) for c in prose]
    assert statistics.median(lines) <= 5
    assert max(lines) <= 25
    assert sum(lines) <= 350
    assert max(words) <= 160
    assert sum(words) >= 6 * sum(lines)
    text = "\n".join(c.source for c in prose)
    for heading in HEADINGS:
        assert re.search(rf"^##+ .*{heading}", text, re.M), heading
    assert sum("assert" in c.source or "check(" in c.source for c in code) >= 5


@books
def test_links_to_files_that_exist(path):
    text = "\n".join(c.source for c in cells(path, "markdown"))
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
    for page, anchor in re.findall(r"\]\((book/\w+\.md)#([^)]+)\)", text):
        assert f'<a id="{anchor}">' in (path.parent / page).read_text(encoding="utf-8"), anchor


def next_lesson(path: Path) -> str:
    """The name of the lesson after this one; ``""`` if there is none."""
    later = BOOKS[BOOKS.index(path) + 1 :]
    return later[0].name if later else ""


@books
def test_leads_to_the_map_and_to_its_neighbours(path):
    prose = [c.source for c in cells(path, "markdown")]
    before = BOOKS[BOOKS.index(path) - 1].name if path != BOOKS[0] else ""
    assert "[Map](book/map.md)" in prose[0]
    assert before in prose[0]
    assert next_lesson(path) in prose[0]
    assert next_lesson(path) in prose[-1]


@books
def test_a_prediction_has_a_place_to_answer_and_its_answer_follows(path):
    field = '<textarea rows="2" style="width:95%" title="Your prediction"'
    open_question = ""
    for cell in cells(path, "markdown"):
        if "**Answer.**" in cell.source:
            open_question = ""
        if "**Predict.**" in cell.source:
            assert not open_question, f"no answer to: {open_question}"
            assert field in cell.source, cell.source
            open_question = cell.source
    assert not open_question, f"no answer to: {open_question}"


def exercises(path: Path):
    """The exercise cells: imports, placeholders, and a call of a check as the last line."""
    for cell in cells(path):
        tree = ast.parse(cell.source)
        names = [name for node in tree.body if (name := placeholder(node)) is not None]
        if names:
            yield cell, tree, names


def placeholder(node: ast.stmt) -> str | None:
    """The name that a learner is to fill in, if ``node`` leaves it open."""
    if isinstance(node, ast.Assign) and is_open(node.value):
        return node.targets[0].id
    if isinstance(node, ast.FunctionDef):
        last = node.body[-1]
        if isinstance(last, ast.Return | ast.Expr) and last.value and is_open(last.value):
            return node.name
    return None


def is_open(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is ...


def attempt(path: Path, tree: ast.Module, answers: dict, capsys) -> str:
    """Run an exercise cell with these answers in place of its placeholders; return what it says."""
    imports = [
        node
        for cell in cells(path)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    rest = [node for node in tree.body if placeholder(node) not in answers]
    scope: dict = {}
    exec(compile(ast.Module(imports, []), path.name, "exec"), scope)
    scope.update(answers)  # last: an answer may have the name of something imported
    capsys.readouterr()
    exec(compile(ast.Module(rest, []), path.name, "exec"), scope)
    return capsys.readouterr().out


@books
def test_the_exercises_can_be_solved_and_are_stored_unsolved(path, capsys):
    solutions = importlib.import_module(f"kvraft.course.solutions.s{path.stem}")
    found = []
    for cell, tree, names in exercises(path):
        found += names
        stored = "".join(out.get("text", "") for out in cell.outputs)
        assert "Not answered yet" in stored, cell.source
        exec(compile(cell.source, path.name, "exec"), {})  # first of all, in a kernel just started
        assert capsys.readouterr().out.startswith("Not answered yet"), cell.source
        right = {name: solutions.RIGHT[name] for name in names}
        assert attempt(path, tree, right, capsys).startswith("Right"), names
        for name in names:  # all the wrong ones are tried in test_exercises.py
            said = attempt(path, tree, right | {name: solutions.WRONG[name][0]}, capsys)
            assert said.startswith("Not yet"), (name, said)
    assert sorted(found) == sorted(solutions.RIGHT)
    assert len(found) >= 2


def test_the_check_of_a_value_gives_nothing_away(capsys):
    check("right", digest("right"))
    check("wrong", digest("right"), hint="Think.")
    check(..., digest("right"))
    check(object(), digest("right"))
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["Right.", "Not yet. Think."]
    assert said[2].startswith("Not answered yet")
    assert said[3].startswith("Not yet. <object object> is not an answer")


GOOD = "from kvraft.disk.frame import checksum_seed\nprint(checksum_seed('n1'))"
LEAVES = f"{GOOD}\nimport tempfile\nfile = tempfile.mkstemp()"
SMALL = f"""{GOOD}
from kvraft.viz.figures import show, style
figure, axes = style.one_panel(2)
text = axes.text(0.1, 0.9, "small", fontsize=8)
show(style.titled(figure, "A title"), 1)
"""
CELLS = {"good": (GOOD, 0), "false": (GOOD, 1), "leaves": (LEAVES, 0), "small": (SMALL, 0)}
"""Lessons of one cell: what it does, and by how much its stored output is wrong."""


def test_nbval_sees_a_changed_output_and_our_plug_in_what_is_left_and_what_is_too_small(tmp_path):
    """The comparison is alive."""
    for name, (source, wrong) in CELLS.items():
        text = f"{checksum_seed('n1') + wrong}\n"
        output = nbformat.v4.new_output("stream", name="stdout", text=text)
        cell = nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    command += ["-p", "tests.helpers.lessons", "--nbval-current-env", "-rA", str(tmp_path)]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1, done.stdout
    said = re.findall(r"^(PASSED|FAILED) \S*?(\w+)\.ipynb", done.stdout, re.MULTILINE)
    ended = {name: how for how, name in said}
    assert ended == {"good": "PASSED", "false": "FAILED", "leaves": "PASSED", "small": "FAILED"}
    assert re.search(r"'small' is [\d.]+ pixels high", done.stdout), done.stdout
    assert done.stdout.count("left behind: ") == 1


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ .*$", "\n".join(c.source for c in cells(path, "markdown")), re.M)


@books
def test_sections_are_counted_without_a_gap_and_neighbours_are_called_by_their_names(path):
    numbers = [int(n) for each in headings(path) for n in re.findall(r"^## (\d+) · ", each)]
    assert numbers == list(range(1, len(numbers) + 1))
    titles = [headings(each)[0].removeprefix("# ").replace(" · ", " ") for each in BOOKS]
    named = re.findall(r"\[(?:← )?(\d\d [^\]]*?)(?: →)?\]", cells(path, "markdown")[0].source)
    assert named, path
    for name in named:  # perhaps a shorter one
        assert any(title.startswith(name) for title in titles), name


#: the sections and figures that the papers have, as far as lessons cite them
CITABLE = {
    "raft": "5 5.1 5.2 5.3 5.4 5.4.1 5.4.2 5.4.3 5.5 5.6 6 7 8 9.3",
    "thesis": "3.6 3.10 4.1 4.2.1 4.2.3 6.2 6.3 6.4 6.4.1 8.1 8.2 8.4 9.6 10.2 10.2.1 10.2.2",
    "bigtable": "4 5.3 5.4 6",
}
FIGURES = {1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 16}  # all are Raft's


@books
def test_cites_sections_and_figures_that_the_papers_have(path):
    sections = {number for numbers in CITABLE.values() for number in numbers.split()}
    for cell in cells(path, "markdown"):
        named = set(re.findall(r"§ ?([\d.]*\d)", cell.source))
        assert named <= sections, cell.source
        for paper, first in re.findall(r"papers\.md#(\w+)\),? §(\d+(?:\.\d+)*)", cell.source):
            assert paper not in CITABLE or first in CITABLE[paper].split(), cell.source
        for listed in re.findall(r"\bFigures? (\d+(?:(?:, | and | to )\d+)*)", cell.source):
            assert {int(each) for each in re.findall(r"\d+", listed)} <= FIGURES, cell.source
