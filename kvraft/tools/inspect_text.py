"""What the bytes of a directory mean, as lines for people: the documents of ``inspect.py``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from kvraft.disk import CURRENT
from kvraft.display import counted
from kvraft.tools.inspect import Document

WIDTH = 60
"""The width of a drawn tree's key axis, in characters."""


def lines(document: Document) -> Iterator[str]:
    """Yield a document as lines for people."""
    writers: dict[str, Callable[[Document], Iterator[str]]] = {
        "log": _log_lines,
        "table": _table_lines,
        "manifest": _manifest_lines,
        "tree": _tree_lines,
    }
    yield from writers[document["what"]](document)
    if document.get("unsure"):
        yield document["unsure"]
    if "damage" in document:
        yield f"DAMAGE: {document['damage']}"


def _log_lines(document: Document) -> Iterator[str]:
    for segment in document["segments"]:
        yield f"{segment['file']}  {counted(segment['size'], 'byte')}"
        yield f"    header  {json.dumps(segment['header'])}"
        for each in segment["frames"]:
            extra = f"  term {each['term']}, vote {each['vote']}" if "term" in each else ""
            place = f"{each['offset']:>8} {each['bytes']:>7}"
            yield f"    {place}  {each['kind']:<10}  synced {each['synced']}{extra}"
            for entry in each["entries"]:
                marks = (" *" if entry["commit"] else "") + (
                    "  superseded" if entry["superseded"] else ""
                )
                yield (
                    f"{'':22}{entry['index']:>6} term {entry['term']} {entry['kind']:<13} "
                    f"{entry['key']} ({counted(entry['value_bytes'], 'byte')}) "
                    f"@{entry['timestamp']} "
                    f"{entry['transaction']}{marks}"
                )
        if "torn" in segment:
            torn = segment["torn"]
            yield f"    {torn['offset']:>8} {torn['bytes']:>7}  torn: {torn['why']}"
        if "damage" in segment:
            yield f"    DAMAGE: {segment['damage']}"


def _table_lines(document: Document) -> Iterator[str]:
    for each in document["tables"]:
        yield f"{each['file']}  {counted(each['size'], 'byte')}"
        if "unnamed" in each:
            yield f"    the manifest does not name it, so it does not count; {each['unnamed']}"
        for name, value in each.get("properties", {}).items():
            yield f"    {name:<14} {value}"
        if "filter" in each:
            bloom = each["filter"]
            rate = f"{100 * bloom['expected_fpr']:.2f} % false positives expected"
            yield f"    filter         {bloom['bits']:,} bits, {bloom['per_key']} a key, {rate}"
        for deleted in each.get("ranges", []):
            stop = deleted["stop"] or "the end"
            yield f"    tombstone      {deleted['start']} to {stop} @{deleted['timestamp']}"
        for block in each.get("blocks", []):
            span = f"{block['first_key']} … {block['last_key']}"
            yield f"    {block['offset']:>8} {block['bytes']:>7}  {block['rows']:>5} rows  {span}"
        for row in each.get("rows", []):
            value = "deleted" if row["value"] is None else f"= {row['value']}"
            yield f"        {row['key']} @{row['timestamp']} {value}"
        if "damage" in each:
            yield f"    DAMAGE: {each['damage']}"


def _manifest_lines(document: Document) -> Iterator[str]:
    yield f"{document.get('file', CURRENT)}  of {document['owner'] or 'nobody in particular'}"
    for edit in document["edits"]:
        rest = {key: value for key, value in edit.items() if key not in ("offset", "add")}
        added = [f"{info['number']} (level {info['level']})" for info in edit["add"]]
        yield f"    {edit['offset']:>8}  add {', '.join(added) or 'nothing'}; {json.dumps(rest)}"
    if "state" in document:
        yield f"    state     {json.dumps(document['state'])}"


def _tree_lines(document: Document) -> Iterator[str]:
    infos = [info for level in document["levels"] for info in level["tables"]]
    edges = sorted({info["start"] for info in infos} | {info["stop"] for info in infos if info})
    for level in document["levels"]:
        size = sum(info["bytes"] for info in level["tables"])
        yield (
            f"level {level['level']}: {counted(len(level['tables']), 'table')}, "
            f"{counted(size, 'byte')}"
        )
        for info in level["tables"]:
            extra = f", {counted(info['tombstones'], 'tombstone')}" if info["tombstones"] else ""
            extra += f", {counted(info['ranges'], 'range tombstone')}" if info["ranges"] else ""
            drawn = _drawn(edges, info["start"], info["stop"])
            yield f"    {info['table']:>6} {drawn} {counted(info['rows'], 'row')}{extra}"
            yield f"{'':11}{info['start']} … {info['stop'] or 'the end'}"
    if "state" in document:
        state = document["state"]
        rows, size = sum(i["rows"] for i in infos), sum(i["bytes"] for i in infos)
        yield (
            f"{counted(len(infos), 'table')}, {counted(rows, 'row')}, "
            f"{counted(size, 'byte')}; everything through log index "
            f"{state['flushed_index']}"
        )


def _drawn(edges: list[str], start: str, stop: str) -> str:
    """Return a span drawn on an axis that has all ``edges`` at equal distances."""
    steps = max(len(edges) - 1, 1)
    first = edges.index(start) * WIDTH // steps
    last = (edges.index(stop) if stop else steps) * WIDTH // steps
    width = max(last - first, 2)
    return f"{'':{first}}[{'─' * (width - 2)}]".ljust(WIDTH + 2)
