"""The trial of a tree: run next to a sorted dictionary, with crashes on a simulated disk.

A tree has a constructor that opens what a disk holds, and ``put``, ``delete``, ``get``, ``scan``
and ``flush``.  What was written before ``flush`` returned survives every crash; of what came after
it, a crash leaves the writes up to some moment, and nothing else::

    put a 1 ── flush ── put a 2 ── delete b ── put c 3 ── power is cut
                 └──────────┴─────────┴──────────┴── it may be as after any of these

Acts are tuples, as of a cluster (``acts.py``), and are shrunk in the same way; each is a line of
Python that does it.

>>> from kvraft.lsm import Tree
>>> report = judge_tree(Tree.open, title="Tree", runs=2)
>>> report.broken
[]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from kvraft import inputs
from kvraft.check.properties import Violation
from kvraft.check.shrink import shrink
from kvraft.check.trial.guest import error_words
from kvraft.check.trial.promises import Promise
from kvraft.check.trial.report import Outcome, Report, Verdict
from kvraft.sim import PowerCut, SimDisk

RUNS = 100
"""How many runs a trial of a tree has."""
SHRINKING = 600
"""How many runs are tried to shrink one finding."""
CALLS = 120
"""How many calls a run has."""
KEYS = (b"", b"a", b"a\x00", b"ab", b"b", b"m", b"n", b"\xff")


class TreePromise(StrEnum):
    """What a tree promises; the value is its name."""

    READS = "reads see the last write"
    SCANS = "scans are complete and in order"
    DURABLE = "flushed writes survive a crash"
    PREFIX = "a crash leaves what was there at some moment"
    OPENS = "it opens after every crash"


TREE: tuple[str, ...] = (Promise.ANSWERS, *TreePromise)
"""What a tree is judged by, in the order of the report."""
Act = tuple[Any, ...]
_Contents = dict[bytes, bytes]


@dataclass(slots=True)
class _Played:
    acts: list[Act] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)
    violation: Violation | None = None


def judge_tree(
    make: Callable[[SimDisk], Any],
    *,
    title: str,
    runs: int = RUNS,
    seed: int = 1,
    alive: Callable[[], object] = lambda: None,
    shrinking: int = SHRINKING,
) -> Report:
    """Judge a tree, which ``make`` opens on a disk; the arguments are those of ``judge_consensus``.

    Raises :class:`~kvraft.errors.BadInput` for numbers that make no sense.
    """
    inputs.whole_number(runs, "the number of runs", minimum=1)
    inputs.whole_number(seed, "a seed", minimum=0)
    found: dict[str, tuple[int, _Played]] = {}
    for run in range(1, runs + 1):
        alive()
        played = _play(make, title, seed + run - 1, _draw(Random(f"tree/{seed + run - 1}")))
        if played.violation is not None:
            found.setdefault(played.violation.property, (run, played))
    verdicts = []
    for name in TREE:
        if name not in found:
            verdicts.append(Verdict(name, Outcome.HOLDS, runs))
            continue
        run, played = found[name]
        small = _shrunk(make, title, seed + run - 1, name, played, alive, shrinking)
        assert small.violation is not None
        saved = "\n".join(["disk = SimDisk()", *(line for line, _ in small.lines), ""])
        what = small.violation.what
        verdicts.append(
            Verdict(name, Outcome.BROKEN, runs, run, what, small.lines, len(played.acts), saved)
        )
    return Report(title, "tree", runs, seed, verdicts)


def _shrunk(
    make: Callable[[SimDisk], Any],
    title: str,
    seed: int,
    name: str,
    played: _Played,
    alive: Callable[[], object],
    shrinking: int,
) -> _Played:
    """Return a run with as few calls as break the same property."""

    def breaks(acts: Sequence[Act]) -> bool:
        alive()
        violation = _play(make, title, seed, acts).violation
        return violation is not None and violation.property == name

    return _play(make, title, seed, shrink(played.acts, breaks, budget=shrinking))


def _draw(random: Random) -> Iterator[Act]:
    """Yield the calls of a run."""
    for number in range(CALLS):
        dice, key = random.random(), random.choice(KEYS)
        if dice < 0.40:
            yield ("put", key, b"%d" % number * random.choice((0, 1, 40)))
        elif dice < 0.55:
            yield ("delete", key)
        elif dice < 0.70:
            yield ("get", key)
        elif dice < 0.80:
            yield ("scan", *sorted((key, random.choice(KEYS))))
        elif dice < 0.90:
            yield ("flush",)
        elif dice < 0.95:
            yield ("cut", random.randint(1, 8), number)
        else:
            yield ("crash", number)
    yield ("scan", b"", None)


def _play(
    make: Callable[[SimDisk], Any], title: str, seed: int, acts: Iterator[Act] | Sequence[Act]
) -> _Played:
    """Make these calls until something breaks."""
    played, player = _Played(), _Player(make, title, seed)
    try:
        player.open("", f"{seed}", played)
        for act in acts:
            played.acts.append(act)
            player.do(act, played)
    except Violation as violation:
        played.violation = violation
    return played


class _Player:
    """A tree, the dictionary next to it, and what it was since the last flush."""

    def __init__(self, make: Callable[[SimDisk], Any], title: str, seed: int) -> None:
        self._make, self._title, self._seed = make, title, seed
        self._disk = SimDisk()
        self._tree: Any = None
        self._model: _Contents = {}
        self._moments: list[_Contents] = [{}]
        """The contents after the last flush, and after each write since."""
        self._luck = ""  # of the power cut that is planned

    def open(self, before: str, luck: str, played: _Played) -> None:
        """Open what the disk holds; a power cut that was planned may come only now."""
        opened = f"tree = {self._title.rpartition(':')[2]}(disk)"
        played.lines.append((before + opened, 0))
        try:
            self._tree = self._make(self._disk)
        except PowerCut:
            self._disk.crash(Random(f"{luck}/again"))
            self.open(f"disk.crash(Random({luck + '/again'!r})); ", f"{luck}/again", played)
        except (Exception, SystemExit) as error:
            what = f"{self._title} raises {error_words(error)} as it opens"
            raise Violation(TreePromise.OPENS, (), what) from None

    def do(self, act: Act, played: _Played) -> None:
        """Make one call, and compare; if the power is cut in it, crash and open again."""
        verb, *arguments = act
        if verb == "cut":
            played.lines.append((f"disk.fail_at({arguments[0]})", 0))
            self._disk.fail_at(arguments[0])
            self._luck = f"{self._seed}/{arguments[1]}"
            return
        if verb == "crash":
            self._crash(f"{self._seed}/{arguments[0]}", played)
            return
        played.lines.append((f"tree.{verb}({', '.join(map(repr, arguments))})", 0))
        self._expect(verb, arguments)
        try:
            answer = getattr(self._tree, verb)(*arguments)
            if verb == "scan":
                answer = list(answer)
        except PowerCut:
            self._crash(self._luck, played)
            return
        except (Exception, SystemExit) as error:
            what = f"{self._title}.{verb} raises {error_words(error)}"
            raise Violation(Promise.ANSWERS, (), what) from None
        self._compare(verb, arguments, answer)

    def _expect(self, verb: str, arguments: Sequence[Any]) -> None:
        """Note what a write does; from now on a crash may leave it."""
        if verb == "put":
            self._model = {**self._model, arguments[0]: arguments[1]}
        elif verb == "delete":
            self._model = {k: v for k, v in self._model.items() if k != arguments[0]}
        if verb in ("put", "delete"):
            self._moments.append(self._model)

    def _compare(self, verb: str, arguments: Sequence[Any], answer: object) -> None:
        if verb == "flush":
            self._moments = [self._model]
        elif verb == "get" and answer != self._model.get(arguments[0]):
            wanted = self._model.get(arguments[0])
            what = f"get({arguments[0]!r}) returns {answer!r:.80}, not {wanted!r:.80}"
            raise Violation(TreePromise.READS, (), what)
        elif verb == "scan":
            start, stop = arguments
            wanted_rows = [
                (key, value)
                for key, value in sorted(self._model.items())
                if key >= start and (stop is None or key < stop)
            ]
            if answer != wanted_rows:
                what = f"scan({start!r}, {stop!r}) yields {answer!r:.120}, not {wanted_rows!r:.120}"
                raise Violation(TreePromise.SCANS, (), what)

    def _crash(self, luck: str, played: _Played) -> None:
        """Lose what was not synced, open again, and look at what is there."""
        self._tree = None
        self._disk.crash(Random(luck))
        self.open(f"disk.crash(Random({luck!r})); ", luck, played)
        try:
            found = dict(self._tree.scan(b"", None))
        except (Exception, SystemExit) as error:
            what = f"{self._title}.scan raises {error_words(error)} after a crash"
            raise Violation(TreePromise.OPENS, (), what) from None
        if found not in self._moments:
            flushed = self._moments[0]
            lost = [key for key in flushed if found.get(key) != flushed[key]]
            kept = all(any(m.get(key) == found.get(key) for m in self._moments) for key in lost)
            broken = TreePromise.PREFIX if kept else TreePromise.DURABLE
            what = f"after a crash it holds {found!r:.120}; it was flushed with {flushed!r:.120}"
            raise Violation(broken, (), what)
        self._model, self._moments = found, [found]
