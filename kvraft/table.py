"""Small HTML tables: what a notebook shows of a thing that is looked at by itself.

Text and nothing else, without pictures or colours, so that it looks as the notebook does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LEFT = "style='text-align:left'"


def html_table(caption: str, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> str:
    """Return a table: a caption, the names of its ``columns``, if any, and its rows.

    The first cell of a row says what the row is about.  Cells are shown as ``str`` shows them.
    """
    head = "".join(f"<th {_LEFT}>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    lines = f"<tr>{head}</tr>{body}" if columns else body
    return f"<table><caption>{escape(caption)}</caption>{lines}</table>"


def _cells(row: Sequence[object]) -> str:
    kinds = ("th", *("td",) * (len(row) - 1))
    return "".join(
        f"<{kind} {_LEFT}>{escape(str(cell))}</{kind}>"
        for kind, cell in zip(kinds, row, strict=True)
    )
