"""The earthquake catalogue: a real stream of upserts with secondary keys.

One line of the catalogue is one seismic event: first recorded at ``time_ms``, last revised at
``updated_ms``, often by a person.  :func:`reports` makes two reports of it, in the order in which
they became known.  A :class:`Catalogue` returns what a report writes, as one transaction::

    event/<id>                       the record, as JSON
    network/<network>/<time>/<id>    its magnitude          (list a network's events by time)
    magnitude/<class>/<id>           its place              (list events by whole magnitude)
    status/<status>/<id>             empty                  (list what is not reviewed yet)
    newest/<network>                 the id of the network's newest event

The catalogue holds only the last revision of an event, so its first record carries the same
figures with the status "automatic".  A review deletes the old ``status/`` key and writes a new one:
a half-written report would list an event twice, or nowhere.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.resources import resource_folder


class Quake(NamedTuple):
    """One line of the catalogue.  Times in milliseconds since the Unix epoch."""

    time_ms: int
    updated_ms: int
    id: str
    network: str
    status: str
    magnitude: float
    magnitude_type: str
    type: str
    longitude: float
    latitude: float
    depth_km: float
    place: str


class QuakeReport(NamedTuple):
    """A report at ``at_ms`` of a quake, as first recorded or as revised."""

    at_ms: int
    revised: bool
    quake: Quake


def catalogue_path() -> Path:
    """Return the path of the catalogue that comes with kvraft."""
    return resource_folder("data") / "earthquakes.csv"


def load(path: Path | str | None = None) -> list[Quake]:
    """Return the quakes of a catalogue, by default of the one that comes with kvraft.

    Raises :class:`~kvraft.errors.BadInput` naming the line and what is wrong with it.
    """
    path = Path(path) if path is not None else catalogue_path()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _parse(csv.reader(file, strict=True), path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text in UTF-8") from None


def _parse(rows: csv._reader, path: Path) -> list[Quake]:  # type: ignore[name-defined]
    where = f"{path}, line 1"
    try:
        header = next(rows)
    except StopIteration:
        raise BadInput(f"{path} is empty: it needs a line of column names") from None
    except csv.Error as error:
        raise BadInput(f"{where}: {error}") from None
    _check_header(header, where)
    quakes: dict[str, Quake] = {}
    while True:
        where = f"{path}, line {rows.line_num + 1}"
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            raise BadInput(f"{where}: {error}") from None
        quake = _quake(header, row, where)
        if quake.id in quakes:
            raise BadInput(f"{where}: event {quake.id} is listed twice")
        quakes[quake.id] = quake
    if not quakes:
        raise BadInput(f"{path} has no events, only column names")
    return list(quakes.values())


def _check_header(header: list[str], where: str) -> None:
    for name in header:
        if name not in Quake._fields:
            raise BadInput(f"{where}: there is no column {name!r}")
        if header.count(name) > 1:
            raise BadInput(f"{where}: column {name!r} is named twice")
    for name in Quake._fields:
        if name not in header:
            raise BadInput(f"{where}: column {name!r} is missing")


def _quake(header: list[str], row: list[str], where: str) -> Quake:
    if len(row) != len(header):
        raise BadInput(f"{where}: {len(row)} fields where {len(header)} are needed")
    text = dict(zip(header, row, strict=True))
    quake = Quake(
        time_ms=_whole(text["time_ms"], f"{where}: time_ms"),
        updated_ms=_whole(text["updated_ms"], f"{where}: updated_ms"),
        id=_name(text["id"], f"{where}: id"),
        network=_name(text["network"], f"{where}: network"),
        status=_name(text["status"], f"{where}: status"),
        magnitude=_number(text["magnitude"], -10, 15, f"{where}: magnitude"),
        magnitude_type=text["magnitude_type"],
        type=text["type"],
        longitude=_number(text["longitude"], -180, 180, f"{where}: longitude"),
        latitude=_number(text["latitude"], -90, 90, f"{where}: latitude"),
        depth_km=_number(text["depth_km"], -100, 1000, f"{where}: depth_km"),
        place=text["place"],
    )
    if quake.updated_ms < quake.time_ms:
        raise BadInput(f"{where}: event {quake.id} was revised before it happened")
    return quake


def _whole(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 14:
        raise BadInput(f"{where} must be a whole number of milliseconds, not {text!r}")
    return int(text)


def _number(text: str, low: float, high: float, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise BadInput(f"{where} must be a number from {low} to {high}, not {text!r}")
    return number


def _name(text: str, where: str) -> str:
    if not text or "/" in text:
        raise BadInput(f"{where} must be a name without '/', not {text!r}")
    return text


def reports(quakes: Iterable[Quake]) -> list[QuakeReport]:
    """Return two reports a quake, all in the order of their times."""
    both = []
    for quake in quakes:
        first = quake._replace(status="automatic", updated_ms=quake.time_ms)
        both.append(QuakeReport(quake.time_ms, False, first))
        both.append(QuakeReport(quake.updated_ms, True, quake))
    return sorted(both, key=lambda report: (report.at_ms, report.revised, report.quake.id))


class Catalogue:
    """What was reported so far, and so what the next report must change."""

    def __init__(self) -> None:
        self._quakes: dict[str, Quake] = {}
        self._newest: dict[str, Quake] = {}
        self.map: dict[bytes, bytes] = {}
        """The plain dict that a database with every report must equal."""

    def writes(self, report: QuakeReport) -> list[tuple[bytes, bytes | None]]:
        """Return the writes of the transaction for ``report``, and count it as reported."""
        quake = report.quake
        writes: dict[bytes, bytes | None] = {}
        if quake.id in self._quakes:  # delete the keys that listed it; those that stay come again
            writes = dict.fromkeys(_secondary(self._quakes[quake.id]))
        self._quakes[quake.id] = quake
        writes[f"event/{quake.id}".encode()] = json.dumps(quake._asdict()).encode()
        writes.update(_secondary(quake))
        if quake.time_ms >= self._newest.get(quake.network, quake).time_ms:
            self._newest[quake.network] = quake
            writes[f"newest/{quake.network}".encode()] = quake.id.encode()
        for key, value in writes.items():
            if value is None:
                self.map.pop(key, None)
            else:
                self.map[key] = value
        return list(writes.items())


def _secondary(quake: Quake) -> dict[bytes, bytes]:
    """Return the secondary keys that list one quake, with their values."""
    return {
        f"network/{quake.network}/{quake.time_ms}/{quake.id}".encode(): b"%.2f" % quake.magnitude,
        f"magnitude/{max(0, math.floor(quake.magnitude))}/{quake.id}".encode(): (
            quake.place.encode()
        ),
        f"status/{quake.status}/{quake.id}".encode(): b"",
    }
