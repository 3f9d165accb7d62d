"""The page about speed names every row and every benchmark, and its commands can be typed."""

import re
from pathlib import Path

from kvraft.bench import PARTS, Row, storage
from kvraft.cli import cli

PAGE = Path(__file__).parent.parent.parent / "notebooks" / "book" / "speed.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_benchmark_has_a_section_with_what_it_printed():
    for name, part in PARTS.items():
        assert f"`kvraft bench {name}`" in TEXT
        assert re.search(rf"^\$ kvraft bench {name}[^\n]*\n\n{re.escape(part.title)}", TEXT, re.M)


def test_every_row_of_storage_is_explained():
    table = "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| "))
    for row in vars(storage).values():
        if isinstance(row, Row):
            first = row.name.split(",")[0]
            assert first in table, row
            assert re.search(rf"^{re.escape(row.name)} ", TEXT, re.M), f"{row} is not in the output"


def test_its_commands_are_understood():
    commands = re.findall(r"^(?:\$ )?kvraft (bench [^\n#]*)", TEXT, re.M)
    assert len(commands) >= 4 + len(PARTS)
    for command in commands:
        cli.parser().parse_args(command.split())
