"""What is on trial: a class in a module of the working directory, by name, and what it is.

>>> subject_of("nowhere")
Traceback (most recent call last):
  ...
kvraft.errors.BadInput: 'nowhere' is not MODULE:CLASS, such as mymodule:MyRaft
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

from kvraft.check.trial.guest import METHODS_NEEDED, error_words
from kvraft.errors import BadInput
from kvraft.replica import Replica

TREE_METHODS = ("put", "delete", "get", "scan", "flush")
"""What a tree needs, next to a constructor that takes a disk."""


class Subject(NamedTuple):
    """A class on trial: what reports call it, its kind, and the class."""

    title: str
    kind: str  # "consensus", "replica" or "tree"
    made: type[Any]


def subject_of(title: str) -> Subject:
    """Return the class that ``title`` names, as in ``mymodule:MyRaft``.

    The module is imported; it may be given as a file, too, as in ``solutions/mine.py:MyRaft``.
    Raises :class:`~kvraft.errors.BadInput` if there is no such class, if
    the module cannot be imported, and if it is nothing that can be judged.
    """
    module_name, _, class_name = title.rpartition(":")
    if not module_name or not class_name.isidentifier():
        raise BadInput(f"{title!r:.60} is not MODULE:CLASS, such as mymodule:MyRaft")
    if module_name.endswith(".py"):
        module_name = _module_of(Path(module_name))
    module = _imported(module_name)
    made = getattr(module, class_name, None)
    if not isinstance(made, type):
        own = [
            name
            for name, each in vars(module).items()
            if isinstance(each, type) and each.__module__ == module_name and name[0] != "_"
        ]
        has = f"it has {', '.join(sorted(own))}" if own else "it has no class of its own at all"
        raise BadInput(f"{module_name} has no class {class_name}: {has}")
    return Subject(title, _kind_of(title, made), made)


def check_tree(made: type[Any], title: str) -> None:
    """Raise ``BadInput`` unless a class has the methods that a tree needs."""
    missing = [name for name in TREE_METHODS if not callable(getattr(made, name, None))]
    if missing:
        raise BadInput(
            f"{title} lacks the method{'s' * (len(missing) > 1)} {', '.join(missing)}: a tree has "
            f"{', '.join(TREE_METHODS)}, and is made with a disk"
        )


def _module_of(path: Path) -> str:
    """Return the name of the module in a file, in whose folder modules are looked for from now on.

    Raises :class:`~kvraft.errors.BadInput` for a file that is not there, or cannot be a module.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    if not path.stem.isidentifier():
        raise BadInput(f"{path} cannot be imported: a module has a name such as my_raft.py")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return path.stem


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith(f"{error.name}."):
            raise BadInput(f"{name} cannot be imported: {error}") from None
        raise BadInput(f"there is no module {name} in the working directory") from None
    except (Exception, SystemExit) as error:
        raise BadInput(f"{name} cannot be imported: it raises {error_words(error)}") from None


def _kind_of(title: str, made: type[Any]) -> str:
    if issubclass(made, Replica):
        return "replica"
    scores = {
        "consensus": sum(hasattr(made, name) for name in METHODS_NEEDED),
        "tree": sum(hasattr(made, name) for name in TREE_METHODS),
    }
    kind = max(scores, key=lambda name: scores[name])
    if not scores[kind]:
        raise BadInput(
            f"{title} is nothing that can be judged: a consensus module has "
            f"{', '.join(METHODS_NEEDED)}, and a tree has {', '.join(TREE_METHODS)}"
        )
    return kind
