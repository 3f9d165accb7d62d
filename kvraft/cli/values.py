"""Readers of option values: each rejects a wrong value before the command starts.

They raise :class:`argparse.ArgumentTypeError`, which argparse prints as one sentence.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path


def whole_number(least: int, what: str) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least ``least``; ``what`` names them."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{what} must be at least {least}, not {number}")
        return number

    return read


def seeds(text: str) -> range:
    """Return the seeds that ``text`` names: one, or a range such as 1-9."""
    first, _, last = text.partition("-")
    try:
        start, stop = int(first), int(last or first)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text:.40} is neither a seed, such as 7, nor a range, such as 1-9"
        ) from None
    if start > stop:
        raise argparse.ArgumentTypeError(f"{text:.40} runs backwards: write {stop}-{start}")
    return range(start, stop + 1)


def acts(text: str) -> tuple[int, ...]:
    """Return the numbers of acts in ``text``, which commas separate, in order; or ``none``."""
    if text == "none":
        return ()
    try:
        found = sorted({int(number) for number in text.split(",")})
    except ValueError:
        found = [-1]
    if found[0] < 0:
        raise argparse.ArgumentTypeError(f"{text:.40} is not a list of acts, such as 3,9,41")
    return tuple(found)


def names(text: str) -> list[str]:
    """Return the names in ``text``, which commas separate; none for the word ``none``."""
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def output_file(text: str) -> Path:
    """Return the path of a file to write; reject it now, not after hours of work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a directory: name a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is not a directory")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be written: no permission")
    return path


def figure_file(text: str) -> Path:
    """Return the path of a picture to write, a .png or a .svg."""
    path = output_file(text)
    if path.suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"a figure is a .png or a .svg, not {path.name}")
    return path


def picture_file(text: str) -> Path:
    """Return the path of a picture to write, a .svg or a .html."""
    path = output_file(text)
    if path.suffix not in (".svg", ".html"):
        raise argparse.ArgumentTypeError(f"a picture is a .svg or a .html, not {path.name}")
    return path


def output_folder(text: str) -> Path:
    """Return the path of a folder for output; the command creates it if it is missing."""
    path = Path(text)
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{there} is not a directory")
    if not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{there} cannot be written to: no permission")
    return path
