"""A plug-in of pytest that sees what nbval does not compare, while it runs a lesson.

``python -m pytest -p tests.helpers.lessons --nbval notebooks`` fails, too, if

- a lesson leaves something behind, next to it or in the folder of temporary files: it would meet
  that when it is run again;
- a figure that a lesson shows cannot be read (``tests/viz/figure_faults.py``).

::

    pytest ──► workers ──► kernels      with TMPDIR      a folder that must be empty in the end
                                             IPYTHONDIR  a profile that watches ``show``
"""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTUP = '__import__("tests.viz.figure_faults").viz.figure_faults.watch_figures()\n'
Files = set[tuple[Path, int]]
FOLDERS = pytest.StashKey[list[tempfile.TemporaryDirectory]]()
PLACES = pytest.StashKey[list[Path]]()
BEFORE = pytest.StashKey[Files]()
LEFT = pytest.StashKey[list[str]]()


def files(config) -> Files:
    """Return what a lesson could have made or changed, each with the time of its change."""
    found = [path for place in config.stash[PLACES] for path in place.rglob("*")]
    found = [path for path in found if "__pycache__" not in path.parts]
    return {(path, 0 if path.is_dir() else path.stat().st_mtime_ns) for path in found}


def pytest_configure(config):
    """Prepare what kernels are given, unless this is a worker: it has that from its parent."""
    if hasattr(config, "workerinput"):
        return
    temporary, profile = folders = [tempfile.TemporaryDirectory() for _ in range(2)]
    startup = Path(profile.name, "profile_default/startup")
    startup.mkdir(parents=True)
    (startup / "watch.py").write_text(STARTUP)
    os.environ["TMPDIR"], os.environ["IPYTHONDIR"] = temporary.name, profile.name
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    config.stash[FOLDERS] = folders
    given = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    lessons = [path if path.is_dir() else path.parent for path in given]
    config.stash[PLACES] = [*lessons, Path(temporary.name)]
    config.stash[BEFORE] = files(config)


def pytest_sessionfinish(session):
    """Compare what there is with what there was."""
    config = session.config
    if FOLDERS in config.stash:
        left = files(config) ^ config.stash[BEFORE]
        config.stash[LEFT] = sorted({str(path) for path, _ in left})
        if left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for folder in config.stash[FOLDERS]:
            folder.cleanup()


def pytest_terminal_summary(terminalreporter, config):
    """Name what was left behind, changed or removed."""
    for path in config.stash.get(LEFT, []):
        terminalreporter.write_line(f"left behind: {path}", red=True)
