"""Copy the lessons to where a reader works on them, and never overwrite the reader's own work.

Invariant: a file that does not hold what was copied there is the reader's, and is not written to.
The digest of each copied file is recorded in ``.kvraft-lessons.json``, next to the lessons::

    {"00_tour.ipynb": "<sha256 of the file as it was copied>", ...}

A reader who only ran a cell has changed the lesson, because JupyterLab saves the outputs.  If the
record is lost, every lesson that differs from ours counts as changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvraft import __version__
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.resources import resource_folder

RECORD = ".kvraft-lessons.json"
FIRST = "00_tour.ipynb"
INSTALL = "pip install 'kvraft[lab]'"


class CopiedLessons(NamedTuple):
    """What :func:`copy_lessons` did with each lesson, by file name.

    ``new`` lessons did not exist, ``updated`` ones existed in an older version, ``beside`` were
    written next to a lesson that the reader has changed, and ``older`` could be updated.
    """

    new: list[str]
    updated: list[str]
    beside: list[str]
    older: list[str]


def lessons_path() -> Path:
    """Return the folder with the lessons that come with kvraft.

    Raises :class:`~kvraft.errors.BadInput` if they are not there.
    """
    folder = resource_folder("notebooks")
    if not (folder / FIRST).exists():
        raise BadInput(f"the lessons are missing: there is no {FIRST} in {folder}")
    return folder


def copy_lessons(
    folder: Path, *, update: bool = False, source: Path | None = None
) -> CopiedLessons:
    """Copy every lesson that ``folder`` lacks; with ``update`` also newer versions of the others.

    An unchanged copy is replaced by the newer version.  Next to a changed one, the newer version is
    written once, under another name.  ``source`` is the folder to copy from, by default that of
    the lessons that come with kvraft; folders inside it are not copied.  Raises
    :class:`~kvraft.errors.BadInput` if ``folder`` is a file.
    """
    source = source or lessons_path()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a directory")
    done = CopiedLessons([], [], [], [])
    if folder.resolve() == source.resolve():
        return done  # a reader who works in a clone has them already
    folder.mkdir(parents=True, exist_ok=True)
    record = _load_record(folder)
    for lesson in sorted(source.glob("*.ipynb")):
        _copy(lesson, folder, record, done, update)
    _replace(folder / RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return done


def _copy(
    lesson: Path, folder: Path, record: dict[str, str], done: CopiedLessons, update: bool
) -> None:
    """Copy one lesson to ``folder`` if it may be; note the result in ``record`` and ``done``."""
    data = lesson.read_bytes()
    ours, name = _digest(data), lesson.name
    path = folder / name
    copied_before = ours in record.values()  # this version, under this name or another
    there = _digest(path.read_bytes()) if path.exists() else None
    if there is None:
        _create(path, data)
        record[name] = ours
        done.new.append(name)
    elif there == ours:
        record[name] = ours
    elif copied_before:
        pass  # and changed since: it stays unchanged
    elif not update:
        done.older.append(name)
    elif there == record.get(name):
        _replace(path, data)
        record[name] = ours
        done.updated.append(name)
    else:
        other = _free_name(folder, path.stem)
        _create(folder / other, data)
        record[other] = ours
        done.beside.append(other)


def _free_name(folder: Path, stem: str) -> str:
    """Return a name for this version of a lesson that nothing in ``folder`` has."""
    number = 1
    while True:
        name = f"{stem}-{__version__}{f'-{number}' if number > 1 else ''}.ipynb"
        if not (folder / name).exists():
            return name
        number += 1


def _load_record(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: digest for name, digest in found.items() if isinstance(digest, str)}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _create(path: Path, data: bytes) -> None:
    with path.open("xb") as file:  # x: a file that appeared meanwhile is kept
        file.write(data)


def _replace(path: Path, data: bytes) -> None:
    """Replace ``path`` atomically, so that no crash leaves half of it."""
    half = path.with_name(f"{path.name}.new")
    half.write_bytes(data)
    os.replace(half, path)


def report(folder: Path, copied: CopiedLessons) -> list[str]:
    """Return what :func:`copy_lessons` did to ``folder``, as lines of text."""
    lines = []
    if copied.new:
        lines.append(f"{counted(len(copied.new), 'lesson')} copied to {folder}.")
    if copied.updated:
        lines.append(f"Replaced by a newer version: {', '.join(copied.updated)}.")
    if copied.beside:
        lines.append(
            f"Newer versions of lessons that you changed are next to them: "
            f"{', '.join(copied.beside)}."
        )
    if copied.older:
        lines.append(
            f"There are newer versions of {', '.join(copied.older)}: --update copies them, "
            f"and keeps what you changed."
        )
    return lines or [f"The lessons are in {folder}."]


def need_jupyterlab() -> None:
    """Raise :class:`~kvraft.errors.BadInput` unless JupyterLab is installed here."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise BadInput(
            f"JupyterLab is not installed: {INSTALL}, or copy the lessons alone with --no-open"
        )


def jupyterlab(folder: Path, flags: Sequence[str]) -> list[str]:
    """Return the command that opens the first lesson of ``folder``; ``flags`` are JupyterLab's."""
    # JupyterLab refuses to run as root without this flag; containers often have no other user.
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    place = f"--ServerApp.root_dir={folder.resolve()}"
    return [sys.executable, "-m", "jupyterlab", place, *root, *flags, str(folder.resolve() / FIRST)]


def open_lessons(folder: Path, flags: Sequence[str]) -> int:
    """Run JupyterLab on ``folder`` until it ends; return its exit status."""
    server = subprocess.Popen(jupyterlab(folder, flags))
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            pass  # the server got it as well, and asks for confirmation
