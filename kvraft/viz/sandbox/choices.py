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

MESSAGES = 6
"""How many messages are offered to arrive next."""
CLIENT = "alice"
"""The client that is offered at first."""
_WORDS = {"key": "city", "value": "Oslo", "writes": "city=Oslo sea=cold", "ahead": "1000"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A verb with its first arguments; ``fields`` are asked for, and hold ``texts`` at first.

    ``refusal`` is why it cannot be done now, as long as the fields hold that, or ``""``.
    """

    verb: Verb
    arguments: tuple[object, ...]
    fields: tuple[Parameter, ...]
    texts: tuple[str, ...]
    refusal: str
    says: str

    @property
    def label(self) -> str:
        """What its button says."""
        words = [str(argument) for argument in self.arguments]
        name = self.verb.name.replace("_", " ")
        if self.verb.target is Target.LINK and len(words) == 2:
            return f"{name} {words[0]} → {words[1]}"
        return " ".join([name, *words])

    def act(self, run: Run, values: Sequence[str]) -> str:
        """Do it with what stands in the fields; return the Python call that does it.

        Raises :class:`~kvraft.errors.KvraftError` if it cannot be done.
        """
        pairs = zip(self.fields, values, strict=False)
        given = {field.name: parsed(field, value) for field, value in pairs}
        return run.act(self.verb.name, *self.arguments, **given).as_python()


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
    """Return what can be done to what is selected, such as ``"member n1"``.

    While nothing is selected that is what can be done to the world, and by a client.
    """
    kind, _, rest = (selected or f"client {CLIENT}").partition(" ")
    names = rest.split()
    found: list[Choice] = []
    for verb in filter(lambda verb: verb.offered, VERBS.values()):
        if verb.target is Target.WORLD:
            found += [] if selected else [_choice(run, verb, ())]
        elif verb.target == kind or (kind == "member" and verb.target is Target.DISK):
            first: list[tuple[object, ...]] = [tuple(names)]
            if kind == "message":
                first = [(int(names[0]),)]
            elif kind == "link":
                first = [(names[0], names[1]), (names[1], names[0])]
            found += [_choice(run, verb, arguments) for arguments in first]
    return sorted(
        found, key=lambda choice: (choice.verb.target is Target.WORLD, choice.refusal != "")
    )


def next_choices(run: Run) -> list[Choice]:
    """Return what can happen next, as choices: a message arrives, or a timer runs out.

    Those are the steps that the explorer takes, too (check/explore); of messages there are only
    the oldest.
    """
    found = []
    for envelope in run.world.in_flight[:MESSAGES]:
        message = envelope.message
        says = f"the {type(message).__name__} of {message.sender} arrives at {message.to} now"
        found.append(_choice(run, VERBS["deliver"], (envelope.id,), says))
    for name in run.world.replicas:
        found.append(_choice(run, VERBS["timeout"], (name,), f"the timer of {name} runs out"))
    return [choice for choice in found if not choice.refusal]


def _choice(run: Run, verb: Verb, arguments: tuple[object, ...], says: str = "") -> Choice:
    rest = verb.parameters[len(arguments) :]
    fields = tuple(parameter for parameter in rest if parameter.default is None or parameter.unit)
    texts = tuple(_text(run, field, arguments) for field in fields)
    try:
        given = {f.name: parsed(f, text) for f, text in zip(fields, texts, strict=True)}
        refusal = run.refusal(verb.name, *arguments, **given)
    except KvraftError as error:
        refusal = str(error)
    refusal = refusal.removeprefix(f"{verb.name}: ")
    return Choice(verb, arguments, fields, texts, refusal, says or verb.sentence)


def _text(run: Run, field: Parameter, arguments: tuple[object, ...]) -> str:
    """Return what stands in a field at first."""
    members = run.world.members
    match field.kind:
        case ParameterKind.FILE:
            return next(reversed(run.world.disk(str(arguments[0])).names()), "")
        case ParameterKind.NAMES:
            return " ".join(members)
        case ParameterKind.GROUPS:
            return members[0]
        case ParameterKind.NEW:
            return f"n{len(members) + 1}"
    if field.default is not None:
        return str(field.default)
    return _WORDS.get(field.name, "30" if field.unit else "0")
