"""What happened: the one stream of typed events that every part of the system reports.

Plots, widgets, checkers, recorded traces and ``--json`` output all read this stream and nothing
else.  A part says *what* happened by calling the ``report`` function it was given with an
:class:`Event`; the world that runs the part knows *when* and *to whom*, and files a :class:`Step`
in its :class:`Trace`.

Invariants:

- Fields hold only ``int``, ``str``, ``bool`` and tuples of them, so that an event is the same
  value after a trip through JSON.
- A trace is written one step a line with keys in a fixed order: the same history gives the same
  bytes, on every machine.

One line of a saved trace::

    {"at": 215000, "who": "n2", "event": "RoleChanged", "role": "leader", "term": 1, "leader": "n2"}

``at`` is microseconds of the world's time; ``who`` is a member, a client, or ``""`` for the world.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, NamedTuple

from kvraft.errors import BadInput


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Report to nobody: the default where nothing watches."""


# ── consensus ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RoleChanged(Event):
    """A member has a new role, term or leader.  ``leader`` is ``""`` while none is known."""

    role: str  # "follower", "candidate" or "leader"
    term: int
    leader: str


@dataclass(frozen=True, slots=True)
class Voted(Event):
    """A member gave its one vote of ``term`` to ``candidate``, maybe itself."""

    term: int
    candidate: str


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """A member learned that the log is committed through ``index``."""

    index: int


@dataclass(frozen=True, slots=True)
class ConfigurationChanged(Event):
    """A member acts on another configuration: the one of log entry ``index`` (Raft §6).

    That may be an older one again, if the newer was superseded.
    """

    index: int
    voters: tuple[str, ...]
    outgoing: tuple[str, ...]
    learners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProgressChanged(Event):
    """A leader sends to ``member`` in another way: "probe", "replicate" or "snapshot"."""

    member: str
    state: str
    next: int
    match: int


@dataclass(frozen=True, slots=True)
class TransferBegan(Event):
    """A leader is handing over to ``member`` and takes no proposals meanwhile (thesis §3.10)."""

    member: str


@dataclass(frozen=True, slots=True)
class TransferEnded(Event):
    """A leader no longer hands over to ``member``, and says ``why``: it takes proposals again."""

    member: str
    why: str


@dataclass(frozen=True, slots=True)
class LogLost(Event):
    """A leader found that ``member`` lost entries that it had acknowledged as durable.

    It had acknowledged the log through ``acknowledged``; of that it holds no more than through
    ``holds``.  It is sent nothing that would hide this, and counts for nothing new.
    """

    member: str
    acknowledged: int
    holds: int


@dataclass(frozen=True, slots=True)
class SnapshotTaken(Event):
    """A member's log was replaced by a leader's snapshot of everything through ``index`` (§7)."""

    index: int
    term: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A member ignored a message of ``sender`` that nobody sound would send."""

    kind: str
    sender: str
    why: str


@dataclass(frozen=True, slots=True)
class Marks(Event):
    """The five marks of a replica, reported whenever one moves."""

    first: int
    flushed: int
    applied: int
    committed: int
    last: int


# ── the log on disk ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Appended(Event):
    """Entries were written to the log, from index ``first`` on, one a list position.

    They are synced, but where a store without consensus asked for less (``wal.Durability``).

    ``keys`` are labels; a no-op has key ``""`` and transaction ``""``.  ``ends`` is the commit
    mark of each entry.
    """

    segment: int
    first: int
    terms: tuple[int, ...]
    keys: tuple[str, ...]
    txns: tuple[str, ...]
    ends: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Superseded(Event):
    """The entries ``first`` … ``last`` conflict with the leader's; what is appended next wins."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SegmentOpened(Event):
    """A log segment was begun; its first entry will be ``first``."""

    segment: int
    first: int


@dataclass(frozen=True, slots=True)
class SegmentSealed(Event):
    """A log segment is complete and will never be written again."""

    segment: int
    first: int
    last: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class HoldsChanged(Event):
    """Somebody who holds the log came, went, or now needs it from another segment on.

    ``holders`` and ``needs`` go together: the oldest index that each holder still needs.
    """

    holders: tuple[str, ...]
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CutDecided(Event):
    """Segments wholly below ``floor`` may go: each holder no longer needs them.

    ``holders`` and ``needs`` go together: the oldest index that each holder still needs.
    """

    floor: int
    holders: tuple[str, ...]
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SegmentDropped(Event):
    """A sealed segment was removed from disk."""

    segment: int
    first: int
    last: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class TailCut(Event):
    """A torn write, never acknowledged, was cut off the end of a file.

    The log keeps the bytes in a file of their own (``segment.py``).
    """

    file: str
    offset: int
    size: int  # bytes cut


@dataclass(frozen=True, slots=True)
class DiskFilled(Event):
    """There was no space for what the log had to write, as ``what`` says; reads go on."""

    what: str


@dataclass(frozen=True, slots=True)
class SpaceFound(Event):
    """There is space again: the log takes writes as before."""


@dataclass(frozen=True, slots=True)
class LogReset(Event):
    """All entries were dropped: the log goes on behind ``index``, where a snapshot ends (§7)."""

    index: int
    term: int


# ── the tree ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Applied(Event):
    """A complete transaction reached the memtable, its last entry at ``index``."""

    index: int
    txn: str
    records: int
    memtable_rows: int
    memtable_size: int  # bytes


@dataclass(frozen=True, slots=True)
class Undone(Event):
    """The entries ``first`` … ``last`` of a transaction that never completed were dropped."""

    txn: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Repeated(Event):
    """A transaction that was applied before came again at ``index`` and changed nothing."""

    txn: str
    index: int


@dataclass(frozen=True, slots=True)
class IdTaken(Event):
    """The transaction that ends at ``index`` did nothing: ``txn`` is the id of another one."""

    txn: str
    index: int


@dataclass(frozen=True, slots=True)
class Conflicted(Event):
    """The transaction that ends at ``index`` did nothing: it had read ``key``, written since."""

    txn: str
    index: int
    key: str


@dataclass(frozen=True, slots=True)
class SessionExpired(Event):
    """A session was deleted at ``index``, as nobody had used it for long by log time.

    ``client`` is whose it was, as ``name.incarnation``.
    """

    client: str
    index: int


@dataclass(frozen=True, slots=True)
class MemtableFrozen(Event):
    """A memtable takes no more writes and waits to be flushed."""

    rows: int
    size: int  # bytes
    through: int  # the last log index it holds


@dataclass(frozen=True, slots=True)
class TableWritten(Event):
    """An SSTable is complete and synced, but not yet live."""

    table: int
    rows: int
    size: int  # bytes
    first_key: str
    last_key: str


@dataclass(frozen=True, slots=True)
class Flushed(Event):
    """The manifest says: everything through log index ``through`` is in live SSTables.

    ``table`` is the number of the table that was added, 0 if there was nothing to write.
    """

    through: int
    table: int


@dataclass(frozen=True, slots=True)
class CompactionBegan(Event):
    """The SSTables ``inputs`` are being merged into new ones of ``level``."""

    inputs: tuple[int, ...]
    level: int


@dataclass(frozen=True, slots=True)
class Compacted(Event):
    """The manifest says: ``outputs``, of ``level``, took the place of ``inputs``.

    Where both are the same, the tables moved to that level as they are.  ``read`` and ``written``
    are in bytes; ``tombstones`` is how many went for good.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    level: int
    read: int
    written: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class TableRemoved(Event):
    """The file of an SSTable is gone: it was live no more, and nobody read it."""

    table: int


@dataclass(frozen=True, slots=True)
class TreeOpened(Event):
    """A tree was opened with these live SSTables, in the order in which they are read."""

    tables: tuple[int, ...]
    levels: tuple[int, ...]
    sizes: tuple[int, ...]  # bytes


@dataclass(frozen=True, slots=True)
class Installed(Event):
    """The manifest says: the tables of a snapshot through index ``through`` replaced all others.

    ``tables`` are their numbers, newest first; memtables are empty.
    """

    through: int
    tables: tuple[int, ...]


# ── the world ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """A message left for ``to``.  ``first`` … ``last`` are the entries it carries, 0 if none."""

    id: int
    kind: str
    to: str
    term: int
    first: int
    last: int
    note: str


@dataclass(frozen=True, slots=True)
class Delivered(Event):
    """Message ``id`` reached its receiver."""

    id: int


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """Message ``id`` will never arrive."""

    id: int
    why: str


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A member opened its disk and runs; the marks say what it found there."""

    term: int
    first: int
    flushed: int
    last: int


@dataclass(frozen=True, slots=True)
class Crashed(Event):
    """A member lost its memory and every byte that was not synced."""

    lost: int  # bytes


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A member stopped by itself, for the reason given."""

    why: str


@dataclass(frozen=True, slots=True)
class Partitioned(Event):
    """The network was cut into groups, each written as names with spaces between."""

    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healed(Event):
    """The network is whole again."""


# ── the client ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TicketMoved(Event):
    """A client's write reached another stage; ``index`` is its last log index, 0 if unknown."""

    txn: str
    stage: str
    member: str
    index: int


@dataclass(frozen=True, slots=True)
class Redirected(Event):
    """A client was told to ask another member, ``""`` if the one asked knew none."""

    txn: str
    asked: str
    leader: str


# ── the trace ───────────────────────────────────────────────────────────────────────────────────


class Step(NamedTuple):
    """One event, filed: at ``at`` microseconds of the world's time, by ``who``."""

    at: int
    who: str
    event: Event


class Trace:
    """A history: steps in the order in which they happened.  Reads like a sequence of steps."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps = list(steps)

    def file(self, at: int, who: str, event: Event) -> None:
        """Add one event at the end."""
        self._steps.append(Step(at, who, event))

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    @typing.overload
    def __getitem__(self, at: int) -> Step: ...
    @typing.overload
    def __getitem__(self, at: slice) -> Trace: ...
    def __getitem__(self, at: int | slice) -> Step | Trace:
        return Trace(self._steps[at]) if isinstance(at, slice) else self._steps[at]

    def of(self, *kinds: type[Event], who: str | None = None) -> list[Step]:
        """Return the steps whose event is one of ``kinds``, by ``who`` if given."""
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
        """Read a trace that :meth:`save` wrote; ``BadInput`` names the first line that is none."""
        trace = cls()
        try:
            with Path(path).open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    trace._steps.append(_parse(line, f"{path}, line {number}"))
        except UnicodeDecodeError:
            raise BadInput(f"{path} is not text in UTF-8") from None
        return trace


_KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
_TYPES: dict[type[Event], dict[str, Any]] = {
    kind: typing.get_type_hints(kind) for kind in _KINDS.values()
}


def _parse(line: str, where: str) -> Step:
    try:
        data = json.loads(line)
    except ValueError:
        raise BadInput(f"{where}: not a line of JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("at"), int):
        raise BadInput(f"{where}: a step needs a whole number 'at'")
    kind = _KINDS.get(data.get("event", ""))
    if kind is None:
        raise BadInput(f"{where}: there is no event {data.get('event')!r}")
    values = {}
    for field in fields(kind):
        value = data.get(field.name)
        values[field.name] = _as(_TYPES[kind][field.name], value, f"{where}: {field.name}")
    return Step(data["at"], str(data.get("who", "")), kind(**values))


def _as(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` from JSON as ``hint``, an ``int``, ``str``, ``bool`` or tuple of one."""
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise BadInput(f"{where} must be a list, not {value!r}")
        return tuple(_as(typing.get_args(hint)[0], item, where) for item in value)
    if type(value) is not hint:
        raise BadInput(f"{where} must be {hint.__name__}, not {value!r}")
    return value
