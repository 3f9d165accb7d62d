"""The book is built from the sources alone, and every link inside it leads somewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from os.path import normpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("sphinx", reason="the book is built with Sphinx: pip install 'kvraft[book]'")
pytestmark = pytest.mark.timeout(1200)


class Page(HTMLParser):
    """The links, the anchors and the pictures of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loads: list[str] = []
        self.pictures: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.add(found.get("id") or "")
        if tag == "a":
            self.links.append(found.get("href") or "")
        if tag in ("script", "img", "iframe", "source"):
            self.loads.append(found.get("src") or "")
        if tag == "link" and found.get("rel") == "stylesheet":
            self.loads.append(found.get("href") or "")
        if tag == "img":
            self.pictures.append(found.get("alt") or "")


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The finished book, built as ``make book`` builds it, in which a warning is an error."""
    folder = tmp_path_factory.mktemp("book")
    source, html = folder / "source", folder / "html"
    shutil.copytree(ROOT / "notebooks", source)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
    command += ["-c", str(source / "book"), str(source), str(html)]
    built = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return html


@pytest.fixture(scope="module")
def pages(book) -> dict[Path, Page]:
    return {path: Page(path) for path in book.rglob("*.html")}


def test_has_all_lessons_pages_and_modules(book, pages):
    names = {path.relative_to(book).as_posix() for path in pages}
    assert {f"{path.stem}.html" for path in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert {f"book/{path.stem}.html" for path in (ROOT / "notebooks/book").glob("*.md")} <= names
    for path in (ROOT / "kvraft").rglob("*.py"):
        if path.name == "__init__.py" or not path.name.startswith("_"):
            room = ".".join(path.parent.relative_to(ROOT).parts)
            module = room if path.name == "__init__.py" else f"{room}.{path.stem}"
            assert f"module-{module}" in pages[book / f"book/api/{room}.html"].anchors


def test_every_link_inside_leads_somewhere(pages):
    lost = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link in ("", "#"):
                continue
            # There are very many links: asking the file system about each takes a minute.
            target = Path(normpath(path.parent / unquote(parts.path))) if parts.path else path
            there = target in pages if target.suffix == ".html" else target.exists()
            anchor = unquote(parts.fragment)
            if not there or (anchor and anchor not in pages[target].anchors):
                lost.append(f"{path.name}: {link}")
    assert not lost, "\n".join(sorted(set(lost)))


def test_loads_nothing_from_elsewhere(pages):
    assert not {each for page in pages.values() for each in page.loads if urlsplit(each).netloc}


def test_every_picture_is_described(pages):
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    found = [
        (p.name, words) for p, page in pages.items() if p.stem in lessons for words in page.pictures
    ]
    assert len(found) > 80
    for name, words in found:
        assert len(words) > 15, name
        assert not words.endswith((".png", ".svg")), name
