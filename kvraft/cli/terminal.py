"""How prose goes to a terminal: folded to its width, whole lines to anything else.

Who reads a file or a pipe looks for whole lines, whatever ``COLUMNS`` says: readline leaves it in
the environment of others.  Rows of a table, JSON and pictures are printed as they are: folded,
nobody could read them.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TextIO

NARROWEST = 20


def columns(stream: TextIO | None = None) -> int | None:
    """Return how wide ``stream`` (standard output) is, in characters; ``None`` if it has no end."""
    stream = stream or sys.stdout
    if stream is None or not stream.isatty():
        return None
    return max(NARROWEST, shutil.get_terminal_size().columns)


def folded(text: str, width: int | None) -> str:
    """Return ``text`` with every line folded to ``width``, under its own indentation.

    >>> print(folded("  a word and another", 14))
      a word and
        another
    """
    if width is None:
        return text
    return "\n".join(
        line if len(line) <= width else _fold(line, width) for line in text.split("\n")
    )


def _fold(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())][: width // 2]
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,  # a path in two halves could not be copied
        break_on_hyphens=False,
    )


def say(text: str, stream: TextIO | None = None) -> None:
    """Print prose to ``stream`` (standard output) at once, as wide as it is."""
    print(folded(text, columns(stream)), file=stream, flush=True)
