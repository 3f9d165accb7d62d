"""The house's words: phrases that a reader stumbles over, each of which may only get rarer.

Each has a plain word next to it.  ``python -m tests.test_words`` prints the counts, and with a name
the places.  A count above its limit fails: say it plainly.  One below it fails, too: lower the
limit.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
while not (ROOT / "pyproject.toml").exists():
    ROOT = ROOT.parent

#: name: (pattern, what to say instead, how many there may be)
PHRASES: dict[str, tuple[str, str, int]] = {
    "behind": (
        r"(?<!left )(?<!leave )(?<!fall )(?<!falls )(?<!fell )(?<!fallen )(?<!lag )(?<!lags )"
        r"(?<!far )\bbehind\b(?! the scenes)",
        "after",
        6,
    ),
    "is no": (
        r"(?<![Tt]here )\b(?:is|are|was|were|be) no "
        r"(?!longer\b|more than\b|less than\b|matter\b)(?!\w+er\b)[a-z]+",
        "is not a",
        2,
    ),
    "is none": (r"(?<![Tt]here )\b(?:is|are|was) none\b", "is not one", 1),
    "told": (r"\b(?:told|tells?)\b", "reports, says, knows; who does what", 41),
    "said": (r"\b(?:said|saying)\b", "reported, stated", 13),
    "let hold": (
        r"\b[Ll]et ``?\w+``? (?:hold|be|have)\b"
        r"|\b[Ll]et (?:a|an|the|all|one|some\w*|nobody|another|every\w*) \w+",
        "set, make, allow",
        2,
    ),
    "mend": (r"\bmend\w*", "repair", 0),
    "sound": (r"\b(?:un)?sound(?:ly|ness)?\b", "valid, invalid", 6),
    "anew": (r"\banew\b", "again", 0),
    "by and by": (r"\bby and by\b|\bever and again\b|\bgone by\b", "in time", 1),
    "life": (r"\b(?:life|lives)\b(?! span)", "run", 62),
    "mistake": (r"\bmistakes?\b", "bug (planted), error", 0),
    "cut of a log": (
        r"\bcuts?\b[^.\n]{0,40}\b(?:log|logs|segments?)\b"
        r"|\b(?:log|logs|tail)\b[^.\n]{0,30}\bcut\b|\blog cuts?\b",
        "truncate, truncation",
        4,
    ),
    "hold the log": (r"\bholders?\b|\bholds? the log\b", "pin, what pins the log", 10),
    "range delete": (r"\b[Rr]ange deletes?\b", "range tombstone", 2),
    "errand": (r"\berrands?\b", "pending request", 0),
    "heir": (r"\bheirs?\b", "successor", 0),
    "what there is": (
        r"\bwhat there (?:is|was)\b|\ball there (?:is|was)\b|\bthere are such\b",
        "name it",
        1,
    ),
    "goes, went": (r"\b(?:went|goes) for good\b|\bmay go\b|\bmust go\b", "is removed", 2),
    "lets go of": (r"\blets? go of\b", "release", 0),
    "carried out": (r"\bcarr(?:y|ies|ied) out\b", "apply, execute", 0),
    "at the door": (r"\bat the door\b", "when it is passed in", 0),
    "beside": (r"\bbesides?\b", "next to, except for, also", 9),
    "whoever": (
        r"\b[Ww]ho(?:ever)? (?:wants|asks|has|is|waits|reads|goes|needs|knows)\b",
        "a caller that",
        9,
    ),
    "for good": (
        r"\bwithout end\b|\bfor ever\b|\bfor good\b|\bin vain\b",
        "endless, permanently, needlessly",
        3,
    ),
    "comes by": (
        r"\bin good order\b|\bof its own accord\b|\bcomes? by\b",
        "cleanly, by itself, reached",
        1,
    ),
}

#: places where a phrase is right: file (a suffix) and a piece of its line
ALLOWED: dict[str, list[tuple[str, str]]] = {
    "behind": [],
    "told": [],
}


@cache
def texts() -> list[tuple[str, list[str], str, list[int]]]:
    """Return what people read: the package's code with its prose, README and lessons' markdown.

    Each with its file, its lines, the lines joined by spaces, and where each begins in that.
    """
    found = [
        (str(p.relative_to(ROOT)), p.read_text("utf-8"))
        for p in sorted((ROOT / "kvraft").rglob("*.py"))
    ]
    found.append(("README.md", (ROOT / "README.md").read_text("utf-8")))
    found += [
        (str(p.relative_to(ROOT)), p.read_text("utf-8"))
        for p in sorted((ROOT / "notebooks").rglob("*.md"))
    ]
    for p in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(p.read_text("utf-8"))["cells"]
        prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
        found.append((str(p.relative_to(ROOT)), "\n".join(prose)))
    result = []
    for file, text in found:
        lines = text.split("\n")
        bare = [re.sub(r"^\s*(?:# ?)?|\s+$", "", line) for line in lines]
        starts = [0, *accumulate(len(line) + 1 for line in bare)]
        result.append((file, lines, " ".join(bare), starts))
    return result


def places(name: str) -> list[tuple[str, int, str]]:
    """Return where a phrase stands: file, line number and line; a phrase may span a line's end."""
    pattern = re.compile(PHRASES[name][0])
    found = []
    for file, lines, joined, starts in texts():
        for match in pattern.finditer(joined):
            number = bisect_right(starts, match.start())
            line = lines[number - 1].strip()
            if not any(file.endswith(f) and part in line for f, part in ALLOWED.get(name, ())):
                found.append((file, number, line))
    return found


@pytest.mark.parametrize("name", PHRASES)
def test_a_phrase_gets_rarer(name: str) -> None:
    """Each phrase stands no more often than it did, and its limit follows it down."""
    _, instead, limit = PHRASES[name]
    found = places(name)
    count = len(found)
    shown = "\n".join(f"{file}:{number}: {line}" for file, number, line in found[:20])
    assert count <= limit, f"{count} times {name!r}, {limit} allowed; say {instead!r}:\n{shown}"
    assert count == limit, f"only {count} times {name!r} now: lower its limit from {limit}"


if __name__ == "__main__":
    import sys

    for phrase in sys.argv[1:] or PHRASES:
        everywhere = places(phrase)
        print(f"{len(everywhere):5} {phrase:15} → {PHRASES[phrase][1]}")
        if len(sys.argv) > 1:
            print("\n".join(f"      {file}:{number}: {line}" for file, number, line in everywhere))
