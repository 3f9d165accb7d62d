"""What is done to a cluster in a trial: acts by value, and as lines of a scenario.

An act is a tuple of a verb and its arguments, such as ``("deliver", "AppendEntries", "n1", "n2",
0)``: the oldest such message in flight.  Acts name no numbers of messages, so that they keep their
sense when other acts are left out, and one that is impossible is skipped.  That is what makes a
list of them fit to be shrunk.

:func:`perform` does one and returns it as lines of the language of scenarios (``check/scenario``),
with the numbers that it found, so that ``kvraft play`` repeats it to the letter.

==================== ==============================================================================
``timeout``          of a member runs out
``deliver``          kind, sender, receiver, which of them; also ``drop`` and ``duplicate``
``propose``          a member, a key
``crash``            a member, after which step of its work (``""``: now)
``restart``          a member
``run``              so many ticks pass
``partition``        names on one side; ``heal``
``sever``            sender, receiver: a link in one direction, until all is healed
``change``           a member, voters; ``add`` a member; ``transfer`` from one to another
``read``             a member, a token
``snapshot``         a member truncates its log, so many entries before what it applied
==================== ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvraft.check.trial.promises import Ability
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.sim import Cluster

Act = tuple[Any, ...]
ALL, NEWEST = -1, -2
"""All messages that match, or the one that was sent last."""


def perform(cluster: Cluster, act: Act) -> list[str]:
    """Do an act; return the lines of a scenario that do the same, none if it is impossible.

    What it causes, such as a :class:`~kvraft.check.Violation`, is raised with the line as a note.
    """
    verb, *arguments = act
    line = _LINES[verb](cluster, *arguments)
    if line is None:
        return []
    text, do = line
    try:
        do()
    except (BadInput, Busy, NotLeader) as refusal:
        return [f"refuse {type(refusal).__name__} {text}"]
    except Exception as error:
        error.add_note(text)
        raise
    return [text]


_Line = tuple[str, Callable[[], object]] | None


def _messages(verb: str) -> Callable[..., _Line]:
    def line(cluster: Cluster, kind: str, sender: str, to: str, which: int) -> _Line:
        found = [
            letter
            for letter in cluster.find(sender=sender, to=to)
            if kind in ("", type(letter.message).__name__)
        ]
        if not found or which >= len(found):
            return None
        words = f"{verb} {kind} from {sender} to {to}".replace("  ", " ")
        picked = found if which == ALL else [found[-1 if which == NEWEST else which]]
        if len(picked) < len(found):
            words += f" number {picked[0].id}"
        do = getattr(cluster, verb)

        def each() -> None:
            for letter in picked:
                do(id=letter.id)

        return words, each

    return line


def _runs(cluster: Cluster, name: str) -> bool:
    return name in cluster.members and cluster.members[name].raft is not None


def _timeout(cluster: Cluster, name: str) -> _Line:
    return (f"timeout {name}", lambda: cluster.timeout(name)) if _runs(cluster, name) else None


def _propose(cluster: Cluster, name: str, key: str) -> _Line:
    if not _runs(cluster, name):
        return None
    return f"propose {name} {key}", lambda: cluster.propose(name, key)


def _crash(cluster: Cluster, name: str, after: str) -> _Line:
    if not _runs(cluster, name):
        return None
    words = f"crash {name}" + (f" after {after}" if after else "")
    return words, lambda: cluster.crash(name, after=after)


def _restart(cluster: Cluster, name: str) -> _Line:
    if name not in cluster.members or _runs(cluster, name):
        return None
    return f"restart {name}", lambda: cluster.restart(name)


def _run(cluster: Cluster, ticks: int) -> _Line:
    return f"run {ticks}", lambda: cluster.run(ticks)


def _partition(cluster: Cluster, *side: str) -> _Line:
    here = [name for name in side if name in cluster.members]
    there = [name for name in cluster.members if name not in here]
    if not here or not there:
        return None
    words = f"partition {' '.join(here)} | {' '.join(there)}"
    return words, lambda: cluster.partition(here, there)


def _sever(cluster: Cluster, sender: str, to: str) -> _Line:
    if sender not in cluster.members or to not in cluster.members:
        return None
    return f"sever {sender} to {to}", lambda: cluster.cut_link(sender, to)


def _heal(cluster: Cluster) -> _Line:
    return "heal", cluster.heal


def _change(cluster: Cluster, name: str, *voters: str) -> _Line:
    if not _runs(cluster, name) or not all(voter in cluster.members for voter in voters):
        return None
    learners = [each for each in cluster.members if each not in voters]
    words = f"change {name} to {' '.join(voters)}"
    words += f" learners {' '.join(learners)}" if learners else ""
    return words, lambda: cluster.propose_change(name, voters, learners)


def _add(cluster: Cluster, name: str) -> _Line:
    return None if name in cluster.members else (f"add {name}", lambda: cluster.add(name))


def _transfer(cluster: Cluster, name: str, to: str) -> _Line:
    if not _runs(cluster, name):
        return None
    return f"transfer {name} to {to}", lambda: cluster.transfer(name, to)


def _read(cluster: Cluster, name: str, token: int) -> _Line:
    return (
        (f"read {name} {token}", lambda: cluster.read(name, token))
        if _runs(cluster, name)
        else None
    )


def _snapshot(cluster: Cluster, name: str, before: int) -> _Line:
    if not _runs(cluster, name):
        return None
    index = len(cluster.members[name].applied) - before
    if index < cluster.members[name].log.first_index:
        return None
    return f"snapshot {name} {index}", lambda: cluster.truncate_log(name, index)


_LINES: dict[str, Callable[..., _Line]] = {
    "timeout": _timeout,
    "deliver": _messages("deliver"),
    "drop": _messages("drop"),
    "duplicate": _messages("duplicate"),
    "propose": _propose,
    "crash": _crash,
    "restart": _restart,
    "run": _run,
    "partition": _partition,
    "sever": _sever,
    "heal": _heal,
    "change": _change,
    "add": _add,
    "transfer": _transfer,
    "read": _read,
    "snapshot": _snapshot,
}
NEEDED = {
    "change": Ability.MEMBERSHIP,
    "add": Ability.MEMBERSHIP,
    "transfer": Ability.TRANSFERS,
    "read": Ability.READS,
    "snapshot": Ability.SNAPSHOTS,
}
"""The verbs that need an ability."""
