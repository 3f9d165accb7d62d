"""``kvraft lab``: lessons are copied, kept up to date, and a reader's own work is never lost."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kvraft import __version__
from kvraft.cli import cli
from kvraft.course import copies as lessons
from kvraft.course.copies import RECORD, copy_lessons, lessons_path, report
from kvraft.errors import BadInput

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "package" / "notebooks"
    folder.mkdir(parents=True)
    for name in ("00_tour", "01_elections", "02_replication"):
        (folder / f"{name}.ipynb").write_text(f"{name}, first version\n")
    (folder / "notes.txt").write_text("no lesson")
    (folder / "book").mkdir()  # the source of the book stays in the package
    (folder / "book" / "glossary.md").write_text("no lesson")
    return folder


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine"


def publish(source, *names):
    for name in names:
        (source / f"{name}.ipynb").write_text(f"{name}, second version\n")


def contents(folder):
    return {path.name: path.read_text() for path in folder.glob("*.*") if path.name != RECORD}


def test_all_lessons_are_copied_and_nothing_else(source, mine):
    assert len(copy_lessons(mine / "deep", source=source).new) == 3
    assert sorted(contents(mine / "deep")) == [
        "00_tour.ipynb",
        "01_elections.ipynb",
        "02_replication.ipynb",
    ]
    assert not any(copy_lessons(mine / "deep", source=source))


@pytest.mark.parametrize("update", [False, True])
def test_a_changed_lesson_is_never_written_to(source, mine, update):
    copy_lessons(mine, source=source)
    (mine / "00_tour.ipynb").write_text("my answers")
    publish(source, "00_tour")
    copy_lessons(mine, source=source, update=update)
    assert (mine / "00_tour.ipynb").read_text() == "my answers"


@pytest.mark.parametrize("record", [None, "", "[1]", '{"00_tour.ipynb": 3}'])
def test_without_its_record_every_lesson_that_differs_counts_as_changed(source, mine, record):
    copy_lessons(mine, source=source)
    (mine / RECORD).unlink() if record is None else (mine / RECORD).write_text(record)
    publish(source, "00_tour")
    copied = copy_lessons(mine, source=source, update=True)
    assert copied.beside == [f"00_tour-{__version__}.ipynb"]
    assert (mine / "00_tour.ipynb").read_text() == "00_tour, first version\n"


def test_a_file_of_the_same_name_that_was_there_first_stays(source, mine):
    mine.mkdir()
    (mine / "00_tour.ipynb").write_text("my own tour")
    copied = copy_lessons(mine, source=source)
    assert copied.older == ["00_tour.ipynb"]
    assert (mine / "00_tour.ipynb").read_text() == "my own tour"


def test_an_update_replaces_what_is_as_it_was_copied(source, mine):
    copy_lessons(mine, source=source)
    publish(source, "00_tour", "01_elections")
    before = contents(mine)
    assert copy_lessons(mine, source=source).older == ["00_tour.ipynb", "01_elections.ipynb"]
    assert contents(mine) == before
    copied = copy_lessons(mine, source=source, update=True)
    assert copied.updated == ["00_tour.ipynb", "01_elections.ipynb"]
    assert (mine / "00_tour.ipynb").read_text() == "00_tour, second version\n"
    assert not any(copy_lessons(mine, source=source, update=True))


def test_an_update_puts_the_new_version_beside_a_changed_lesson_and_only_once(source, mine):
    copy_lessons(mine, source=source)
    (mine / "00_tour.ipynb").write_text("my answers")
    publish(source, "00_tour")
    (other,) = copy_lessons(mine, source=source, update=True).beside
    assert (mine / other).read_text() == "00_tour, second version\n"
    (mine / other).write_text("my answers to that, too")
    before = contents(mine)
    assert not any(copy_lessons(mine, source=source, update=True))
    assert contents(mine) == before
    (source / "00_tour.ipynb").write_text("a third version")
    assert copy_lessons(mine, source=source, update=True).beside == [
        f"00_tour-{__version__}-2.ipynb"
    ]
    assert (mine / other).read_text() == "my answers to that, too"


def test_a_lesson_that_was_deleted_comes_again(source, mine):
    copy_lessons(mine, source=source)
    (mine / "00_tour.ipynb").unlink()
    assert copy_lessons(mine, source=source).new == ["00_tour.ipynb"]


def test_in_a_clone_nothing_is_copied_onto_itself(source):
    before = contents(source)
    assert not any(copy_lessons(source, source=source, update=True))
    assert contents(source) == before
    assert not (source / RECORD).exists()


def test_a_file_is_not_a_folder_for_lessons(source, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="file is not a directory"):
        copy_lessons(tmp_path / "file", source=source)


def test_what_was_done_is_said(source, mine):
    (line,) = report(mine, copy_lessons(mine, source=source))
    assert line == f"3 lessons copied to {mine}."
    assert report(mine, copy_lessons(mine, source=source)) == [f"The lessons are in {mine}."]
    (mine / "00_tour.ipynb").write_text("my answers")
    publish(source, "00_tour", "01_elections")
    (line,) = report(mine, copy_lessons(mine, source=source))
    assert "--update" in line
    said = report(mine, copy_lessons(mine, source=source, update=True))
    assert said[0] == "Replaced by a newer version: 01_elections.ipynb."
    assert f"00_tour-{__version__}.ipynb" in said[1]


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_the_command_copies_the_lessons_of_this_kvraft(mine, capsys):
    assert cli.main(["lab", str(mine), "--no-open"]) == 0
    out = capsys.readouterr().out
    assert f"lessons copied to {mine}" in out
    names = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(contents(mine)) == names
    assert set(json.loads((mine / RECORD).read_text())) == names


def test_without_jupyterlab_the_command_says_what_to_install(mine, capsys, monkeypatch):
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["lab", str(mine)]) == 2
    assert "pip install 'kvraft[lab]'" in capsys.readouterr().err
    assert not mine.exists()


def test_jupyterlab_opens_the_first_lesson_where_the_reader_wanted_it(mine, monkeypatch):
    ran = []

    class Server:
        def __init__(self, command):
            ran.append(command)

        def wait(self):
            if len(ran) < 3:  # Ctrl-C is the server's, which asks whether it is meant
                ran.append("Ctrl-C")
                raise KeyboardInterrupt
            return 7

    monkeypatch.setattr(lessons.subprocess, "Popen", Server)
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(lessons.os, "geteuid", lambda: 0, raising=False)
    assert cli.main(["lab", str(mine), "--jupyter=--no-browser", "--jupyter=--port=9000"]) == 7
    command = ran[0]
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={mine.resolve()}" in command
    assert {"--allow-root", "--no-browser", "--port=9000"} <= set(command)
    assert command[-1] == str(mine.resolve() / "00_tour.ipynb")
    monkeypatch.setattr(lessons.os, "geteuid", lambda: 1000, raising=False)
    assert "--allow-root" not in lessons.jupyterlab(mine, [])


# ── the wheel ───────────────────────────────────────────────────────────────────────────────────


def test_the_wheel_carries_every_lesson_and_what_lessons_read(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=dict(os.environ))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        for path in (ROOT / "notebooks").glob("*.ipynb"):
            assert packed.read(f"kvraft/notebooks/{path.name}") == path.read_bytes()
        assert packed.read("kvraft/data/earthquakes.csv")
    scenarios = {f"kvraft/data/scenarios/{p.name}" for p in (ROOT / "data/scenarios").iterdir()}
    assert scenarios <= names
    assert "kvraft/__main__.py" in names


def test_a_clone_finds_its_own_notebooks():
    assert lessons_path() == ROOT / "notebooks"
