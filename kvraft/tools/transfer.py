"""Dump and load: keys and values as lines of JSON, one pair a line, in order of keys::

    {"key": "city", "value": "Oslo"}
    {"key64": "AP8=", "value64": "gA=="}

What is good UTF-8 text is written as text, what is not in base64 under a name that ends in ``64``.
Any bytes survive the round trip.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kvraft.batch import WriteBatch
from kvraft.disk import Disk, RealDisk
from kvraft.errors import BadInput
from kvraft.lsm import Tree
from kvraft.manifest import CURRENT
from kvraft.manifest import owner_of as owner_of_tree
from kvraft.merge import Pair
from kvraft.record import RESERVED
from kvraft.segment import is_segment
from kvraft.segment import owner_of as owner_of_log
from kvraft.store import OWNER, Store, check_disk
from kvraft.tools.progress import progress

BATCH = 1000


def dump(
    directory: Path,
    *,
    prefix: bytes | None = None,
    start: bytes = b"",
    stop: bytes | None = None,
    at: int | None = None,
) -> Iterator[str]:
    """Yield what the tree or store in ``directory`` holds, a line a key.

    Of a member of a cluster that is what its tables hold and what its log has committed in them:
    everything that was flushed.  kvraft's own rows are left out.
    """
    disk = _open(directory)
    try:
        tree = _reader(disk)
        for key, value in progress(tree.scan(start, stop, prefix=prefix, at=at), "keys"):
            if not key.startswith(RESERVED):
                yield json.dumps(_packed("key", key) | _packed("value", value))
    finally:
        disk.close()


def _reader(disk: Disk) -> Tree:
    """Open what is there for reading; a store with what its log has above the tables."""
    if not any(is_segment(name) for name in disk.names()):
        if CURRENT not in disk.names():
            raise BadInput("there is no tree here")
        return Tree.open(disk, owner=owner_of_tree(disk))
    owner = owner_of_log(disk)
    if owner == OWNER:
        return Store.open(disk)
    check_disk(disk, owner)
    return Tree.open(disk, owner=owner)


def load(directory: Path, lines: Iterable[str]) -> int:
    """Put ``lines`` as :func:`dump` writes them into the store in ``directory``; return how many.

    The store may be new.  Raises ``BadInput`` for a line that cannot be meant, with its number, and
    for the directory of a member of a cluster, which only consensus may write to.
    """
    disk = RealDisk(directory)
    try:
        store = _writer(disk)
        count = 0
        batch = WriteBatch()
        for number, line in enumerate(progress(lines, "lines"), 1):
            if line.strip():
                batch.put(*_unpacked(line, number))
                count += 1
            if len(batch) >= BATCH:
                store.write(batch)
                batch = WriteBatch()
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


def _open(directory: Path) -> RealDisk:
    if not directory.is_dir():
        raise BadInput(f"there is no directory {directory}")
    return RealDisk(directory)


def _packed(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}64": base64.b64encode(data).decode()}


def _unpacked(line: str, number: int) -> Pair:
    try:
        found: Any = json.loads(line)
        return _bytes(found, "key"), _bytes(found, "value")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"line {number} is no key and value: {error}") from None


def _bytes(found: dict[str, str], name: str) -> bytes:
    if name in found:
        return found[name].encode()
    return base64.b64decode(found[f"{name}64"], validate=True)
