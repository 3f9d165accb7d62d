"""What can be done to what is selected: the verbs that fit, and why one cannot be used now.

What a verb needs beyond the thing itself is asked for in fields, as text::

    words     a value, a key, a number of milliseconds
    writes    city=Oslo sea=
    groups    n1 n2 | n3 n4 n5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvraft.errors import BadInput, KvraftError
from kvraft.sim import VERBS, Parameter, ParameterKind, Run, Target, Verb

SAMPLES = {
    ParameterKind.NUMBER: "300",
    ParameterKind.WRITES: "city=Oslo sea=cold",
    ParameterKind.NEW: "n9",
}
CLIENT = "alice"
"""The client that is offered at first."""
_WORDS = {"key": "city", "value": "Oslo"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A verb with its first arguments; ``fields`` are asked for; ``refusal`` is "" if it can be."""

    verb: Verb
    arguments: tuple[object, ...]
    fields: tuple[Parameter, ...]
    refusal: str

    @property
    def label(self) -> str:
        """What its button says."""
        words = [str(argument) for argument in self.arguments]
        if self.verb.target is Target.LINK and len(words) == 2:
            return f"{self.verb.name} {words[0]} → {words[1]}"
        return " ".join([self.verb.name, *words])

    def act(self, run: Run, values: Sequence[str]) -> str:
        """Do it with what stands in the fields; return the Python call that does it.

        Raises :class:`~kvraft.errors.KvraftError` if it cannot be done.
        """
        given = [parsed(field, value) for field, value in zip(self.fields, values, strict=False)]
        return run.act(self.verb.name, *self.arguments, *given).as_python()


def sample(field: Parameter) -> str:
    """Return what stands in a field at first."""
    if field.kind is ParameterKind.GROUPS:
        return "n1"
    return _WORDS.get(field.name, SAMPLES.get(field.kind, field.name))


def parsed(field: Parameter, text: str) -> object:
    """Return the argument that the text of a field stands for."""
    match field.kind:
        case ParameterKind.NUMBER:
            try:
                return int(text)
            except ValueError:
                raise BadInput(f"{field.name} must be a whole number, not {text!r:.40}") from None
        case ParameterKind.GROUPS:
            return [group.split() for group in text.split("|")]
        case ParameterKind.NAMES:
            return text.split()
        case ParameterKind.WRITES:
            pairs = [word.partition("=") for word in text.split()]
            return [(key, value if sign else None) for key, sign, value in pairs]
    return text


def choices(run: Run, selected: str) -> list[Choice]:
    """Return what can be done to what is selected, such as ``"member n1"``, and to the world.

    While nothing is selected, a client is at hand.
    """
    kind, _, rest = (selected or f"client {CLIENT}").partition(" ")
    names = rest.split()
    found: list[Choice] = []
    for verb in VERBS.values():
        if verb.target is Target.WORLD:
            found.append(_choice(run, verb, ()))
        elif verb.target == kind or (kind == "member" and verb.target is Target.DISK):
            first: list[tuple[object, ...]] = [tuple(names)]
            if kind == "message":
                first = [(int(names[0]),)]
            elif kind == "link" and _is_directed(verb):
                first = [(names[0], names[1]), (names[1], names[0])]
            found += [_choice(run, verb, arguments) for arguments in first]
    return sorted(found, key=lambda choice: choice.verb.target is Target.WORLD)


def _is_directed(verb: Verb) -> bool:
    return len(verb.parameters) > 1 and verb.target is Target.LINK


def _choice(run: Run, verb: Verb, arguments: tuple[object, ...]) -> Choice:
    rest = verb.parameters[len(arguments) :]
    fields = tuple(parameter for parameter in rest if parameter.default is None)
    given = arguments + tuple(parsed(field, sample(field)) for field in fields)
    try:
        refusal = run.refusal(verb.name, *given)
    except KvraftError as error:
        refusal = str(error)
    return Choice(verb, arguments, fields, refusal.removeprefix(f"{verb.name}: "))
