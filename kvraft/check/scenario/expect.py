"""What a scenario may expect of a member: parsed from words, compared with the member's state.

Both sides are texts: what the scenario says, and what the member's state looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from kvraft.check.scenario.words import ScenarioLine
from kvraft.errors import KvraftError
from kvraft.events import MessageRejected
from kvraft.raft import Log, Role
from kvraft.record import label
from kvraft.sim import Cluster, Member

NONE = "none"


class UnmetExpectation(KvraftError):
    """An expectation in a scenario is not met."""


class Expectation(NamedTuple):
    """``key`` of a member, with ``argument`` if it needs one, should be ``wanted``."""

    key: str
    argument: str
    wanted: str

    def check(self, cluster: Cluster, name: str) -> None:
        """Raise :class:`UnmetExpectation` if the member ``name`` does not meet it."""
        found = LOOKS[self.key](cluster, cluster.members[name], self.argument)
        if found != self.wanted:
            what = f"{self.key} {self.argument}".strip()
            raise UnmetExpectation(
                f"expected {what} of {name} to be {self.wanted}, but it is {found}"
            )


def read_expectations(words: ScenarioLine, members: Container[str]) -> list[Expectation]:
    """Return the expectations of one member, separated by commas, to the end of the line."""
    found = []
    while True:
        key = words.take("what is expected")
        argument = ""
        if key in ROLES:
            wanted = [key]
            key = "role"
        elif key in LOOKS and key != "role":
            if key in ARGUMENTS:
                argument = words.take(ARGUMENTS[key])
            wanted = words.until(",") or [words.take(f"a value of {key}")]
        else:
            known = ", ".join([*ROLES, *LOOKS])
            raise words.wrong(f"a member has no {key!r}; expect one of: {known}")
        for name in wanted:
            if key in NAMED and name not in members and name != NONE:
                raise words.wrong(f"there is no member {name!r}")
        found.append(Expectation(key, argument, " ".join(wanted)))
        if not words.skip(","):
            words.end()
            return found


# ── the state of a member, as text ──────────────────────────────────────────────────────────────


def _log(member: Member) -> Log:
    return member.raft.log if member.raft else member.log


def _role(_: Cluster, member: Member, __: str) -> str:
    return member.raft.role.value if member.raft else "down"


def _term(_: Cluster, member: Member, __: str) -> str:
    return str(member.raft.term if member.raft else member.hard_state.term)


def _vote(_: Cluster, member: Member, __: str) -> str:
    return (member.raft.vote if member.raft else member.hard_state.vote) or NONE


def _knows(_: Cluster, member: Member, __: str) -> str:
    return (member.raft and member.raft.leader) or NONE


def _terms(_: Cluster, member: Member, __: str) -> str:
    log = _log(member)
    return " ".join(str(entry.term) for entry in log.slice(log.first_index)) or NONE


def _base(_: Cluster, member: Member, __: str) -> str:
    return str(_log(member).base.index)


def _commit(_: Cluster, member: Member, __: str) -> str:
    return str(member.raft.commit_index) if member.raft else NONE


def _applied(_: Cluster, member: Member, __: str) -> str:
    keys = [label(e.record.key) for e in member.applied if e.record.kind.is_data]
    return " ".join(keys) or NONE


def _voters(_: Cluster, member: Member, __: str) -> str:
    return " ".join(member.raft.configuration.voters) if member.raft else NONE


def _outgoing(_: Cluster, member: Member, __: str) -> str:
    return (member.raft and " ".join(member.raft.configuration.outgoing)) or NONE


def _learners(_: Cluster, member: Member, __: str) -> str:
    return (member.raft and " ".join(member.raft.configuration.learners)) or NONE


def _lease(_: Cluster, member: Member, __: str) -> str:
    return "yes" if member.raft and member.raft.lease else "no"


def _decided(_: Cluster, member: Member, place: str) -> str:
    fates = [
        d.outcome.value for d in member.decided if place in (f"{d.first}-{d.last}", str(d.first))
    ]
    return " ".join(fates) or NONE


def _read(_: Cluster, member: Member, token: str) -> str:
    answers = [f"served {read.index}" for read in member.reads if str(read.token) == token]
    answers += ["failed" for failed in member.failed_reads if str(failed) == token]
    return " ".join(answers) or "waiting"


def _refused(cluster: Cluster, member: Member, _: str) -> str:
    steps = cluster.trace.of(MessageRejected, who=member.name)
    kinds = {step.event.kind: None for step in steps if isinstance(step.event, MessageRejected)}
    return " ".join(kinds) or NONE


def _sends(_: Cluster, member: Member, to: str) -> str:
    progress = member.raft.status().progress.get(to) if member.raft else None
    return progress.state if progress else NONE


ROLES = (*(role.value for role in Role), "down")
LOOKS: dict[str, Callable[[Cluster, Member, str], str]] = {
    "role": _role,
    "term": _term,
    "vote": _vote,
    "knows": _knows,
    "log": _terms,
    "base": _base,
    "commit": _commit,
    "applied": _applied,
    "voters": _voters,
    "outgoing": _outgoing,
    "learners": _learners,
    "lease": _lease,
    "decided": _decided,
    "read": _read,
    "refused": _refused,
    "sends": _sends,
}
ARGUMENTS = {"decided": "a place such as 2-3", "read": "a number", "sends": "a member"}
NAMED = ("vote", "knows", "voters", "outgoing", "learners")


def expect_leader(cluster: Cluster, name: str) -> None:
    """Raise :class:`UnmetExpectation` unless ``name`` leads the highest term (or no member)."""
    leader = cluster.leader() or NONE
    if leader != name:
        raise UnmetExpectation(f"expected the leader to be {name}, but it is {leader}")
