"""All exercises: what they are called, how hard they are, and the hints, the vaguest first.

An exercise has the name ``"06.3"``: lesson 06, exercise 3.  Its answer is checked in one of two
ways: a value by its digest (``check(prediction, "4adaee87fd55")``), and a function by its own check
in ``exercises/`` (``check_kept(kept)``).  They stand in ``exercises.toml``.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple

LESSONS = {
    "00": ("00_tour", ""),
    "01": ("01_elections", "elections"),
    "02": ("02_replication_and_commit", "replication"),
    "03": ("03_safety", "safety"),
    "04": ("04_the_log", "log"),
    "05": ("05_crash_recovery", "crashes"),
    "06": ("06_memtable_and_flush", "flush"),
    "07": ("07_sstables_and_bloom_filters", "tables"),
    "08": ("08_compaction", "compaction"),
    "09": ("09_truncation", "truncation"),
    "10": ("10_clients", "clients"),
    "11": ("11_linearizability", "linearizability"),
    "12": ("12_transactions", "transactions"),
    "13": ("13_membership", "membership"),
    "15": ("15_break_it", "trials"),
}
"""The lessons: their notebook, and the file in ``exercises/`` that checks its functions."""


class Exercise(NamedTuple):
    """One exercise.  ``difficulty`` is 1 to 3, ``minutes`` what it takes the first time.

    ``answers`` are the names that a learner fills in; ``check`` is the name of the function that
    judges them, or the digest of the right value.
    """

    name: str
    title: str
    answers: tuple[str, ...]
    check: str
    difficulty: int
    minutes: int
    hints: tuple[str, ...]

    @property
    def lesson(self) -> str:
        """The number of its lesson."""
        return self.name.partition(".")[0]

    @property
    def file(self) -> str:
        """The file in ``exercises/`` with its check, ``""`` if its answer is a value."""
        return LESSONS[self.lesson][1] if self.check.startswith("check_") else ""

    @property
    def solutions(self) -> str:
        """The file in ``solutions/`` with its solution."""
        return f"s{LESSONS[self.lesson][0]}"

    @property
    def effort(self) -> str:
        """Difficulty and minutes, as lessons show them."""
        return f"{'●' * self.difficulty}{'○' * (3 - self.difficulty)} · {self.minutes} minutes"

    def __str__(self) -> str:
        return f"Exercise {self.name} · {self.title} · {self.effort}"


EXERCISES = tuple(
    Exercise(
        name,
        each["title"],
        tuple(each["answers"]),
        each["check"],
        each["difficulty"],
        each["minutes"],
        tuple(each["hints"]),
    )
    for name, each in tomllib.loads(
        files("kvraft.course").joinpath("exercises.toml").read_text(encoding="utf-8")
    ).items()
)
"""In the order of the lessons."""

_BY_NAME = {each.name: each for each in EXERCISES}
_BY_DIGEST = {each.check: each for each in EXERCISES if not each.file}


def find(name: str) -> Exercise:
    """Return the exercise ``name``; raises ``LookupError``, a sentence, if there is none."""
    try:
        return _BY_NAME[name]
    except (KeyError, TypeError):
        raise LookupError(
            f"No exercise has the name {name!r:.40}: a name is like {EXERCISES[0].name!r}, for "
            "exercise 1 of lesson 00."
        ) from None


def find_value(digest: str) -> Exercise | None:
    """Return the exercise whose right answer has this digest, ``None`` if there is none."""
    return _BY_DIGEST.get(digest)
