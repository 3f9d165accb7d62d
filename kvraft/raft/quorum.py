"""The members of the cluster, which of them vote, and what their answers add up to.

A :class:`Configuration` is replicated as a log entry, and a member uses the newest one in its log,
committed or not (Raft §6).  Voters cannot be exchanged in one step: for a moment there could be two
majorities without a common member.  So a change passes through a *joint* configuration, in which
every decision needs a majority of the old voters and, separately, of the new ones::

    voters 1 2 3            voters 3 4 5
                            outgoing 1 2 3             voters 3 4 5
    ─────────── old ──────▲──────────── joint ───────▲──── new ─────►
                          │ appended                 │ appended once joint is committed

*Learners* are sent the log and do not vote, so that a newcomer can catch up first (thesis §4.2.1).

Everything here is a pure function of configurations and answers, so that each can be checked
against brute force.

Source: Raft §5.2 (votes), §5.3 (commitment), §6 (joint consensus); thesis §4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from kvraft.copying import immutable
from kvraft.errors import BadInput, WrongType
from kvraft.record import is_name


@immutable
@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a cluster.  Names are kept in the order given.

    ``outgoing`` are the voters of the old configuration while a change is under way, empty
    otherwise.  One of ``learners`` may be in ``outgoing``: it votes until the change is complete.
    Raises :class:`~kvraft.errors.WrongType` for anything but tuples (or lists, which become tuples)
    of text, and :class:`~kvraft.errors.BadInput` if there is no voter, if a name is invalid
    (:func:`~kvraft.record.is_name`) or given twice, or if a voter is also a learner.
    """

    voters: tuple[str, ...]
    outgoing: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    voting: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Each member whose vote counts, in either half."""
    members: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Each member that is sent the log."""

    def __post_init__(self) -> None:
        for part in ("voters", "outgoing", "learners"):
            # Sound or refused here: on the way to a follower it would be too late.
            object.__setattr__(self, part, names_of(part, getattr(self, part)))
        if not self.voters:
            raise BadInput("a cluster needs at least one voting member")
        for names in (self.voters, self.outgoing, self.learners):
            if len(set(names)) != len(names):
                raise BadInput(f"a member is named twice: {', '.join(names)}")
        for name in self.learners:
            if name in self.voters:
                raise BadInput(f"{name} cannot be a voter and a learner at once")
        voting = self.voters + tuple(name for name in self.outgoing if name not in self.voters)
        members = voting + tuple(name for name in self.learners if name not in voting)
        object.__setattr__(self, "voting", voting)
        object.__setattr__(self, "members", members)

    @property
    def joint(self) -> bool:
        """Whether this is the middle of a change: decisions need two majorities."""
        return bool(self.outgoing)

    @property
    def quorum(self) -> int:
        """How many of ``voters`` make a majority."""
        return len(self.voters) // 2 + 1

    def change_to(self, voters: tuple[str, ...], learners: tuple[str, ...] = ()) -> Configuration:
        """Return the first step from here to ``voters`` and ``learners``.

        It is joint if the voters differ, and final if only learners do, who decide nothing.
        Raises ``BadInput`` if a change is under way already, or if this one changes nothing.
        """
        if self.joint:
            raise BadInput("a change of members is under way: the configuration is joint")
        if sorted(voters) == sorted(self.voters):
            if sorted(learners) == sorted(self.learners):
                raise BadInput(f"these are the members already: {self}")
            return Configuration(self.voters, (), learners)
        return Configuration(voters, self.voters, learners)

    def leave_joint(self) -> Configuration:
        """Return the configuration that a joint one leads to."""
        return Configuration(self.voters, (), self.learners)

    def to_bytes(self) -> bytes:
        """Return this configuration as the value of a log entry."""
        whole = {"voters": self.voters, "outgoing": self.outgoing, "learners": self.learners}
        return json.dumps({name: names for name, names in whole.items() if names}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Configuration:
        """Return the configuration in ``data``, as :meth:`to_bytes` wrote it.

        Raises :class:`~kvraft.errors.BadInput` for any other bytes.
        """
        try:
            whole = json.loads(data)
            halves = [whole["voters"], whole.get("outgoing", []), whole.get("learners", [])]
            if not all(type(names) is list for names in halves):
                raise ValueError  # a string would pass for a list of its letters
            return cls(*map(tuple, halves))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadInput(f"{data[:80]!r} is not a configuration") from None

    def __str__(self) -> str:
        text = " ".join(self.voters)
        if self.outgoing:
            text += f", outgoing {' '.join(self.outgoing)}"
        if self.learners:
            text += f", learners {' '.join(self.learners)}"
        return text


def names_of(what: str, names: object) -> tuple[str, ...]:
    """Return ``names``, a tuple or list of members' names, as a tuple.

    Raises :class:`~kvraft.errors.WrongType` for anything else (a string is not a list of letters,
    and a set has no order), and :class:`~kvraft.errors.BadInput` for text that cannot be a name.
    Both errors call the names ``what``.
    """
    if not isinstance(names, tuple | list):
        kind = type(names).__name__
        raise WrongType(f"{what} should be a tuple of members' names, not of type {kind}")
    for name in names:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise WrongType(f"a member needs a name: {what} names one of type {kind}, not str")
        if not is_name(name):
            raise BadInput(f"a member needs a name that can be written down, not {name[:60]!r}")
    return tuple(names)


def committed_index(configuration: Configuration, match: Mapping[str, int]) -> int:
    """Return the highest index that a quorum holds, given each voter's match index.

    A voter missing from ``match`` holds nothing.  A joint configuration needs a majority of each
    half (Raft §5.3, §6; Figure 2, "rules for leaders").
    """
    index = _majority_index(configuration.voters, match)
    if configuration.outgoing:
        index = min(index, _majority_index(configuration.outgoing, match))
    return index


def vote_result(configuration: Configuration, votes: Mapping[str, bool]) -> bool | None:
    """Return whether an election is won (true) or lost, ``None`` while it is open (Raft §5.2, §6).

    ``votes`` has at most one answer for each voter: a repeated reply cannot count twice.  In a
    joint configuration an election must be won in both halves, and is lost with either.
    """
    results = [_majority_vote(configuration.voters, votes)]
    if configuration.outgoing:
        results.append(_majority_vote(configuration.outgoing, votes))
    if False in results:
        return False
    return None if None in results else True


def _majority_index(voters: tuple[str, ...], match: Mapping[str, int]) -> int:
    held = sorted([match.get(voter, 0) for voter in voters])
    return held[(len(held) - 1) // 2]


def _majority_vote(voters: tuple[str, ...], votes: Mapping[str, bool]) -> bool | None:
    answers = [votes.get(voter) for voter in voters]
    majority = len(voters) // 2 + 1
    if answers.count(True) >= majority:
        return True
    return False if len(voters) - answers.count(False) < majority else None
