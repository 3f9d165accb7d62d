"""What setting up asks for, platform by platform: nothing that would have to be compiled there."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kvraft import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = [
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("darwin", "arm64"),
    ("darwin", "x86_64"),
    ("win32", "AMD64"),
    ("win32", "ARM64"),
]
HAS_WHEELS = {
    "plyvel": {(python, "linux", "x86_64") for python in ("3.11", "3.12")},
    "rocksdict": {(python, *platform) for python in PYTHONS for platform in PLATFORMS[:-1]},
}
"""Python, system and machine for which the registry had a wheel in November 2026."""


def asked(extra: str, python: str, system: str, machine: str) -> set[str]:
    """Return the names of all packages that ``pip install 'kvraft[extra]'`` asks for there."""
    where = {"python_version": python, "sys_platform": system, "platform_machine": machine}
    found = {Requirement(text).name for text in PROJECT["dependencies"]}
    for text in EXTRAS[extra]:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate(where):
            continue
        if requirement.name == "kvraft":
            for other in requirement.extras:
                found |= asked(other, python, system, machine)
        else:
            found.add(requirement.name)
    return found


@pytest.mark.parametrize(("system", "machine"), PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_a_peer_is_asked_for_where_it_has_a_wheel_and_nowhere_else(python, system, machine):
    for extra in ("bench", "dev"):
        names = asked(extra, python, system, machine)
        for peer, wheels in HAS_WHEELS.items():
            assert (peer in names) == ((python, system, machine) in wheels), (extra, peer)


def test_lessons_ask_for_no_peer_and_for_no_tool():
    names = asked("lab", "3.11", "linux", "x86_64")
    assert {"jupyterlab", "ipywidgets", "matplotlib"} <= names
    assert not names & {"plyvel", "rocksdict", "lz4", "zstandard", "pytest", "mypy", "hypothesis"}


def test_every_python_that_is_named_is_asked_about_here():
    named = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if ":: 3." in text]
    assert tuple(named) == PYTHONS


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(("target", "extra"), [("lab", "lab"), ("lint", "dev"), ("nbval", "dev")])
def test_make_installs_what_the_target_needs(target, extra, tmp_path):
    command = ["make", "-n", target, f"VENV={tmp_path}", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (install,) = (line for line in done.stdout.splitlines() if "pip install" in line)
    assert install.endswith(f"--editable '.[{extra}]'")


def test_what_is_cited_is_what_is_here():
    cited = (ROOT / "README.md").read_text(encoding="utf-8").split("```bibtex")[1]
    assert re.findall(r"^ +version += \{(.*)\}", cited, re.MULTILINE) == [__version__]
    assert re.findall(r"^ +license += \{(.*)\}", cited, re.MULTILINE) == [PROJECT["license"]]


def test_the_workflow_tests_every_python_and_names_files_that_are_there():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    (pythons,) = re.findall(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)
    assert tuple(pythons.replace('"', "").split(", ")) == PYTHONS
    named = re.findall(r"tests/\S+", workflow)
    assert named
    for file in named:
        assert (ROOT / file).exists(), file
