"""How prose is printed: folded to the width of a terminal, in whole lines to a file or a pipe.

A program that reads a file or a pipe expects whole lines, whatever ``COLUMNS`` says (readline
leaves it in the environment).  Rows of a table, JSON and pictures are never folded: that would make
them unreadable.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TextIO

NARROWEST = 20


def columns(stream: TextIO | None = None) -> int | None:
    """Return the width of ``stream`` in characters, or ``None`` if it is not a terminal.

    ``stream`` is standard output by default, here and in :func:`say`.
    """
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
        break_long_words=False,  # a broken path could not be copied
        break_on_hyphens=False,
    )


def say(text: str, stream: TextIO | None = None) -> None:
    """Print prose to ``stream`` at once, folded to its width."""
    print(folded(text, columns(stream)), file=stream, flush=True)
