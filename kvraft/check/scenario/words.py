"""One line of a scenario, taken word by word.

Whatever is wrong with it is raised as one sentence that names file and line.
"""

from __future__ import annotations

from collections.abc import Container

from kvraft.errors import BadInput


class ScenarioLine:
    """The words of ``text``, which stands in line ``number`` of ``file``."""

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file, self.number, self.text = file, number, text
        self._words = text.replace(",", " , ").replace(":", " ").split()

    def wrong(self, why: str) -> BadInput:
        """Return the error that says what is wrong with this line."""
        return BadInput(f"{self.file}, line {self.number}: {why} (in: {self.text})")

    @property
    def next(self) -> str:
        """The next word, ``""`` at the end; it is still to be taken."""
        return self._words[0] if self._words else ""

    def take(self, what: str) -> str:
        """Take the next word, which should be ``what``."""
        if not self._words:
            raise self.wrong(f"here is {what} missing")
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
            raise self.wrong(f"here should be {word!r}, not {self.next!r}")

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
        """Take the words before the next of ``stops``, or all."""
        taken = []
        while self._words and self.next not in stops:
            taken.append(self._words.pop(0))
        return taken

    def end(self) -> None:
        """Raise ``BadInput`` if there are more words."""
        if self._words:
            raise self.wrong(f"nothing was expected behind this, but there is {self.next!r}")
