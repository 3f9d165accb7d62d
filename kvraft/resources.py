"""What comes with kvraft and is not code: the lessons and the data.

A wheel has both inside the package, a checkout has them next to it::

    wheel      kvraft/data  kvraft/notebooks
    checkout   kvraft/      data/       notebooks/
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("kvraft"))).resolve()


def resource_folder(name: str) -> Path:
    """Return the folder ``data`` or ``notebooks``: in the package, else next to it.

    It is there unless somebody has copied only the code.
    """
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name
