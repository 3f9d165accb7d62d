"""Lesson 15: a learner's rule of what a follower keeps survives a trial, or is shown how it fails.

The rule is first tried in small situations: every log of up to three entries, every message that a
leader may have sent to it, also an old one.  Then it is planted in a consensus module, which stands
trial (check/trial).

Source: Raft §5.3, and the receiver's steps 2 to 4 of AppendEntries in Figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

from kvraft.check.trial import Ability, first_broken
from kvraft.course.answers import shown, value_of
from kvraft.course.guard import Broken, Wrong, called
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.raft import AppendEntries, Follower, Raft

Rule = Callable[[list[int], tuple[int, int], list[int]], list[int] | None]
"""``appended(mine, previous, sent)``."""
RUNS = 60
"""How many runs the trial of a rule has."""
TERMS = (1, 2, 3)

# ── situations ──────────────────────────────────────────────────────────────────────────────────


class Message(NamedTuple):
    """A follower's log, by terms, and a message: where its entries go, and their terms."""

    mine: tuple[int, ...]
    previous: tuple[int, int]
    sent: tuple[int, ...]

    def __str__(self) -> str:
        index, term = self.previous
        after = f"after entry {index} of term {term}" if index else "from the first entry on"
        return f"The log has terms {_listed(self.mine)}; {_listed(self.sent)} come {after}:"

    @property
    def right(self) -> list[int] | None:
        """What the follower has afterwards, ``None`` if it refuses (Figure 2)."""
        mine, (index, term), sent = self
        if index > len(mine) or (index and mine[index - 1] != term):
            return None
        new = next(
            (n for n, each in enumerate(sent) if index + n >= len(mine) or mine[index + n] != each),
            len(sent),
        )
        return [*mine] if new == len(sent) else [*mine[: index + new], *sent[new:]]

    @property
    def possible(self) -> bool:
        """Whether a leader may have sent it: an entry is the same wherever its term is the same."""
        mine, (index, _), sent = self
        theirs = sent[: max(0, len(mine) - index)]
        alike = [mine[index + n] == each for n, each in enumerate(theirs)]
        return alike == sorted(alike, reverse=True)

    def why_wrong(self, answer: list[int] | None) -> str:
        """Return why ``answer`` is wrong."""
        right, (index, _) = self.right, self.previous
        if right is None:
            if index > len(self.mine):
                return "There would be a gap before these entries."
            return "The entry before them is of another term, so the logs differ there already."
        if answer is None:
            return "The entry before them matches, so they are not refused."
        if len(answer) > len(right):
            if answer[: len(self.mine)] == [*self.mine]:
                return "Some of them are there already, and come twice now."
            return "An entry of another term is in the way: it goes, and what follows it."
        if len(answer) < len(right):
            return "Nothing conflicts: the entries that follow may have been acknowledged since."
        return "An entry of another term is in the way, and the leader's is the right one."


def _listed(terms: Sequence[int]) -> str:
    return " ".join(map(str, terms)) or "(none)"


def situations() -> list[Message]:
    """Return all small situations that a leader's message can be in, the smallest first."""
    found = [message for message in _messages() if message.possible]
    return sorted(found, key=lambda each: (len(each.mine) + len(each.sent), each))


def _messages() -> Iterator[Message]:
    for mine in _logs(3):
        for sent in _logs(2):
            for index in range(4):
                for term in (0,) if not index else TERMS:
                    if not sent or term <= sent[0]:
                        yield Message(mine, (index, term), sent)


def _logs(most: int) -> list[tuple[int, ...]]:
    """Return all logs of up to ``most`` entries, by terms, which never fall along a log."""
    return [log for count in range(most + 1) for log in combinations_with_replacement(TERMS, count)]


# ── a module with the rule ──────────────────────────────────────────────────────────────────────


def ruled(rule: Rule) -> type[Raft]:
    """Return a consensus module whose followers keep what ``rule`` says."""

    class Ruled(Follower):
        def take_entries(self, append: AppendEntries) -> bool:
            core, log = self.core, self.core.log
            mine = [log.term(index) for index in range(1, log.last_index + 1)]
            sent = [entry.term for entry in append.entries]
            kept = _kept(rule, mine, (append.prev_index, append.prev_term), sent)
            if kept is None:
                return False
            same = next((n for n, each in enumerate(mine) if kept[n : n + 1] != [each]), len(mine))
            new = append.entries[same - append.prev_index :]
            if [*mine[:same], *(entry.term for entry in new)] != kept:
                raise Broken("Your rule gives entries that neither the log nor the message has.")
            if same < log.last_index:
                core.supersede(same + 1)
            if new:
                core.append(new)
            return True

    class RuledRaft(Raft):
        follower_type = Ruled

    return RuledRaft


def _kept(
    rule: Rule, mine: list[int], previous: tuple[int, int], sent: list[int]
) -> list[int] | None:
    """Return what ``rule`` keeps; raises :class:`Broken` if that is neither a list nor ``None``."""
    answer: Any = value_of(called(lambda: rule([*mine], previous, [*sent])))
    if answer is None:
        return None
    if not isinstance(answer, list) or not all(type(term) is int for term in answer):
        raise Broken(f"Your rule gives {shown(answer)}: give a list of terms, or None.")
    return answer


# ── the check ───────────────────────────────────────────────────────────────────────────────────


@exercise("15.3")
def check_appended(rule: Rule) -> str:
    """Print whether ``rule`` keeps what a follower keeps, and whether it survives a trial."""
    need_function(lambda: rule([], (0, 0), []))
    count = agrees(situations(), lambda case: _compare(rule, case))
    broken = first_broken(ruled(rule), runs=RUNS, without=[Ability.SNAPSHOTS], shrinking=0)
    if broken is not None:
        with within(f"On trial, in run {broken.run}:"):
            raise Wrong(f"{broken.name} is broken: {broken.what}.")
    return f"It decides as Raft does in {count} situations, and survives {RUNS} runs of a trial."


def _compare(rule: Rule, case: Message) -> str:
    answer = _kept(rule, [*case.mine], case.previous, [*case.sent])
    return "" if answer == case.right else case.why_wrong(answer)
