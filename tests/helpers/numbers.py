"""The numbers of a lesson's prose, and where each of them comes from.

A number in prose claims something.  It is *shown* if it stands in what the code cells of the same
section printed or drew, or in what they wrote as a number: a parameter, or an assertion.  Sections
without code of their own (what you will learn, what to remember) may use the whole lesson.  A cell
that names a file of the package, as in ``lsm/pacing.py``, may use the numbers of that file, and so
may the text of an exercise, of the file of its check.

Not claims are: numbers of lessons, sections, figures, pages, exercises and list items, and years of
papers.  The words *one* and *two* are grammar more often than numbers, so they are not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]

_TEENS = (
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_UNITS = {"one": 1, "two": 2} | {word: n for n, word in enumerate(_TEENS.split(), 3)}
_TY = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * n for n, word in enumerate(_TY.split(), 2)}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_WORD = "|".join(sorted({*_UNITS, *_TENS, *_LARGE}, key=len, reverse=True))

#: a number in digits that is not a part of a name: 1,707, 0.5, 12.5, but not n1, v2.0 or 3a
DIGITS = re.compile(r"(?<![\w.#/])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
#: a number in words, perhaps of several: fourteen, twenty-four, eight thousand, a hundred
WORDS = re.compile(rf"\b(?:{_WORD})(?:[ -](?:{_WORD}))*\b", re.IGNORECASE)

#: what a number in these places says is where to look, not how much
REFERENCES = re.compile(
    r"""
    ^\#+\ (?:\d+\ ·|Exercise\ \d+)              # the number of a heading
    | ^[●○]+\ ·\ \d+\ minutes$                    # of an exercise, from the registry
    | \bfive\ marks\b                            # a term
    | ^\s*\d+\.(?=\ )                            # the number of a list item
    | \[[^\]]*\]\(\d\d_\w+\.ipynb[^)]*\)         # a lesson
    | \(0\d(?:,\ \d\d)*\)|\b[Ll]essons?\ \d\d | \((?:10|12|13)\) | \b0\d\b
    | \[[^\]]*\]\([^)]*\)                        # any other link: its words are a name
    | §+\ ?[\d.]+(?:(?:,|\ and|\ to)\ §?[\d.]+)*
    | \b(?:Figures?|Tables?|[Cc]hapters?|[Ss]ections?|[Ee]xercises?|[Pp]age|pull\ request|[Tt]rial)
      \ \d+(?:(?:,\ |\ and\ |\ to\ )\d+)*
    | \b[A-Z][a-z]+\ (?:19|20)\d\d\b             # a month or an author, and a year
    """,
    re.VERBOSE | re.MULTILINE,
)
FILES = re.compile(r"`(?:kvraft/)?([a-z_/]+\.py)`")
HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
#: what may be shown in a smaller unit: 20 s as 20,000 ms, 0.5 ms as 500 µs, 8% as 0.08
IN_OTHER_UNITS = {"s": (1e3, 1e6), "ms": (1e3,), "KiB": (1024,), "MiB": (1 << 20,), "%": (0.01,)}
#: sections that speak of the whole lesson
FRAME = ("What you will learn", "Invariants", "What to remember", "What we left out", "Half")


class Claim(NamedTuple):
    """A number in the prose of a cell: as it is written, and how much it is."""

    cell: str
    written: str
    amounts: frozenset[float]
    line: str


def amount_of(words: str) -> float:
    """Return the number that ``words`` say: ``fourteen``, ``24``, ``eight thousand``, ``1,707``.

    >>> [amount_of(w) for w in ("1,707", "0.5", "twenty-four", "six hundred", "eight thousand")]
    [1707.0, 0.5, 24.0, 600.0, 8000.0]
    """
    if words[0].isdigit():
        return float(words.replace(",", ""))
    total = part = 0
    for word in re.split(r"[ -]", words.lower()):
        if word in _LARGE:
            part = max(part, 1) * _LARGE[word]
            if _LARGE[word] >= 1000:
                total, part = total + part, 0
        else:
            part += _UNITS.get(word) or _TENS[word]
    return float(total + part)


def numbers_in(text: str) -> Iterator[tuple[str, float, int]]:
    """Yield the numbers of a text: as written, how much, and where."""
    for found in DIGITS.finditer(text):
        yield found[0], amount_of(found[0]), found.start()
    for found in WORDS.finditer(text):
        if found[0].lower() not in ("one", "two"):
            yield found[0], amount_of(found[0]), found.start()


def in_units(amount: float, after: str) -> frozenset[float]:
    """Return ``amount``, and what it is in smaller units if the text ``after`` it names a unit."""
    unit = re.match(r"[  ]?([a-zA-Z]+|%)", after)
    factors = IN_OTHER_UNITS.get(unit[1], ()) if unit else ()
    return frozenset({amount, *(round(amount * factor, 9) for factor in factors)})


def bare(prose: str) -> str:
    """Return prose without what refers, and without HTML: blanks stand in for it."""
    prose = re.sub(r"<[^>]+>", lambda m: " " * len(m[0]), prose)
    return REFERENCES.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), prose)


def claims(cell: Any) -> list[Claim]:
    """Return the numbers that a cell of prose claims."""
    text = bare(source(cell))
    found = []
    for written, amount, start in numbers_in(text):
        begin, end = text.rfind("\n", 0, start) + 1, text.find("\n", start)
        line = source(cell)[begin : end if end >= 0 else None]
        amounts = in_units(amount, text[start + len(written) :])
        found.append(Claim(cell["id"], written, amounts, line.strip()))
    return found


def captions(cell: Any) -> list[Claim]:
    """Return the numbers in the captions of ``still(…)``, which are drawn as they are written."""
    found = []
    for node in ast.walk(ast.parse(source(cell))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "still":
            says = (a.value for a in node.keywords if a.arg == "says")
            for text in (a.value for a in says if isinstance(a, ast.Constant)):
                for written, amount, _ in numbers_in(text):
                    found.append(Claim(cell["id"], written, frozenset({amount}), text))
    return found


def claims_of(cell: Any) -> list[Claim]:
    """Return the numbers that a cell claims, whatever it is."""
    return claims(cell) if cell["cell_type"] == "markdown" else captions(cell)


def strings_of(code: str) -> list[str]:
    """Return the strings in Python code, without docstrings and without how values are written."""
    tree = ast.parse(code)
    out = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            out |= {id(each) for each in ast.walk(node.format_spec)}
    strings = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in out)
    return [node.value for node in strings if isinstance(node.value, str)]


def source(cell: Any) -> str:
    """Return what is written in a cell."""
    return "".join(cell["source"])


def shown_by(cell: Any) -> set[float]:
    """Return the numbers that a code cell shows: printed, drawn, or written as numbers."""
    found = literals(source(cell))
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts = ["".join(output.get("text", "")), "".join(data.get("text/plain", ""))]
        texts.append(words_of_html("".join(data.get("text/html", ""))))
        texts.append(str(output.get("evalue", "")))
        for text in texts:
            found |= printed(text)
    return found


def words_of_html(markup: str) -> str:
    """Return what a reader of HTML or SVG gets: its text and its labels, in images too."""
    drawn = re.findall(r'src="data:image/svg\+xml,([^"]*)"', markup)
    markup = " ".join([markup, *(unquote(unescape(each)) for each in drawn)])
    labels = re.findall(r'aria-label="([^"]*)"', markup)
    return unescape(" ".join([*labels, re.sub(r"<[^>]+>", " ", markup)]))


def printed(text: str) -> set[float]:
    """Return the numbers in an output; ``step=13`` and ``n1:5`` count, and so does each of 3/4."""
    text = re.sub(r"figure data sha256:\w+", "", text)
    each = re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?", text)
    found = {float(number.replace(",", "")) for number in each}
    found |= {amount for _, amount, _ in numbers_in(text)}
    return found


def literals(code: str) -> set[float]:
    """Return the numbers that Python code writes as such, in bytes too, but not in its strings.

    A string in the code shows nothing: it says what somebody believed.  Of ``8 * 1024`` the
    product counts as well.

    >>> sorted(literals("f('77', 8 * 1024, b'50')"))
    [8.0, 50.0, 1024.0, 8192.0]
    """
    found: set[float] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            found |= {float(n) for n in re.findall(rb"\d+", node.value)}
        elif isinstance(node, ast.Constant | ast.BinOp) and all(map(_is_plain, ast.walk(node))):
            found.add(float(eval(compile(ast.Expression(node), "", "eval"))))
    return found


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    return isinstance(node, ast.BinOp | ast.Mult | ast.LShift | ast.Sub | ast.Add | ast.Div)


def literals_of_file(name: str) -> set[float]:
    """Return the numbers in a file of the package, its docstrings and comments included."""
    text = (ROOT / "kvraft" / name).read_text(encoding="utf-8")
    return printed(text) | literals(text)


class Section(NamedTuple):
    """A heading, and the cells from there to the next."""

    title: str
    cells: list[Any]


def sections(cells: list[Any]) -> list[Section]:
    """Return the sections of a lesson: a heading of the second rank begins one."""
    found = [Section("", [])]
    for cell in cells:
        heading = HEADING.search(source(cell)) if cell["cell_type"] == "markdown" else None
        if heading:
            found.append(Section(heading[1], []))
        found[-1].cells.append(cell)
    return found


def unshown(cells: list[Any], checks: dict[str, list[str]]) -> list[Claim]:
    """Return the numbers of a lesson that nothing shows.

    ``checks`` says for the number of an exercise which files of the package check it; none if the
    text of the exercise is all that there is to know: its numbers are given, not claimed.
    """
    everything = {n for c in cells if c["cell_type"] == "code" for n in shown_by(c)}
    found = []
    for title, members in sections(cells):
        exercise = re.match(r"Exercise (\d+)", title)
        if exercise and not checks[exercise[1]]:
            continue
        code = [c for c in members if c["cell_type"] == "code"]
        evidence = {n for c in code for n in shown_by(c)}
        if not title or title.startswith(FRAME):
            evidence = everything
        if exercise:
            evidence = evidence.union(*map(literals_of_file, checks[exercise[1]]))
        for cell in members:
            own = evidence.union(*map(literals_of_file, files_named_by(cell)))
            found += [claim for claim in claims_of(cell) if not claim.amounts & own]
    return found


def files_named_by(cell: Any) -> list[str]:
    """Return the files of the package that a cell of prose names."""
    named = FILES.findall(source(cell)) if cell["cell_type"] == "markdown" else []
    return [name for name in named if (ROOT / "kvraft" / name).exists()]
