"""One line of a scenario, taken word by word.

Anything wrong with it is one error that names file and line.
"""

from __future__ import annotations

from collections.abc import Container

from kvraft.errors import BadInput


class ScenarioLine:
    """The words of ``text``, which is line ``number`` of ``file``."""

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file, self.number, self.text = file, number, text
        self._words = text.replace(",", " , ").replace(":", " ").split()

    def wrong(self, why: str) -> BadInput:
        """Return an error that says ``why`` this line is wrong, and where it is."""
        return BadInput(f"{self.file}, line {self.number}: {why} (in: {self.text})")

    @property
    def next(self) -> str:
        """The next word, which is not taken yet; ``""`` at the end of the line."""
        return self._words[0] if self._words else ""

    def take(self, what: str) -> str:
        """Take the next word, which should be ``what``."""
        if not self._words:
            raise self.wrong(f"{what} is missing")
        return self._words.pop(0)

    def skip(self, word: str) -> bool:
        """Take the next word if it is ``word``; return whether it was."""
        if self.next != word:
            return False
        self._words.pop(0)
        return True

    def must(self, word: str) -> None:
        """Take ``word``."""
        if not self.skip(word):
            raise self.wrong(f"expected {word!r}, not {self.next!r}")

    def count(self, what: str) -> int:
        """Take a whole number."""
        word = self.take(what)
        if not word.isdecimal():
            raise self.wrong(f"{what} should be a whole number, not {word!r}")
        return int(word)

    def member(self, members: Container[str]) -> str:
        """Take the name of a member."""
        name = self.take("a member")
        if name not in members:
            raise self.wrong(f"there is no member {name!r}")
        return name

    def until(self, *stops: str) -> list[str]:
        """Take the words before the next of ``stops``, or all that are left."""
        taken = []
        while self._words and self.next not in stops:
            taken.append(self._words.pop(0))
        return taken

    def end(self) -> None:
        """Raise :class:`~kvraft.errors.BadInput` if any words are left."""
        if self._words:
            raise self.wrong(f"the line should end before {self.next!r}")
