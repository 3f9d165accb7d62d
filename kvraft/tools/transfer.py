"""Dump and load: keys and values as lines of JSON, one pair a line, in order of keys::

    {"key": "city", "value": "Oslo"}
    {"key64": "AP8=", "value64": "gA=="}

Valid UTF-8 is written as text, anything else in base64 under a name that ends in ``64``.  Any bytes
survive the round trip.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kvraft.disk import CURRENT, Disk, RealDisk, is_segment
from kvraft.errors import BadInput
from kvraft.log_and_tree import check_disk
from kvraft.lsm import Tree, WriteBatch
from kvraft.lsm import manifest_owner as owner_of_tree
from kvraft.record import RESERVED_PREFIX
from kvraft.store import OWNER, Store
from kvraft.tools.place import inspect_directory, unsynced_entries
from kvraft.tools.progress import progress_bar
from kvraft.wal import log_owner as owner_of_log

BATCH = 1000
_NAMES = ("key", "key64", "value", "value64")
_RIGHT = 'a line is {"key": "city", "value": "Oslo"}, or key64 and value64 with base64'


def dump(
    directory: Path,
    *,
    prefix: bytes | None = None,
    start: bytes = b"",
    stop: bytes | None = None,
    at: int | None = None,
    notice: Callable[[str], object] = lambda text: None,
) -> Iterator[str]:
    """Yield the contents of the tree or store in ``directory``, one line for each key.

    Of a member of a cluster, that is the contents of its tables: everything that was flushed.
    kvraft's own rows are left out.

    Nothing is written, and no permission to write is needed.  Another process may have it open:
    then this is the contents at one moment.  If the newest writes may not be durable yet,
    ``notice`` is called with a sentence that says so, before the first line.
    """
    disk = inspect_directory(directory)
    try:
        tree = disk.settled(lambda: _reader(disk))
        if isinstance(tree, Store) and (
            unsynced := unsynced_entries(tree.durable_index, tree.wal.last_index)
        ):
            notice(unsynced)
        for key, value in progress_bar(tree.scan(start, stop, prefix=prefix, at=at), "keys"):
            if not key.startswith(RESERVED_PREFIX):
                yield json.dumps(_packed("key", key) | _packed("value", value))
    finally:
        disk.close()


def _reader(disk: Disk) -> Tree:
    """Open a tree or a store for reading; a store includes what only its log has."""
    if not any(is_segment(name) for name in disk.names()):
        if CURRENT not in disk.names():
            raise BadInput("there is no tree here")
        return Tree.open(disk, owner=owner_of_tree(disk), read_only=True)
    owner = owner_of_log(disk)
    if owner == OWNER:
        return Store.open(disk, read_only=True)
    check_disk(disk, owner)
    return Tree.open(disk, owner=owner, read_only=True)


def load(directory: Path, lines: Iterable[str]) -> int:
    """Put ``lines`` as :func:`dump` writes them into the store in ``directory``; return how many.

    The store is created if there is none.  A byte order mark and Windows newlines are accepted.

    Raises ``BadInput`` for an invalid line, with its number, what is wrong with it and what would
    be right; the lines before it are in the store then.  Raises it, too, for the directory of a
    member of a cluster, which only consensus may write to.
    """
    disk = RealDisk(directory)
    try:
        store = _writer(disk)
        count = 0
        batch = WriteBatch()
        try:
            for number, line in enumerate(progress_bar(lines, "lines"), 1):
                text = line.removeprefix("\ufeff") if number == 1 else line
                if text.strip():
                    _take(batch, text, number)
                    count += 1
                if len(batch) >= BATCH:
                    store.write(batch)
                    batch = WriteBatch()
        finally:
            store.write(batch)
            store.flush()
            store.close()
    finally:
        disk.close()
    return count


def _writer(disk: Disk) -> Tree:
    if any(is_segment(name) for name in disk.names()):
        if (owner := owner_of_log(disk)) != OWNER:
            raise BadInput(f"these files belong to {owner}: only its cluster may write to them")
        return Store.open(disk)
    if CURRENT in disk.names():
        return Tree.open(disk, owner=owner_of_tree(disk))
    return Store.open(disk)


def _packed(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}64": base64.b64encode(data).decode()}


def _take(batch: WriteBatch, line: str, number: int) -> None:
    """Add the pair in ``line`` to ``batch``; raise ``BadInput`` with its number if invalid."""
    try:
        line.encode()  # what is not text was read as lone surrogates
    except UnicodeEncodeError:
        raise BadInput(f"line {number} is not UTF-8 text: save the file as UTF-8") from None
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise BadInput(f"line {number} is not JSON ({error}): {_RIGHT}") from None
    try:
        if not isinstance(found, dict):
            raise ValueError("is not an object")
        key, value = _bytes(found, "key"), _bytes(found, "value")
        if unknown := [name for name in found if name not in _NAMES]:
            raise ValueError(f"has {json.dumps(unknown[0])}, which means nothing here")
    except ValueError as error:
        raise BadInput(f"line {number} {error}: {_RIGHT}") from None
    try:
        batch.put(key, value)
    except BadInput as error:
        raise BadInput(f"line {number}: {error}") from None


def _bytes(found: dict[str, Any], name: str) -> bytes:
    text, packed = found.get(name), found.get(f"{name}64")
    if (name in found) == (f"{name}64" in found):
        both = "both" if name in found else "neither"
        raise ValueError(f'has {both} "{name}" {"and" if both == "both" else "nor"} "{name}64"')
    given = text if name in found else packed
    if not isinstance(given, str):
        which = name if name in found else f"{name}64"
        raise ValueError(f'has a "{which}" that is not a string but {json.dumps(given)[:40]}')
    try:
        return given.encode() if name in found else base64.b64decode(given, validate=True)
    except UnicodeEncodeError:
        raise ValueError(f'has a "{name}" with half a character (a lone surrogate)') from None
    except ValueError:
        raise ValueError(f'has a "{name}64" that is not base64') from None
