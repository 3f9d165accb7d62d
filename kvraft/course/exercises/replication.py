"""Lesson 02: a learner's ``advance_commit`` is tried in situations, then in a cluster with faults.

All small situations are tried first, the smallest first, so that the one printed is the shortest in
which the rule is wrong; then larger ones drawn from a seed.  A rule that passes leads real clusters
(:class:`~kvraft.sim.Cluster`) through crashes, partitions and loss, watched by a
:class:`~kvraft.check.raft.RaftChecker`.

The rule to find is that of Raft §5.3 and §5.4.2 (Figure 2, "rules for leaders").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from random import Random

from kvraft.check import Violation
from kvraft.check.raft import watch
from kvraft.course.answers import whole_number
from kvraft.course.guard import Wrong
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.errors import KvraftError
from kvraft.raft import Configuration, Log, Raft, RaftOptions
from kvraft.raft import safety as rules
from kvraft.record import Position
from kvraft.sim import Cluster, entry_of_term

CommitRule = Callable[[int, int, Mapping[str, int], Configuration, Log], int]
"""``advance_commit(commit_index, term, match, configuration, log)``."""

SEEDS = range(6)
ROUNDS = 40
DRAWN = 400


@dataclass(frozen=True, slots=True)
class CommitSituation:
    """What a leader of ``term`` knows.  ``terms`` are those of its log after ``base``."""

    term: int
    commit: int
    terms: tuple[int, ...]
    match: tuple[int, ...]  # of the voters n1, n2, …
    base: int = 0  # the log was truncated through here
    learner: int | None = None  # a learner's match index

    @property
    def voters(self) -> tuple[str, ...]:
        """The names of the voters; the first is the leader."""
        return tuple(f"n{number}" for number in range(1, len(self.match) + 1))

    def ask(self, rule: CommitRule) -> int:
        """Return what ``rule`` returns here."""
        match = dict(zip(self.voters, self.match, strict=True))
        learners: tuple[str, ...] = ()
        if self.learner is not None:
            match["learner"], learners = self.learner, ("learner",)
        base = Position(self.base, self.terms[0] if self.base else 0)
        log = Log(
            base, [entry_of_term(term, n) for n, term in enumerate(self.terms, self.base + 1)]
        )
        return rule(self.commit, self.term, match, Configuration(self.voters, (), learners), log)

    def __str__(self) -> str:
        held = ", ".join(
            f"{name} {index}" for name, index in zip(self.voters, self.match, strict=True)
        )
        if self.learner is not None:
            held += f", and a learner {self.learner}"
        first = f"from entry {self.base + 1} on " if self.base else ""
        return (
            f"A leader of term {self.term} has commit index {self.commit} and {first}the entries' "
            f"terms {' '.join(map(str, self.terms))}; match: {held}."
        )


@exercise("02.2")
def check_advance_commit(rule: CommitRule) -> str:
    """Print whether ``rule`` is Raft's rule of commitment, or the first case where it is not."""
    need_function(lambda: CommitSituation(1, 0, (1,), (1,)).ask(rule))
    count = agrees(_situations(), lambda situation: _compare(rule, situation))
    with within("In a cluster with faults"):
        try:
            committed = sum(_run(rule, seed) for seed in SEEDS)
        except Violation as violation:
            raise Wrong(f"it breaks a promise: {violation}") from violation
    return (
        f"It agrees with Raft in {count:,} situations, and led {len(SEEDS)} clusters "
        f"through crashes, partitions and loss: {committed:,} entries committed, none lost."
    )


# ── situations ──────────────────────────────────────────────────────────────────────────────────


def _situations() -> Iterator[CommitSituation]:
    """Yield every small situation, the smallest first, then larger ones drawn from a seed."""
    for length in range(1, 4):
        for voters in range(1, 4):
            for terms in combinations_with_replacement((1, 2), length):
                for match in product(range(length + 1), repeat=voters):
                    for commit in range(length + 1):
                        yield CommitSituation(2, commit, terms, match)
    random = Random("advance_commit")
    for _ in range(DRAWN):
        yield _draw(random)


def _draw(random: Random) -> CommitSituation:
    length, base = random.randint(1, 9), random.choice((0, 0, random.randint(1, 5)))
    terms = tuple(sorted(random.randint(1, 5) for _ in range(length)))
    last = base + length
    match = tuple(random.randint(0, last) for _ in range(random.randint(2, 7)))
    learner = random.choice((None, random.randint(0, last)))
    return CommitSituation(
        random.randint(terms[-1], 5), random.randint(base, last), terms, match, base, learner
    )


def _compare(rule: CommitRule, situation: CommitSituation) -> str:
    """Return what is wrong with what ``rule`` returns, ``""`` if nothing is."""
    right = situation.ask(rules.advance_commit)
    answer = whole_number(lambda: situation.ask(rule), "the commit index")
    if answer == right:
        return ""
    return f"Your rule says {answer}, and Raft {right}: {_reason(situation, answer, right)}."


def _reason(situation: CommitSituation, answer: int, right: int) -> str:
    """Return which part of the rule makes the difference between ``answer`` and ``right``."""
    voters, term = len(situation.match), situation.term
    if answer < situation.commit:
        return "the commit index never falls"
    if answer > situation.base + len(situation.terms):
        return "there is no such entry"
    count = sum(index >= answer for index in situation.match)
    if answer > right and 2 * count <= voters:
        not_learner = ", and a learner does not count" if situation.learner is not None else ""
        return (
            f"{count} of {voters} voters have entry {answer}, which is not a majority{not_learner}"
        )
    if answer > right:
        old = situation.terms[answer - situation.base - 1]
        return (
            f"entry {answer} is of term {old}, and by counting a leader commits only entries of "
            f"its own term, {term}"
        )
    return f"a majority has entry {right}, which is of the leader's own term"


# ── a cluster with faults ───────────────────────────────────────────────────────────────────────


def _run(rule: CommitRule, seed: int) -> int:
    """Run a cluster of 3 or 5 under ``rule`` with faults; return how many entries it committed.

    Raises :class:`~kvraft.check.Violation` if it breaks what Raft promises, and whatever
    the rule raises.
    """

    class Ruled(Raft):
        @staticmethod
        def advance_commit(
            commit_index: int,
            term: int,
            match: Mapping[str, int],
            configuration: Configuration,
            log: Log,
        ) -> int:
            return rule(commit_index, term, match, configuration, log)

    random = Random(f"advance_commit/{seed}")
    cluster = Cluster(
        3 + 2 * (seed % 2),
        seed=seed,
        options=RaftOptions(max_batch_bytes=100, window=4),
        consensus=Ruled,
        latency=(1, 4),
        trace=False,
    )
    checker = watch(cluster)
    cluster.loss = 0.05
    for number in range(ROUNDS):
        _fault(cluster, random)
        for _ in range(4):
            _propose(cluster, f"{number}")
            cluster.run(random.randint(1, 12))
    cluster.loss = 0.0
    cluster.heal()
    for name in cluster.members:
        if name not in cluster.rafts:
            cluster.restart(name)
    cluster.run(200)
    checker.check_everything()
    return checker.committed


def _fault(cluster: Cluster, random: Random) -> None:
    names, down = list(cluster.rafts), [n for n in cluster.members if n not in cluster.rafts]
    match random.choice(("crash leader", "crash", "restart", "restart", "cut", "heal", "calm")):
        case "crash leader" if (leader := cluster.leader()) is not None:
            cluster.crash(leader)
        case "crash" if names:
            cluster.crash(random.choice(names))
        case "restart" if down:
            cluster.restart(random.choice(down))
        case "cut" if names:
            cluster.partition([random.choice(names)])
        case "heal":
            cluster.heal()


def _propose(cluster: Cluster, key: str) -> None:
    """Propose at every member that thinks it leads; an old leader may be among them."""
    for name in cluster.rafts:
        try:
            cluster.propose(name, key)
        except KvraftError:
            continue
