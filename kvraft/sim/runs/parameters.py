"""The parameters of verbs: what each is called, what it may be, and what it is if left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kvraft import inputs
from kvraft.errors import BadInput, WrongType
from kvraft.record import MAX_NAME_BYTES, is_name
from kvraft.sim.runs.action import Argument, as_data, as_text
from kvraft.sim.seat import DrainStep
from kvraft.sim.world import World

MOST = 1_000_000
"""The largest number that an argument can be, unless its parameter says otherwise."""
LONGEST_TEXT = 4_096
"""How many characters the text of an argument can have."""


class ParameterKind(StrEnum):
    """What an argument may be."""

    MEMBER = "member"
    """The name of a member that was ever started."""
    CLIENT = "client"
    """The name of a client; it is made on first use."""
    NAME = "name"
    """The name of a member or of a client."""
    NAMES = "names"
    """Names of members or clients."""
    GROUPS = "groups"
    """Lists of names."""
    NEW = "new"
    """A name that nobody has."""
    NUMBER = "number"
    """A whole number."""
    FLAG = "flag"
    """True or false."""
    FILE = "file"
    """The name of a file on a disk."""
    TEXT = "text"
    """Any text, which stands for bytes."""
    TEXTS = "texts"
    """Texts, which stand for bytes."""
    WRITES = "writes"
    """Pairs of a key and its value, which is ``None`` to delete the key."""
    DRAIN_STEP = "drain step"
    """A step of a drain, or ``""``."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; it may be left out if it has a ``default``.

    A number is at least ``least`` and at most ``most``, and counts what ``unit`` says, if anything.
    """

    name: str
    kind: ParameterKind
    default: Argument = None
    least: int = 0
    most: int = MOST
    unit: str = ""

    def check(self, world: World, value: object) -> Argument:
        """Return ``value`` as an argument; raise ``BadInput`` if it cannot be one."""
        what = f"the argument {self.name!r}"
        if value == "" == self.default:
            return ""
        match self.kind:
            case ParameterKind.MEMBER:
                return _known(world, value, what, members_only=True)
            case ParameterKind.NAME:
                return _known(world, value, what)
            case ParameterKind.CLIENT:
                return _client(world, value, what)
            case ParameterKind.NEW:
                return _new(world, value, what)
            case ParameterKind.NAMES:
                return _names(world, value, what)
            case ParameterKind.GROUPS:
                return tuple(_names(world, row, what) for row in _rows(value, what))
            case ParameterKind.NUMBER:
                return self._number(value, what)
            case ParameterKind.FLAG:
                return inputs.flag(value, what)
            case ParameterKind.FILE | ParameterKind.TEXT:
                return _text(value, what)
            case ParameterKind.TEXTS:
                return tuple(_text(row, what) for row in _rows(value, what))
            case ParameterKind.WRITES:
                return tuple(_write(row, what) for row in _rows(value, what))
            case ParameterKind.DRAIN_STEP:
                return str(DrainStep.named(inputs.text(value, what)))

    def _number(self, value: object, what: str) -> int:
        number = inputs.whole_number(value, what, minimum=self.least)
        if number > self.most:
            raise BadInput(f"{what} must be at most {self.most}, not {number}")
        return number


def _known(world: World, value: object, what: str, *, members_only: bool = False) -> str:
    name = inputs.text(value, what)
    if name not in world.seats and (members_only or name not in world.clients):
        kind = "member" if members_only else "member or client"
        raise BadInput(f"there is no {kind} called {name}: {', '.join(world.members)}")
    return name


def _client(world: World, value: object, what: str) -> str:
    name = inputs.text(value, what)
    if not is_name(name):
        raise BadInput(f"{what} must be a name of at most {MAX_NAME_BYTES} bytes, not {name!r:.60}")
    if name in world.seats:
        raise BadInput(f"{name} is a member, so it cannot be a client")
    return name


def _new(world: World, value: object, what: str) -> str:
    name = inputs.text(value, what)
    if name in (*world.seats, *world.clients):
        raise BadInput(f"there is a member or client called {name} already")
    return name


def _names(world: World, value: object, what: str) -> tuple[str, ...]:
    return tuple(_known(world, name, what) for name in inputs.names(value, what))


def _rows(value: object, what: str) -> Sequence[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise WrongType(f"{what} must be a list of lists, not {inputs.describe_value(value)}")
    return value


def _text(value: object, what: str) -> str:
    text = as_text(value) if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise WrongType(f"{what} must be text, not {inputs.describe_value(value)}")
    if len(text) > LONGEST_TEXT:
        raise BadInput(f"{what} has {len(text)} characters, and {LONGEST_TEXT} at most")
    try:
        as_data(text)
    except UnicodeEncodeError:
        raise BadInput(f"{what} has half of a character, in {text!a:.60}") from None
    return text


def _write(row: object, what: str) -> tuple[str, str | None]:
    pair = _rows(row, what)
    if len(pair) != 2:
        raise BadInput(f"{what} must have pairs of a key and a value, not {row!r:.60}")
    key, value = pair
    return _text(key, what), None if value is None else _text(value, what)
