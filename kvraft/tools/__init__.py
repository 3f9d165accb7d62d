"""Tools for the files of a member, a store or a tree: look into them, check, repair, move data.

Each works on a directory and needs no cluster; the command line (``cli/``) prints what they
return::

    inspect       what the bytes mean: log, table, manifest, tree, as documents for JSON
    inspect_text  the same documents as lines for people
    verify        every checksum and every invariant; writes nothing
    repair        a damaged directory that opens again, with every row that can still be read
    │ repair_plan   what can be kept, what is set aside, what is lost
    ▼ salvage       the intact blocks of a damaged table, the intact frames of a damaged log
    transfer      dump and load: keys and values as lines of JSON
    place         opening a directory, to change it or only to read it
    progress      a progress bar, on a terminal

Invariants:

- ``inspect``, ``verify`` and ``dump`` write nothing, need no permission to write, and may run while
  another process writes: they see the files as they were at one moment.
- Nothing is guessed.  What is returned was written exactly so; what is lost is named.
- A damaged member is never repaired to take part again: its cluster has the data.

Sources: LevelDB db/repair; etcd etcd-dump-logs; RocksDB sst_dump, ldb.
"""

from kvraft.tools import inspect, inspect_text
from kvraft.tools.place import inspect_directory, open_directory
from kvraft.tools.progress import progress_bar
from kvraft.tools.repair import repair
from kvraft.tools.transfer import dump, load
from kvraft.tools.verify import verify, verify_disk

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
    "verify_disk",
]
