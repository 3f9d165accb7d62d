"""How counts and small tables are shown, in messages, in a terminal and in a notebook.

Every message and every output uses these functions, so that all look alike.  Tables are plain HTML
without pictures or colours, so that they look like the notebook around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_ES = ("sh", "ch", "s", "x")
_LEFT = "style='text-align:left'"


def counted(number: int, noun: str) -> str:
    """Return ``number`` with commas and ``noun``, in the plural unless there is one.

    >>> counted(1, "table"), counted(0, "entry"), counted(1707, "key")
    ('1 table', '0 entries', '1,707 keys')
    """
    return f"{number:,} {noun if number == 1 else plural_of(noun)}"


def listed(things: Iterable[object]) -> str:
    """Return one or more things as text, with "and" before the last.

    >>> listed([1]), listed(["n1", "n2", "n3"])
    ('1', 'n1, n2 and n3')
    """
    *some, last = map(str, things)
    return f"{', '.join(some)} and {last}" if some else last


def plural_of(noun: str) -> str:
    """Return the plural of ``noun``; the last word of several is the one that changes.

    >>> plural_of("log entry"), plural_of("flush"), plural_of("day"), plural_of("knife")
    ('log entries', 'flushes', 'days', 'knives')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith("fe"):
        return noun[:-2] + "ves"
    return noun + ("es" if noun.endswith(_ES) else "s")


def html_table(caption: str, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> str:
    """Return a table as HTML: a caption, the names of its ``columns``, if any, and its rows.

    The first cell of a row is its heading.  Cells are shown as ``str`` shows them.
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
