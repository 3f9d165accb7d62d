"""The names of files, which distinguish tables, manifests and segments in one flat directory.

::

    000012.sst                              a table, number 12
    MANIFEST-000013                         a manifest; table and manifest numbers are one sequence
    CURRENT                                 contains the name of the live manifest
    0000000000000004-0000000000000029.wal   segment 4 of the log, begun for index 0x29
    0000000000000004-0000000000000029-0000000000000a00.torn
                                            its torn end, from offset 0xa00 on, kept aside

They are all in this module, because a tool that looks at a directory from outside must know them
all.  Three more belong to their modules: the lock (``real.py``), unfinished files (``disk.py``) and
the mark of a member (``identity.py``).

Invariant: a file whose name is nearly right (``12.sst``) is never read or removed.

Source: LevelDB filename.
"""

from __future__ import annotations

import re

CURRENT = "CURRENT"

_TABLE = re.compile(r"([0-9]{6,})\.sst")
_MANIFEST = re.compile(r"MANIFEST-([0-9]{6,})")
_SEGMENT = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.wal")
_TORN = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{16}\.torn")


def table_name(number: int) -> str:
    """Return the name of the file of table ``number``."""
    return f"{number:06d}.sst"


def table_number(name: str) -> int | None:
    """Return the number of the table in the file ``name``, ``None`` if it is not a table."""
    match = _TABLE.fullmatch(name)
    return int(match[1]) if match and table_name(int(match[1])) == name else None


def manifest_name(number: int) -> str:
    """Return the name of manifest ``number``."""
    return f"MANIFEST-{number:06d}"


def manifest_number(name: str) -> int | None:
    """Return the number of the manifest ``name``, ``None`` if it is not a manifest."""
    match = _MANIFEST.fullmatch(name)
    return int(match[1]) if match and manifest_name(int(match[1])) == name else None


def is_manifest(name: str) -> bool:
    """Return whether the file ``name`` is a manifest, live or not."""
    return manifest_number(name) is not None


def segment_name(number: int, first: int) -> str:
    """Return the name of segment ``number``, begun for index ``first``; names sort by number."""
    return f"{number:016x}-{first:016x}.wal"


def is_segment(name: str) -> bool:
    """Return whether the file ``name`` is a segment of the log."""
    return _SEGMENT.fullmatch(name) is not None


def torn_name(segment: str, offset: int) -> str:
    """Return the name of the file that keeps the torn end of ``segment``, from ``offset`` on."""
    return f"{segment.removesuffix('.wal')}-{offset:016x}.torn"


def is_torn(name: str) -> bool:
    """Return whether the file ``name`` keeps the torn end of a segment."""
    return _TORN.fullmatch(name) is not None
