"""What README shows works as it is written."""

import re
from pathlib import Path

from kvraft.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_python_runs_and_says_what_it_promises(capsys):
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "n1: leader in term 1" in out
    assert "n3: replicate, match 1, next 3, 1 in flight" in out  # it was lost: n3 lacks "x"
    assert "2 PUT b'city' b'Oslo'" in out
    assert "{'a': 745, 'b': 745, 'c': 745}" in out
    assert [stage for stage in ("SENT", "APPENDED", "COMMITTED", "APPLIED") if stage in out]
    assert "b'110'" in out
    assert "alice.2#2 is APPLIED" in out


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_module_is_listed():
    listed = set(re.findall(r"\(kvraft/([a-z0-9_]+(?:\.py)?)\)", README))
    modules = {p.name for p in (ROOT / "kvraft").glob("*.py")}
    modules -= {"__init__.py", "__main__.py"}
    packages = {p.parent.name for p in (ROOT / "kvraft").glob("*/__init__.py")}
    assert modules | packages == listed


def test_its_commands_exist():
    known = {"lab", "tour", "play", "verify", "bench", "inspect", "repair", "dump", "load"}
    commands = set(re.findall(r"kvraft ([a-z]+) ", README)) & known
    help_text = cli.parser().format_help()
    assert commands == known
    assert all(command in help_text for command in commands)
    for target in re.findall(r"make (\w+)", README):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_its_two_first_commands_are_make_lab_and_make_test():
    (first, *_) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make lab", "make test"]
