"""Traces: the events of a run in order, which are saved and loaded as lines of JSON.

Invariant: each step is one line, with keys in a fixed order, so that the same history gives the
same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any, NamedTuple

from kvraft.copying import immutable
from kvraft.errors import BadInput
from kvraft.events import consensus, storage, world
from kvraft.events.event import Event

__all__ = ["KINDS", "Trace", "TraceStep"]


@immutable
class TraceStep(NamedTuple):
    """One event, reported by ``who`` at ``at`` microseconds of the world's time."""

    at: int
    who: str
    event: Event


class Trace:
    """A sequence of steps, in the order in which they happened."""

    def __init__(self, steps: Iterable[TraceStep] = ()) -> None:
        self._steps = list(steps)

    def file(self, at: int, who: str, event: Event) -> None:
        """Add one event at the end."""
        self._steps.append(TraceStep(at, who, event))

    def __len__(self) -> int:
        return len(self._steps)

    def __deepcopy__(self, memo: dict[int, object]) -> Trace:
        """Return a trace of the same steps, to be continued by itself."""
        return Trace(self._steps)

    def __iter__(self) -> Iterator[TraceStep]:
        return iter(self._steps)

    @typing.overload
    def __getitem__(self, at: int) -> TraceStep: ...
    @typing.overload
    def __getitem__(self, at: slice) -> Trace: ...
    def __getitem__(self, at: int | slice) -> TraceStep | Trace:
        return Trace(self._steps[at]) if isinstance(at, slice) else self._steps[at]

    def since(self, count: int) -> Iterator[TraceStep]:
        """Yield the steps after the first ``count``, without a copy of what came before."""
        steps = self._steps
        return map(steps.__getitem__, range(count, len(steps)))

    def of(self, *kinds: type[Event], who: str | None = None) -> list[TraceStep]:
        """Return the steps whose event is of one of ``kinds``, and of ``who`` if given."""
        return [
            step
            for step in self._steps
            if isinstance(step.event, kinds) and who in (None, step.who)
        ]

    def lines(self) -> Iterator[str]:
        """Yield each step as one line of JSON, without the line's end."""
        for step in self._steps:
            line = {"at": step.at, "who": step.who, "event": type(step.event).__name__}
            yield json.dumps(line | asdict(step.event))

    def save(self, file: IO[str]) -> None:
        """Write the trace as JSON lines."""
        for line in self.lines():
            file.write(line + "\n")

    def digest(self) -> str:
        """Return the SHA-256 of the saved trace: the same digest means the same history."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Return the trace that :meth:`save` wrote; ``BadInput`` names the first invalid line."""
        trace = cls()
        try:
            with Path(path).open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    trace._steps.append(_parse(line, f"{path}, line {number}"))
        except UnicodeDecodeError:
            raise BadInput(f"{path} is not text in UTF-8") from None
        return trace


KINDS: dict[str, type[Event]] = {
    name: kind
    for module in (consensus, storage, world)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""The kinds of events, by name."""
_TYPES: dict[type[Event], dict[str, Any]] = {
    kind: typing.get_type_hints(kind) for kind in KINDS.values()
}


def _parse(line: str, where: str) -> TraceStep:
    try:
        data = json.loads(line)
    except ValueError:
        raise BadInput(f"{where}: not a line of JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("at"), int):
        raise BadInput(f"{where}: a step needs a whole number 'at'")
    kind = KINDS.get(data.get("event", ""))
    if kind is None:
        raise BadInput(f"{where}: there is no event {data.get('event')!r}")
    values = {}
    for field in fields(kind):
        value = data.get(field.name)
        values[field.name] = _as(_TYPES[kind][field.name], value, f"{where}: {field.name}")
    return TraceStep(data["at"], str(data.get("who", "")), kind(**values))


def _as(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` from JSON as ``hint``, an ``int``, ``str``, ``bool`` or tuple of one."""
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise BadInput(f"{where} must be a list, not {value!r}")
        return tuple(_as(typing.get_args(hint)[0], item, where) for item in value)
    if type(value) is not hint:
        raise BadInput(f"{where} must be {hint.__name__}, not {value!r}")
    return value
