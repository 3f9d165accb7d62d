"""Tools that look into the files of a member, a store or a tree, mend them, and move data.

Each works on a directory that nobody has open, and says in one sentence what is wrong with it.
"""

from kvraft.tools import inspect, inspect_text
from kvraft.tools.place import inspect_directory, open_directory
from kvraft.tools.progress import progress_bar
from kvraft.tools.repair import repair
from kvraft.tools.transfer import dump, load
from kvraft.tools.verify import verify

__all__ = [
    "dump",
    "inspect",
    "inspect_directory",
    "inspect_text",
    "load",
    "open_directory",
    "progress_bar",
    "repair",
    "verify",
]
