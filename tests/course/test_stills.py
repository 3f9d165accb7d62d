"""What cells show of a run: words in place of each picture, and nothing too small."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from tests.viz.sandbox.drawn import faults, inked, read

BOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
IMAGE = re.compile(r'<img alt="([^"]*)"[^>]* src="data:image/svg\+xml,([^"]*)">')

books = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def stills(path: Path):
    """Yield the pictures in the outputs of a lesson's cells: cell, words, SVG."""
    for cell in nbformat.read(path, as_version=4).cells:
        for out in cell.get("outputs", []):
            html = out.get("data", {}).get("text/html", "")
            assert html.count("data:image/svg+xml") == len(IMAGE.findall(html)), cell.id
            for says, source in IMAGE.findall(html):
                if unquote(source).startswith("<svg") and "viewBox='0 0 440 " in unquote(source):
                    yield cell.id, unescape(says), unquote(source)


@books
def test_every_picture_of_a_run_is_readable_and_says_what_it_shows(path):
    for cell, says, svg in stills(path):
        assert len(says) > 20, cell
        assert not faults(svg), cell
        assert inked(svg) >= 0.4, cell
        assert read(svg).size[0] == 440, cell
