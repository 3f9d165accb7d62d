"""Builds the playground into a folder that any static server can serve as it is.

::

    DIR/index.html, *.mjs, style.css     the page, copied from page/
    DIR/sandbox.js, sandbox.css          the sandbox's module and style, as in notebooks
    DIR/kvraft.zip                       kvraft and sortedcontainers, as they are installed here
    DIR/pyodide/                         Python for the browser: what its core needs, from npm

Invariants:

- Equal sources give equal bytes, whenever and wherever they are packed.
- The list of packages that Pyodide knows is emptied: it cannot ask any server for one.
- Pyodide is fetched once for each of its versions; without a network a page can be built again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from kvraft.errors import BadInput
from kvraft.viz.sandbox import css, module

PYODIDE = "314.0.7"
"""The version of Pyodide, which has Python 3.14: the only place that names it."""
CORE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
"""What is taken from its package; its lock file and its ``package.json`` are made smaller."""

_PAGE = Path(__file__).parent / "page"
_PACKAGE = Path(__file__).parent.parent.parent


def build(folder: Path) -> None:
    """Build the playground in ``folder``; files of the same names there are replaced.

    Raises :class:`~kvraft.errors.BadInput` if npm is missing or cannot fetch Pyodide.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _fetch_pyodide(folder / "pyodide")
    for file in sorted(_PAGE.iterdir()):
        shutil.copyfile(file, folder / file.name)
    (folder / "sandbox.js").write_text(module(), encoding="utf-8")
    (folder / "sandbox.css").write_text(css(), encoding="utf-8")
    with ZipFile(folder / "kvraft.zip", "w") as archive:
        for name, path in _modules():
            entry = ZipInfo(name)  # as if it were from 1980: equal sources, equal bytes
            entry.compress_type = ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive, and the path, of all that Python in the page imports or reads.

    It reads missions.
    """
    missions = (_PACKAGE / "check" / "missions").rglob("*.toml")
    for path in sorted([*_PACKAGE.rglob("*.py"), *missions]):
        yield path.relative_to(_PACKAGE.parent).as_posix(), path
    for file in sorted(distribution("sortedcontainers").files or ()):
        if file.suffix == ".py" or "LICENSE" in file.name:
            yield file.as_posix(), Path(str(file.locate()))


def _fetch_pyodide(folder: Path) -> None:
    """Take Pyodide's core from npm into ``folder``, unless this version of it is there."""
    marker = folder / "package.json"
    if marker.exists() and json.loads(marker.read_bytes()).get("version") == PYODIDE:
        return
    with tempfile.TemporaryDirectory() as place, _packed(Path(place)) as archive:
        folder.mkdir(exist_ok=True)
        for name in CORE_FILES:
            (folder / name).write_bytes(_read(archive, name))
        lock = json.loads(_read(archive, "pyodide-lock.json"))
        _write_json(folder / "pyodide-lock.json", lock | {"packages": {}})
        about = json.loads(_read(archive, "package.json"))
        kept = {field: about[field] for field in ("name", "version", "license")}
        _write_json(marker, kept)  # last: it says that all others are there


def _packed(place: Path) -> tarfile.TarFile:
    """Return the package ``pyodide``, which npm writes to the folder ``place``."""
    npm = shutil.which("npm")
    if npm is None:
        raise BadInput(
            "npm is not installed here, and the playground takes Python for the browser from it: "
            "install Node.js, which brings npm"
        )
    command = [npm, "pack", f"pyodide@{PYODIDE}", "--silent", "--pack-destination", str(place)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    found = list(place.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise BadInput(f"npm cannot fetch pyodide {PYODIDE}: {reason[-1]}")
    return tarfile.open(found[0])


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        file = archive.extractfile(f"package/{name}")
    except KeyError:
        file = None
    if file is None:
        raise BadInput(f"the package pyodide {PYODIDE} has no file {name}")
    return file.read()


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
