"""The names and files that the glossary and the lessons point to exist."""

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GLOSSARY = (ROOT / "notebooks" / "book" / "glossary.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in GLOSSARY.splitlines()
    if line.startswith("|") and not line.startswith(("|--", "| term "))
]


def names_of(path):
    """Return the names of all classes, functions, methods and fields in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
            found |= {t.attr for t in targets if isinstance(t, ast.Attribute)}
    return found


NAMES = set().union(*map(names_of, (ROOT / "kvraft").rglob("*.py")))


def exists(dotted):
    """Return whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_the_glossary_has_each_term_once_in_four_columns():
    assert len(ROWS) > 120
    assert {len(row) for row in ROWS} == {4}
    terms = [re.sub(r"<a id=.*?</a>", "", row[0]) for row in ROWS]
    # A run of the tree and a run under a seed are two things, and the rows say so.
    assert sorted({term for term in terms if terms.count(term) > 1}) == ["run"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_the_glossary_points_to_exists(row):
    files = re.findall(r"`([^`]+)`", row[-1])
    assert files or row[-1] == ""
    assert all((ROOT / "kvraft" / file).exists() for file in files), files
    assert all(name in NAMES for name in re.findall(r"`(\w+)`", row[1]))


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_what_a_lesson_points_to_exists(path):
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    for text in cells:
        for file in re.findall(r"`([\w/]+\.py)`", text):
            assert file.startswith("kvraft/") or (ROOT / "kvraft" / file).exists(), file
            assert not file.startswith("kvraft/") or (ROOT / file).exists(), file
        for name in re.findall(r"`(kvraft\.[\w.]+)`", text):
            assert exists(name), name
    (used,) = [text for text in cells if text.startswith("## Used here")]
    for name in re.findall(r"`([\w.]+)`", used):
        assert name.startswith("kvraft") or set(name.split(".")) <= NAMES, name
