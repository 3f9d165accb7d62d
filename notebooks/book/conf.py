"""The book: all lessons, the pages around them, and the reference from docstrings, by Sphinx.

``make book`` builds it into ``.book/html``.  Nothing is executed: lessons are shown with the outputs
that are stored in them.  The source is a copy of ``notebooks``, because the reference writes a page for each module into it.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

project = "kvraft"
copyright = "the authors of kvraft"  # Sphinx's name for it
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_codeautolink",
]
root_doc = "book/index"
exclude_patterns = ["book/_*"]
templates_path = ["book/_templates"]  # from the folder of the source
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

autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "ignore-module-all": True,  # a name is described where it is defined, not at each door
}
autodoc_typehints = "signature"
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
    """Connect the two to Sphinx."""
    app.connect("source-read", link_code_to_its_page)
    app.add_post_transform(DescribePictures)
