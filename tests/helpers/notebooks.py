"""Run notebooks and store their outputs, the same bytes every time.

``python -m tests.helpers.notebooks notebooks/*.ipynb`` (or ``make notebooks``).  What a run may
add by itself (times, widget state, random ids of new cells) is left out, so a
notebook changes on disk only if its cells or their outputs did.

Each cell is also told what it is on a slide, by what it says: ``jupyter nbconvert --to slides``
makes slides of a lesson from that.  A cell keeps its id for good, so that a check, a link and a
learner's copy find it again.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
NUMBERED = re.compile(r"cell-(\d{3,})")
RANDOM_ID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMMENTS = ("**Answer.", "**Explain.", "**Look.")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def normalise(book: Any) -> Any:
    """Take out of a notebook what would differ from one run or machine to the next."""
    book.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    name_new_cells(book.cells)
    for number, cell in enumerate(book.cells):
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
        before = book.cells[number - 1] if number else None
        cell.metadata["slideshow"] = {"slide_type": slide_type(cell, before)}
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            widget = output.get("data", {}).get(WIDGET)
            if widget is not None:  # its id is drawn by chance, and means nothing later
                widget["model_id"] = f"{number:032x}"
    return book


def name_new_cells(cells: list[Any]) -> None:
    """Give cells with a random id the next free number; all others keep the id that they have."""
    numbers = [int(found[1]) for cell in cells if (found := NUMBERED.fullmatch(cell.id))]
    free = max(numbers, default=-1) + 1
    for cell in cells:
        if RANDOM_ID.fullmatch(cell.id):
            cell.id, free = f"cell-{free:03d}", free + 1


def slide_type(cell: Any, before: Any) -> str:
    """Return what a cell is on a slide, from its first words and the cell ``before`` it.

    A heading begins a slide.  Prose begins one below it, together with the code that it leads to,
    except where it comments on what was just seen: that comes when the speaker wants it, and the
    next code has a slide of its own.  Cells that only assert are for the reader.
    """
    if cell.source.startswith(COMMENTS):
        return "fragment"
    if cell.cell_type == "markdown":
        if cell.source.startswith("#"):
            return "slide"
        short = len(cell.source.split()) < 60
        return "-" if short and before.source.startswith("##") else "subslide"
    if all(line.startswith(("assert", " ", ")")) for line in cell.source.splitlines() if line):
        return "skip"
    new = before is None or before.cell_type == "code" or before.source.startswith(COMMENTS)
    return "subslide" if new else "-"


def joined(outputs: list[Any]) -> list[Any]:
    """Join what a cell printed in one go: where the kernel parts it depends on its speed."""
    whole: list[Any] = []
    for output in outputs:
        stream = output.get("output_type") == "stream"
        if stream and whole and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def run(path: Path) -> bool:
    """Run one notebook; return whether its file changed."""
    before = path.read_text(encoding="utf-8")
    book = nbformat.reads(before, as_version=4)
    client = NotebookClient(
        book,
        timeout=120,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    after = nbformat.writes(normalise(book)) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def main(paths: list[str]) -> None:
    """Run the notebooks at ``paths`` and say which changed."""
    os.environ["PYTHONHASHSEED"] = "0"
    for path in map(Path, paths):
        print(path, "changed" if run(path) else "unchanged")


if __name__ == "__main__":
    main(sys.argv[1:])
