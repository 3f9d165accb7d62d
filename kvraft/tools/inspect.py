"""What the bytes of a directory mean: log, tables, manifest, and the tree they make.

Each function returns a *document*, made of what JSON can represent: ``kvraft inspect --json``
prints it unchanged, and ``kvraft inspect`` as lines for people (``inspect_text.py``).  Keys and
values of a database may be any bytes; a document has them as text in which everything but printable
ASCII is escaped (:func:`kvraft.record.label`).

Nothing is written, and damage does not stop it: the valid part is shown, and ``damage`` says where
it ends and why.  While another process writes, what looks damaged is read again (:func:`look`).
``unsure`` says of a log which entries may not be durable yet.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kvraft.disk import CURRENT, Disk, ReadOnlyDisk, frame, is_segment, table_name, table_number
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.lsm import ManifestState, load_manifest, read_edits
from kvraft.lsm import manifest_owner as owner_of_tree
from kvraft.record import ORIGIN, label, unpack_entries
from kvraft.sstable import Table, TableMetadata
from kvraft.tools.place import unsynced_entries
from kvraft.wal import (
    FrameKind,
    frame_kind_name,
    log_owner,
    read_segment_header,
    recover,
    unpack_hard_state,
)

Document = dict[str, Any]


def look(
    disk: ReadOnlyDisk, what: str, number: int | None = None, *, rows: bool = False
) -> Document:
    """Return the document ``what``: log, table, manifest or tree, as it was at one moment.

    ``number`` and ``rows`` are for :func:`table`.  Damage is reported only if it was seen twice,
    not if another process was just writing: see :meth:`~kvraft.disk.ReadOnlyDisk.settled`.
    """
    latest: list[Document] = []

    def once() -> Document:
        document = table(disk, number, rows=rows) if what == "table" else _LOOKS[what](disk)
        if defects := _defects(document):
            latest[:] = [document]
            raise Corruption(what, 0, " ".join(defects))
        return document

    try:
        return disk.settled(once)
    except Corruption:
        return latest[0]


def log(disk: Disk) -> Document:
    """Return every segment with its header and frames, and the entries in each."""
    names = [name for name in disk.names() if is_segment(name)]
    if not names:
        raise BadInput("there is no log here")
    segments = [_segment(disk, name, newest=name == names[-1]) for name in names]
    newest: dict[int, tuple[int, int]] = {}  # the last frame that has an entry of that index
    for number, segment in enumerate(segments):
        for frame_ in segment["frames"]:
            first = min((entry["index"] for entry in frame_["entries"]), default=0)
            for index in [index for index in newest if first and index >= first]:
                del newest[index]
            newest.update({e["index"]: (number, frame_["offset"]) for e in frame_["entries"]})
    for number, segment in enumerate(segments):
        for frame_ in segment["frames"]:
            for entry in frame_["entries"]:
                place = newest.get(entry["index"])
                entry["superseded"] = place != (number, frame_["offset"])
    return {"what": "log", "segments": segments} | _whole_log(disk, segments)


def _whole_log(disk: Disk, segments: list[Document]) -> Document:
    """Return what only all segments show: that one is missing, which entries may not be durable."""
    if any("damage" in segment for segment in segments):
        return {}
    owner, state = log_owner(disk), ManifestState()
    with suppress(Corruption, ForeignFile):  # of the manifest, which is not shown here
        state = load_manifest(disk, owner)
    try:
        whole = recover(disk, owner, state.flushed if state.installed else ORIGIN)
    except (Corruption, ForeignFile) as error:
        return {"damage": str(error)}
    return {"unsure": unsynced_entries(max(whole.durable, state.flushed.index), whole.last.index)}


def _segment(disk: Disk, name: str, *, newest: bool) -> Document:
    data = disk.read(name)
    found: Document = {"file": name, "size": len(data), "header": {}, "frames": []}
    try:
        found["header"], end = read_segment_header(name, data)
        seed = frame.checksum_seed(str(found["header"].get("owner")), name)
        while end < len(data):
            each = frame.decode(data, end, seed=seed)
            if isinstance(each, str):
                intact = frame.scan(data, name=name, seed=seed, start=end, sealed=not newest)
                found["torn"] = {"offset": intact.end, "bytes": len(data) - intact.end, "why": each}
                break
            found["frames"].append(_frame(each, name))
            end = each.end
    except (Corruption, ForeignFile) as error:
        found["damage"] = str(error)
    return found


def _frame(each: frame.Frame, name: str) -> Document:
    shown: Document = {
        "offset": each.offset,
        "bytes": each.end - each.offset,
        "kind": frame_kind_name(each.kind),
        "synced": each.synced,
        "entries": [],
    }
    try:
        if each.kind == FrameKind.ENTRIES:
            shown["entries"] = [
                {
                    "index": entry.index,
                    "term": entry.term,
                    "kind": entry.record.kind.name.lower(),
                    "key": label(entry.record.key),
                    "value_bytes": len(entry.record.value),
                    "timestamp": entry.record.timestamp,
                    "transaction": str(entry.record.txn),
                    "commit": entry.record.commit,
                }
                for entry in unpack_entries(each.payload)
            ]
        elif each.kind == FrameKind.HARD_STATE:
            shown["term"], shown["vote"] = unpack_hard_state(each.payload)
    except ValueError as error:
        raise Corruption(name, each.offset, str(error)) from None
    return shown


def table(disk: Disk, number: int | None = None, *, rows: bool = False) -> Document:
    """Return the parts of table ``number``, or of all tables; with ``rows``, every row, too.

    A table that the manifest does not name is ``unnamed``: it is being written, or a crash left it,
    or it was replaced.  It need not be intact, for it is never read.
    """
    numbers = [n for name in disk.names() if (n := table_number(name)) is not None]
    if number is not None:
        if number not in numbers:
            raise BadInput(f"there is no table {number}: there are {numbers}")
        numbers = [number]
    tables = [_table(disk, each, rows) for each in numbers]
    with suppress(BadInput, Corruption, ForeignFile):  # of the manifest, which is not shown here
        named = {info.number for info in load_manifest(disk, _owner(disk)).tables}
        for found, each in zip(tables, numbers, strict=True):
            if each not in named:
                found["unnamed"] = found.pop("damage", "it is intact")
    return {"what": "table", "tables": tables}


def _table(disk: Disk, number: int, rows: bool) -> Document:
    name = table_name(number)
    found: Document = {"file": name, "size": disk.size(name)}
    try:
        each = Table.open(disk, number)
        found["properties"] = each.properties
        found["digest"] = f"{each.metadata.digest:016x}"
        if each.bloom is not None:
            rate = each.bloom.expected_fpr(each.metadata.keys)
            found["filter"] = {"bits": each.bloom.m, "per_key": each.bloom.k, "expected_fpr": rate}
        found["ranges"] = _ranges(each)
        found["blocks"] = []
        found["rows"] = []
        for at, last_key in enumerate(each.last_keys):
            offset, size = each.extent(at)
            block = each.load_block(at)
            keys = {"first_key": label(block.keys[0]), "last_key": label(last_key)}
            found["blocks"].append({"offset": offset, "bytes": size, "rows": len(block)} | keys)
            if rows:
                found["rows"] += [_row(*row) for row in block.rows()]
    except (Corruption, ForeignFile) as error:
        found["damage"] = str(error)
    return found


def _ranges(each: Table) -> list[Document]:
    rows = each.range_tombstones.rows() if each.range_tombstones is not None else []
    return [
        {"start": label(start), "timestamp": timestamp, "stop": label(stop or b"")}
        for start, timestamp, stop in rows
    ]


def _row(key: bytes, timestamp: int, value: bytes | None) -> Document:
    return {
        "key": label(key),
        "timestamp": timestamp,
        "value": None if value is None else label(value),
    }


def manifest(disk: Disk) -> Document:
    """Return the edits of the live manifest one by one, and the state after them."""
    owner = _owner(disk)
    found: Document = {"what": "manifest", "owner": owner, "edits": []}
    try:
        found["file"] = disk.read(CURRENT).decode("latin-1").strip()
        if found["file"] not in disk.names():
            raise Corruption(CURRENT, 0, f"names {found['file']!r}, which does not exist")
        for offset, edit in read_edits(disk, found["file"], owner):
            found["edits"].append({"offset": offset} | edit)
        found["state"] = _state(disk, owner)
    except (Corruption, ForeignFile) as error:
        found["damage"] = str(error)
    return found


def tree(disk: Disk) -> Document:
    """Return the tables of each level, from the manifest."""
    owner = _owner(disk)
    found: Document = {"what": "tree", "owner": owner, "levels": []}
    try:
        state = load_manifest(disk, owner)
    except (Corruption, ForeignFile) as error:
        return found | {"damage": str(error)}
    levels: dict[int, list[Document]] = {}
    for info in state.tables:
        levels.setdefault(info.level, []).append(_info(info))
    found["levels"] = [{"level": level, "tables": levels[level]} for level in sorted(levels)]
    return found | {"state": _state(disk, owner)}


def _info(info: TableMetadata) -> Document:
    return {
        "table": info.number,
        "bytes": info.size,
        "rows": info.rows,
        "tombstones": info.tombstones,
        "ranges": info.ranges,
        "start": label(info.start),
        "stop": label(info.stop),
        "min_timestamp": info.min_timestamp,
        "max_timestamp": info.max_timestamp,
    }


def _state(disk: Disk, owner: str) -> Document:
    state = load_manifest(disk, owner)
    return {
        "tables": [info.number for info in state.tables],
        "flushed_index": state.flushed.index,
        "flushed_term": state.flushed.term,
        "timestamp": state.timestamp,
        "horizon": state.horizon,
        "next_file": state.next_file,
        "installed": state.installed,
    }


_LOOKS: dict[str, Callable[[Disk], Document]] = {"log": log, "manifest": manifest, "tree": tree}


def _owner(disk: Disk) -> str:
    """Return the owner of the files, from the log or else from the manifest."""
    if any(is_segment(name) for name in disk.names()):
        return log_owner(disk)
    return owner_of_tree(disk)


def damaged(document: Document) -> bool:
    """Return whether anything in the document is damaged."""
    return bool(_defects(document))


def _defects(document: Document) -> list[str]:
    parts = [document, *document.get("segments", []), *document.get("tables", [])]
    return [part["damage"] for part in parts if "damage" in part]
