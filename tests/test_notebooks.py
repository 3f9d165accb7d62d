"""What nbval does not look at: it passes a notebook that was never run, and compares no image."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kvraft.lesson import check

ROOT = Path(__file__).parent.parent
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
    assert [path.name for path in BOOKS][:1] == ["00_tour.ipynb"]


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
    assert [cell.id for cell in book.cells] == [f"cell-{n:03d}" for n in range(len(book.cells))]


@books
def test_uses_nothing_that_strict_comparison_cannot_bear(path):
    for cell in cells(path):
        assert not BANNED.search(cell.source), cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
        ast.parse(cell.source)


@books
def test_every_picture_has_a_digest_of_its_data(path):
    for cell in cells(path):
        images = sum("image/png" in out.get("data", {}) for out in cell.outputs)
        printed = "".join(out.get("text", "") for out in cell.outputs)
        assert printed.count("figure data sha256:") == images, cell.source


@books
def test_every_widget_has_a_still_picture_and_says_something_in_words(path):
    for cell in cells(path):
        for out in cell.outputs:
            data = out.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data:
                assert "image/svg+xml" in data, cell.source
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


SOLUTIONS = {"00_tour": ["CFAHBEDG", [11, 12, 13]]}


@books
def test_the_exercises_can_be_solved_and_are_stored_unsolved(path, capsys):
    source = "\n".join(cell.source for cell in cells(path))
    digests = re.findall(r'check\(\w+, "([0-9a-f]{12})"', source)
    for right, answer in zip(digests, SOLUTIONS[path.stem], strict=True):
        check(answer, right)
        check("something else", right, hint="Think.")
        check(..., right)
        check(object(), right)
    said = capsys.readouterr().out.splitlines()
    assert said[::4] == ["Right."] * len(digests)
    assert said[1::4] == ["Not yet. Think."] * len(digests)
    assert all(line.startswith("Not answered yet") for line in said[2::4])
    assert all(line.startswith("A object is no answer") for line in said[3::4])
    stored = path.read_text(encoding="utf-8")
    assert stored.count("Not answered yet") == len(digests)


def nbval(path: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    return subprocess.run(
        [*command, "--nbval-current-env", "--rootdir", str(home), str(path)],
        capture_output=True,
        text=True,
        cwd=home,
        timeout=300,
        check=False,
    )


def test_nbval_would_see_a_changed_output(tmp_path):
    """The comparison is alive: a notebook whose stored output is false must fail."""
    book = nbformat.v4.new_notebook()
    source = "from kvraft.frame import seed_of\nprint(seed_of('n1'))"
    truth = nbformat.v4.new_output("stream", name="stdout", text="1661408474\n")
    book.cells = [nbformat.v4.new_code_cell(source, outputs=[truth], execution_count=1)]
    path = tmp_path / "book.ipynb"
    from kvraft.frame import seed_of

    for number, passes in ((seed_of("n1"), True), (seed_of("n1") + 1, False)):
        book.cells[0].outputs[0].text = f"{number}\n"
        path.write_text(json.dumps(book), encoding="utf-8")
        done = nbval(path, tmp_path)
        assert (done.returncode == 0) is passes, done.stdout
