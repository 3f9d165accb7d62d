"""The house's rules: what holds of every file, so that a reader can rely on it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "kvraft").rglob("*.py"))
}
TREES = {name: ast.parse(text) for name, text in FILES.items()}
MODULES = {name[:-3].replace("/", ".").removesuffix(".__init__"): name for name in FILES}

LONGEST = 600
"""Lines of the longest file that may be."""
LONG = 400
"""Lines from which a file is long ..."""
LONG_FILES = 4
"""... and how many of those the core may have: consensus, the log, the engine, and the client,
which is a little over."""
LONGEST_FUNCTION = 50
"""Lines of the longest function, with its docstring: what fits on a screen."""
AROUND = (
    "bench",
    "check",
    "cli",
    "course",
    "exercises",
    "plugin",
    "sim",
    "tools",
    "tour",
    "trial",
    "viz",
)
"""What stands around the core."""
PRIVATE: dict[str, set[str]] = {}
"""Private names that a file uses although another defines them.  This may only shrink."""
OTHERS = {
    "_replace",
    "_asdict",
    "_fields",
    "_field_defaults",
    "_make",
    "_repr_html_",
    "_SubParsersAction",
    "_reader",
}
OTHERS |= {"_exit", "_current_frames"}
"""Names that are not kvraft's: those of named tuples, notebooks, argparse, csv, os and sys."""
LONG_FUNCTIONS: set[str] = set()
"""Functions that are longer, as ``kvraft/room/file.py:name``.  This may only shrink."""

SPINE = (
    "kvraft/record.py",
    "kvraft/client/client.py",
    "kvraft/raft/safety.py",
    "kvraft/raft/follower.py",
    "kvraft/raft/leader.py",
    "kvraft/wal/wal.py",
    "kvraft/memtable.py",
    "kvraft/sstable/reader.py",
    "kvraft/sstable/writer.py",
    "kvraft/bloom.py",
    "kvraft/lsm/reading.py",
    "kvraft/lsm/versions.py",
    "kvraft/replica/replica.py",
)
"""What one reads to understand the idea, in order."""
FIGURES = {
    "spine": (r"the spine has ([\d,]+) lines", lambda: count(SPINE)),
    "core": (r"the core has ([\d,]+) lines", lambda: count(core())),
}
"""Figures of README and ARCHITECTURE: how they are written there, and how they are counted."""
TOLERANCE = 0.03
"""A figure that is off by no more than this share is true: nobody edits README for one line."""


def lines(name: str) -> int:
    return FILES[name].count("\n")


def count(names) -> int:
    """Return how many lines of files are not empty: what there is to read."""
    return sum(bool(line.strip()) for name in names for line in FILES[name].splitlines())


def core() -> list[str]:
    """Return the files that are not around the core."""
    return [name for name in FILES if name.split("/")[1].removesuffix(".py") not in AROUND]


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def imported_modules(tree: ast.AST) -> set[str]:
    """Return the names by which a file knows modules of kvraft."""
    known = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            known |= {
                alias.asname or alias.name
                for alias in node.names
                if f"{node.module}.{alias.name}" in MODULES
            }
        if isinstance(node, ast.Import):
            known |= {a.asname or a.name for a in node.names if a.name in MODULES and a.asname}
    return known


def defined(tree: ast.AST) -> set[str]:
    """Return the private names that a file defines: functions, classes, variables, attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = getattr(node, "value", None)  # self.x = ... defines x; other.x = ... does not
            if owner is None or (isinstance(owner, ast.Name) and owner.id in ("self", "cls")):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__slots__" for target in node.targets
        ):
            found |= {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)}
    return found


def reached(name: str) -> set[str]:
    """Return the private names of other files that the file ``name`` uses."""
    tree, found = TREES[name], set()
    here, modules = defined(tree), imported_modules(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kvraft":
            found |= {alias.name for alias in node.names if is_private(alias.name)}
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            of_module = isinstance(node.value, ast.Name) and node.value.id in modules
            if of_module or node.attr not in here:
                found.add(node.attr)
    return found


def _difference(found: dict[str, set[str]], allowed: dict[str, set[str]]) -> str:
    """Return a line for each file whose names are not those that are allowed."""
    return "\n".join(
        f"{name}: {', '.join(sorted(found.get(name, set()) ^ allowed.get(name, set())))}"
        for name in sorted(found.keys() | allowed.keys())
        if found.get(name) != allowed.get(name)
    )


def test_no_file_uses_a_private_name_of_another():
    found = {name: names for name in FILES if (names := reached(name) - OTHERS)}
    assert not _difference(found, PRIVATE)


def test_no_file_is_longer_than_an_evening():
    too_long = {name: lines(name) for name in FILES if lines(name) > LONGEST}
    assert not too_long
    long = {name: lines(name) for name in core() if lines(name) > LONG}
    assert len(long) <= LONG_FILES, long


def test_a_function_fits_on_a_screen():
    found = {
        f"{name}:{node.name}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert not found ^ LONG_FUNCTIONS, "\n".join(sorted(found ^ LONG_FUNCTIONS))


def test_no_import_is_hidden_from_the_linter():
    for name, tree in TREES.items():
        if name == "kvraft/__init__.py":
            continue  # loads its names when they are asked for, and type checkers want to see them
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "TYPE_CHECKING" not in names, name


def test_a_file_does_not_come_in_by_a_door_of_a_house_it_is_in():
    """Inside a room a file imports from the file, not from the room's door, and never all of it."""
    for name, tree in TREES.items():
        module = name[:-3].replace("/", ".").removesuffix(".__init__")
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module not in MODULES:
                continue
            if node.module == "kvraft":
                others = {a.name for a in node.names if f"kvraft.{a.name}" not in MODULES}
                assert others <= {"__version__"}, f"{name} imports {others} from kvraft"
            elif module.startswith(f"{node.module}."):
                names = {a.name for a in node.names if f"{node.module}.{a.name}" not in MODULES}
                assert not names, f"{name} imports {names} from its own door"


def test_readme_is_right_about_its_size():
    pages = [ROOT / "README.md", *ROOT.glob("kvraft/**/ARCHITECTURE.md")]
    text = "\n".join(" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    for what, (pattern, counted) in FIGURES.items():
        said = [int(figure.replace(",", "")) for figure in re.findall(pattern, text)]
        assert said, f"no page says how long the {what} is"
        for figure in said:
            assert abs(figure - counted()) <= TOLERANCE * counted(), (what, figure, counted())
