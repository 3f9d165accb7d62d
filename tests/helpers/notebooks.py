"""Run notebooks and store their outputs, the same bytes every time.

``python -m tests.helpers.notebooks notebooks/*.ipynb`` (or ``make notebooks``).  What a run may
add by itself (times, widget state, random cell ids) is left out, so a
notebook changes on disk only if its cells or their outputs did.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def normalise(book: Any) -> Any:
    """Take out of a notebook what would differ from one run or machine to the next."""
    book.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            widget = output.get("data", {}).get(WIDGET)
            if widget is not None:  # its id is drawn by chance, and means nothing later
                widget["model_id"] = f"{number:032x}"
    return book


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
