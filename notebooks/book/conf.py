"""The book: all lessons, the pages around them, and the reference from docstrings, by Sphinx.

``make book`` builds it into ``.book/html``.  Nothing is executed: lessons are shown with the
outputs that are stored in them.  The source is a copy of ``notebooks``, because the reference
writes a page for each room of the package into it.
"""

from __future__ import annotations

import gc
import re
from html import unescape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

import kvraft

gc.set_threshold(100_000, 20, 20)  # pages are many objects, and live long

project = "kvraft"
copyright = "the authors of kvraft"  # Sphinx's name for it
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_codeautolink",
]
root_doc = "book/index"
exclude_patterns = ["book/_*"]
html_theme = "furo"
html_title = "kvraft"
html_static_path = ["_static"]
html_css_files = ["lessons.css"]
html_theme_options = {
    "dark_css_variables": {  # MyST-NB has colours for light pages only
        "mystnb-source-bg-color": "#202020",
        "mystnb-stdout-bg-color": "#1a1c1e",
        "mystnb-stderr-bg-color": "#3a2020",
        "mystnb-traceback-bg-color": "#3a2020",
        "mystnb-source-border-color": "#444444",
    }
}
html_show_sourcelink = False
html_copy_source = False

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "ignore-module-all": True,  # a name is described where it is defined, not at each door
}
autodoc_typehints = "signature"
autodoc_use_type_comments = False
add_module_names = False

nb_execution_mode = "off"
# A widget needs a kernel; its still picture does not.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
codeautolink_warn_on_missing_inventory = False
myst_heading_anchors = 3
# A link to an anchor of the glossary is plain HTML, which MyST does not know; the test of the book
# follows every link of the finished pages instead.
suppress_warnings = ["myst.xref_missing", "myst.header", "mystnb.mime_priority", "ref.python"]
viewcode_follow_imported_members = False

PACKAGE = Path(kvraft.__file__).parent


def write_reference(app: Sphinx) -> None:
    """Write a page for each room: its door, its modules, and the way to the rooms inside it.

    A page for each module would be four hundred entries in the navigation of each page.
    """
    folder = Path(app.srcdir, "book/api")
    folder.mkdir(exist_ok=True)
    for door in PACKAGE.rglob("__init__.py"):
        room = ".".join(door.relative_to(PACKAGE.parent).parent.parts)
        modules = sorted(f"{room}.{each.stem}" for each in door.parent.glob("[!_]*.py"))
        inside = sorted(f"{room}.{each.parent.name}" for each in door.parent.glob("*/__init__.py"))
        parts = [".. autolink-skip:: file\n"]  # few examples, of what the page describes
        parts += [_headed(room, "="), *(_headed(each, "-") for each in modules)]
        parts += [".. toctree::\n   :titlesonly:\n", *(f"   {each}" for each in inside)]
        (folder / f"{room}.rst").write_text("\n".join(parts) + "\n", encoding="utf-8")


def _headed(module: str, line: str) -> str:
    return f"{module}\n{line * len(module)}\n\n.. automodule:: {module}\n"


_titles: dict[str, Any] = {}  # of all pages: their titles, and the pages below each
_navigation: dict[int, str] = {}  # of pages of source, by the depth of their folder


def draw_navigation(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Draw the navigation from the titles of pages, all that it shows.

    Sphinx would copy the contents of every page, with each name that it describes, once for each
    page.  Pages of source have one navigation: none of them is in it.
    """
    draw = context["toctree"]

    def draw_titles(**options: Any) -> str:
        contents, app.env.tocs = app.env.tocs, _titles
        try:
            return draw(**options)
        finally:
            app.env.tocs = contents

    def draw_once(**options: Any) -> str:
        depth = page.count("/")
        if depth not in _navigation:
            _navigation[depth] = draw_titles(**options)
        return _navigation[depth]

    if not _titles:
        _titles.update((name, _titles_of(toc)) for name, toc in app.env.tocs.items())
    context["toctree"] = draw_once if page.startswith("_modules/") else draw_titles


def _titles_of(toc: nodes.Element) -> nodes.Element:
    toc = toc.deepcopy()
    for item in toc:
        for below in item[1:]:
            below[:] = below.findall(addnodes.toctree)
            if not below.children:
                item.remove(below)
    return toc


class FindNames(SphinxPostTransform):
    """Find what a signature names in an index: Sphinx goes through all names for each."""

    default_priority = 5  # before references are resolved
    _index: ClassVar[dict[str, list[str]]] = {}  # full names by the last part

    def run(self, **_: Any) -> None:
        """Visit all references of the page."""
        if not self._index:
            for name in self.env.domains.python_domain.objects:
                self._index.setdefault(name.rpartition(".")[2], []).append(name)
        for reference in list(self.document.findall(addnodes.pending_xref)):
            if reference.get("refdomain") == "py" and reference.hasattr("refspecific"):
                target = reference["reftarget"]
                named = self._index.get(target.rpartition(".")[2], [])
                found = [name for name in named if f".{name}".endswith(f".{target}")]
                if not found:
                    reference.replace_self(reference.children)
                elif len(found) == 1:
                    reference["reftarget"] = found[0]


SOURCE = r"(?:\.\./)+((?:kvraft|tests|data|README)[^)\s#\"]*)(?:#[^)\s\"]*)?"
INLINE = re.compile(r"\[([^\[\]]*)\]\(" + SOURCE + r"\)")
DEFINED = re.compile(r"^\[([^\]]*)\]: " + SOURCE + "$", re.MULTILINE)


def link_code_to_its_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files of the package lead to their source in the book; others become text."""
    up = "../" * page.count("/")

    def to(file: str) -> str:
        if not re.match("kvraft/.*py$", file):
            return ""
        if file.endswith("/__init__.py"):
            return f"{up}book/api/{file.removesuffix('/__init__.py').replace('/', '.')}.html"
        return f"{up}_modules/{file.removesuffix('.py')}.html"

    def link(words: str, file: str) -> str:
        words = words.strip("`")
        # Single quotes: the text may be the JSON of a lesson.
        return f"<a href='{to(file)}'><code>{words}</code></a>" if to(file) else words

    text = source[0]
    for name, file in DEFINED.findall(text):
        text = text.replace(f"[{name}]", link(name, file))
    text = re.sub(r"^(<a href=.*</a>|\S+): (\.\./)+\S+$", "", text, flags=re.MULTILINE)
    # JupyterLab's anchors of headings keep their capitals, MyST's do not.
    text = re.sub(r"\]\(#[^)]+\)", lambda found: found[0].lower(), text)
    source[0] = INLINE.sub(lambda found: link(found[1], found[2]), text)


LABEL = re.compile(r'aria-label="([^"]*)"|<title[^>]*>([^<]*)</title>')


class DescribePictures(SphinxPostTransform):
    """Give each picture of a lesson its alternative text: what the same output says in words.

    These are its plain text, or, where that is only the name of a type, the label in the drawing.
    """

    default_priority = 3  # before myst-nb chooses one of the forms of an output

    def run(self, **_: Any) -> None:
        """Visit all outputs of the page."""
        for output in self.document.findall(nodes.container):
            if output.get("nb_element") != "mime_bundle":
                continue
            words = self._words(output)
            for picture in output.findall(nodes.image):
                picture["alt"] = words or self._label(picture["uri"])

    def _words(self, output: nodes.Node) -> str:
        for form in output.findall(nodes.Element):
            if form.get("mime_type") == "text/plain":
                text = form.astext().strip()
                return "" if text.startswith("<") else text
        return ""

    def _label(self, uri: str) -> str:
        file = Path(self.env.srcdir, uri.lstrip("/"))
        if file.suffix != ".svg" or not file.exists():
            return ""
        found = LABEL.search(file.read_text(encoding="utf-8"))
        return unescape(found[1] or found[2]) if found else ""


def setup(app: Sphinx) -> None:
    """Connect all of this to Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("html-page-context", draw_navigation, priority=400)  # before the theme does
    app.connect("source-read", link_code_to_its_page)
    app.add_post_transform(FindNames)
    app.add_post_transform(DescribePictures)
