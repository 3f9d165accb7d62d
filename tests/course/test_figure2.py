"""The page on Figure 2: it has every sentence, and each function and test that it names exists.

Names are resolved in the very files that the page links, so that a rename there fails here.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from kvraft.check.properties import FIGURE_3, Property
from kvraft.check.scenario.scenario import names
from tests.course.test_names import NAMES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "book"
PAGE = (FOLDER / "figure2.md").read_text(encoding="utf-8")
LINKS = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", PAGE, re.MULTILINE))
PROSE = re.sub(r"^\[[^\]]+\]: \S+$", "", PAGE, flags=re.MULTILINE)
SENTENCES = {"S": 9, "A": 6, "R": 5, "V": 4, "U": 2, "F": 2, "C": 4, "L": 6}
"""How many entries the page has for state, the two RPCs and the rules for servers."""
ENTRIES = {
    match[1]: " ".join(match[2].split())
    for match in re.finditer(r"^\*\*([A-Z]\d)\. (.*?)(?=^\*\*[A-Z]\d\. |^#)", PROSE, re.M | re.S)
}
FIGURE_2 = """
    Updated on stable storage before responding to RPCs
    latest term server has seen (initialized to 0 on first boot, increases monotonically)
    candidateId that received vote in current term (or null if none)
    each entry contains command for state machine, and term when entry was received by leader
    highest log entry known to be committed (initialized to 0, increases monotonically)
    highest log entry applied to state machine (initialized to 0, increases monotonically)
    Reinitialized after election
    index of the next log entry to send to that server (initialized to leader last log index + 1)
    highest log entry known to be replicated on server (initialized to 0, increases monotonically)
    leader's term
    so follower can redirect clients
    index of log entry immediately preceding new ones
    term of prevLogIndex entry
    log entries to store (empty for heartbeat; may send more than one for efficiency)
    leader's commitIndex
    currentTerm, for leader to update itself
    true if follower contained entry matching prevLogIndex and prevLogTerm
    Reply false if term < currentTerm
    Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm
    delete the existing entry and all that follow it
    Append any new entries not already in the log
    If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)
    candidate's term
    candidate requesting vote
    term of candidate's last log entry
    currentTerm, for candidate to update itself
    true means candidate received vote
    candidate's log is at least as up-to-date as receiver's log, grant vote
    If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state machine
    contains term T > currentTerm: set currentTerm = T, convert to follower
    Respond to RPCs from candidates and leaders
    without receiving AppendEntries RPC from current leader or granting vote to candidate
    increment currentTerm, vote for self, reset election timer, send RequestVote RPCs to all other
    If votes received from majority of servers: become leader
    If AppendEntries RPC received from new leader: convert to follower
    If election timeout elapses: start new election
    Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during
    append entry to local log, respond after entry applied to state machine
    send AppendEntries RPC with log entries starting at nextIndex
    If successful: update nextIndex and matchIndex for follower
    because of log inconsistency: decrement nextIndex and retry
    a majority of matchIndex[i] ≥ N, and log[N].term == currentTerm: set commitIndex = N
"""


@cache
def defined(path):
    """Return the dotted names of what a file defines: functions, classes, their methods, fields."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if not isinstance(node, ast.ClassDef):
            continue
        for part in node.body:
            if isinstance(part, ast.FunctionDef):
                found.add(f"{node.name}.{part.name}")
            elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                found.add(f"{node.name}.{part.target.id}")
        for part in ast.walk(node):  # self.x = …, alone or in a tuple
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                found.add(f"{node.name}.{part.attr}")
    return found


def places(text):
    """Return the names in ``text`` by the file that they follow: ``[file] `name`, `name` …``."""
    parts = re.split(r"\[([\w/]+\.py)\]", text)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return [(file, name) for file, after in pairs for name in re.findall(r"`([^`]+)`", after)]


def of(entry, label):
    """Return one line of an entry, or ``""``."""
    found = re.search(rf"- \*{label}\* (.*?)(?= - \*\w+\* |$)", ENTRIES[entry])
    return found[1] if found else ""


def rows():
    """Return the cells of the tables after the entries: Figure 3 and the thesis."""
    lines = PROSE[PROSE.index("## Figure 3") :].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("property", "what")]


def test_every_sentence_of_the_figure_is_there():
    counted = {letter: sum(entry[0] == letter for entry in ENTRIES) for letter in SENTENCES}
    assert counted == SENTENCES
    assert list(ENTRIES) == [f"{c}{n}" for c, most in SENTENCES.items() for n in range(1, most + 1)]
    text = " ".join(ENTRIES.values())
    for sentence in FIGURE_2.strip().splitlines():
        assert sentence.strip() in text, sentence


def test_the_five_properties_of_figure_3_are_there():
    table = [row for row in rows() if row[0].startswith("**")]
    named = [re.match(r"\*\*(.+?)\*\*", row[0])[1].lower().replace("-", " ") for row in table]
    assert named == [str(property).replace("-", " ") for property in FIGURE_3]
    for property in set(Property) - set(FIGURE_3):
        assert str(property) in " ".join(PROSE.split()), property


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_names_functions_and_tests_that_exist_and_says_what_differs(entry):
    code, tests = places(of(entry, "code")), places(of(entry, "test"))
    assert code
    assert tests
    check_code(code)
    check_tests(tests)
    differs = of(entry, "differs")
    assert differs.endswith(".")
    for name in re.findall(r"`([^`]+)`", differs):
        assert set(name.split(".")) <= NAMES, name
    for scenario in re.findall(r"`([^`]+)`", of(entry, "play")):
        assert scenario in names(), scenario


@pytest.mark.parametrize("row", rows(), ids=lambda row: re.sub(r"[*:].*", "", row[0].strip("*")))
def test_a_row_names_functions_and_tests_that_exist(row):
    found = [places(cell) for cell in row]
    code = [place for cell in found for place in cell if not place[0].startswith("tests/")]
    tests = [place for cell in found for place in cell if place[1].startswith("test_")]
    assert code
    assert tests
    check_code(code)
    check_tests(tests)
    broken = [place for cell in found for place in cell if place not in code + tests]
    for file, name in broken:  # a module with a bug, in a test
        assert name in defined(FOLDER / LINKS[file]), f"{file} has no {name}"
    for scenario in re.findall(r"`kvraft play (\w+)`", row[-1]):
        assert scenario in names(), scenario


def check_code(found):
    for file, name in found:
        assert not file.startswith("tests/"), f"{file} is listed as code"
        assert name in defined(FOLDER / LINKS[file]), f"{file} has no {name}"


def check_tests(found):
    for file, name in found:
        assert file.startswith("tests/"), f"{file} is listed as a test"
        assert name.startswith("test_"), name
        assert name in defined(FOLDER / LINKS[file]), f"{file} has no {name}"


def test_every_other_name_and_every_link_leads_somewhere():
    known = NAMES.union(names(), *(defined(FOLDER / target) for target in LINKS.values()))
    for name in re.findall(r"`([A-Z]\w+(?:\.\w+)*|[a-z]+_\w+)`", PROSE):
        assert name in known or set(name.split(".")) <= known, name
    used = set(re.findall(r"\[([\w/]+\.py)\]", PROSE))
    assert used == set(LINKS)
    for file, target in LINKS.items():
        path = FOLDER / target
        assert path.exists(), target
        assert path.resolve().relative_to(ROOT).as_posix().removeprefix("kvraft/") == file
    for target in re.findall(r"\]\(([^)]+)\)", PROSE):
        assert (FOLDER / target).exists(), target
    assert not re.search(r"#L\d|\blines? \d", PAGE), "lines move: name the function"


def test_the_differences_in_short_point_to_entries():
    table = PROSE[PROSE.index("## The differences") : PROSE.index("## State")]
    where = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(where) > 10
    for row in where[1:]:
        assert len(row) == 4, row
        assert set(row[-1].split(", ")) <= set(ENTRIES), row
