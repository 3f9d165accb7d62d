"""Answers that are plain values: which part of one is wrong, and a word for each likely error.

Each exercise has the form of its answer and its parts.  The first part that is wrong is named, with
the reason why one may come to think so if it is a likely one.  (Whether an answer is right is
decided by its digest alone: see :func:`kvraft.course.verdicts.check`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Part(NamedTuple):
    """A part of an answer: what it is called, its right value, and words for likely wrong ones."""

    name: str
    right: Any
    likely: Mapping[Any, str] = {}


class Form(NamedTuple):
    """The form of an answer, ``kind`` of ``parts``, and what to give if it has another form.

    An ``int`` has a single part, itself.  A ``dict`` has one item for each part and no others; a
    ``set`` is a list in any order, of which each part is an element with the value ``True`` if it
    belongs there.
    """

    kind: type
    give: str
    parts: tuple[Part, ...]


def _steps(*pairs: tuple[str, str, str]) -> tuple[Part, ...]:
    return tuple(Part(f"{a}{b}", True, {False: words}) for a, b, words in pairs)


FORMS: dict[str, Form] = {
    "00.1": Form(
        str,
        "a string of the eight letters A to H, each once",
        _steps(
            ("C", "F", "The client sent it to a follower first, whose answer says whom to ask."),
            ("F", "A", "A leader can only append what it was sent."),
            ("A", "H", "The followers have the entries from the leader, which appends them first."),
            ("H", "B", "Records are applied when they are committed: a majority comes before."),
            ("B", "E", "APPLIED is reported when the leader has applied the records."),
            ("E", "D", "No client waits for a flush, which comes much later."),
            ("D", "G", "A segment is dropped only after a flush: before it is the only copy."),
        ),
    ),
    "00.2": Form(
        set,
        "a list of numbers of segments",
        (
            Part("11", True, {False: "Segment 11 ends at 400, below both 507 and 512."}),
            Part("12", True, {False: "Segment 12 ends at 450, below both 507 and 512."}),
            Part("13", True, {False: "Segment 13 ends at 500, below both 507 and 512."}),
            Part("14", False, {True: "Segment 14 ends at 550: some of it is in no table yet."}),
            Part("15", False, {True: "Segment 15 is active: it is still being written."}),
        ),
    ),
    "01.1": Form(
        dict,
        "a dict of five numbers, by the letters A to E",
        (
            Part(
                "A",
                5,
                {
                    2: "A is shorter than B and D, but its last term is the highest.",
                    4: "A and C end alike, so each may vote for the other; and A for itself.",
                },
            ),
            Part(
                "B",
                2,
                {
                    5: "B is the longest, but the term of the last entry decides before length.",
                    1: "B also gets the vote of D, which ends in the same term and is shorter.",
                },
            ),
            Part(
                "C",
                5,
                {
                    4: "C and A end alike, so each may vote for the other.",
                    0: "Each stands in an election of its own, in which nobody has voted before.",
                },
            ),
            Part(
                "D",
                1,
                {
                    0: "A candidate has its own vote.",
                    4: "D is longer than A, but the term of the last entry decides.",
                },
            ),
            Part("E", 3, {2: "E ends in term 3: B and D end in term 2, and E has its own vote."}),
        ),
    ),
    "02.1": Form(
        list,
        "a list of four numbers",
        (
            Part(
                "A",
                5,
                {7: "In A only one of three has entry 7.", 3: "A majority of three is two."},
            ),
            Part(
                "B",
                4,
                {
                    6: "In B two of five have entry 6: that is not a majority.",
                    2: "In B a majority is three of five, not all of them.",
                    3: "In B a majority is three of five, and entry 4 is on three.",
                },
            ),
            Part("C", 3, {4: "In C two of four have entry 4, and a majority of four is three."}),
            Part(
                "D",
                2,
                {4: "In D a majority has entry 4, but it is of term 2, and the leader of term 3."},
            ),
        ),
    ),
    "02.3": Form(
        dict,
        "a dict of numbers, by letters a to f",
        (
            Part(
                "a",
                10,
                {9: "The leader sends a from the entry after the last one that both have."},
            ),
            Part("b", 5, {4: "b has entry 4: the next one is wanted.", 10: "b ends at 4."}),
            Part("c", None, {11: "c has an entry 10 of term 6: it does not refuse."}),
            Part("d", None, {11: "d has an entry 10 of term 6: it does not refuse."}),
            Part(
                "e",
                6,
                {
                    8: "e ends with term 4, of which the leader's last entry is 5.",
                    10: "One step at a time is what the hint avoids: e ends with term 4.",
                    5: "The entry after the leader's last one of term 4 is wanted.",
                },
            ),
            Part(
                "f",
                4,
                {
                    11: "f has entry 10, of term 3: what does the leader have of term 3 or less?",
                    10: "One step at a time is what the hint avoids: f has term 3 at entry 10.",
                    3: "The entry after the leader's last one of term 3 or less is wanted.",
                },
            ),
        ),
    ),
    "03.1": Form(
        list,
        "a list of three strings",
        (
            Part(
                "A",
                "acd",
                {
                    "c": "In A (a) gets four votes of seven: from itself, b, e and f.",
                    "cd": "In A: (a) ends in term 6, and b, e, f and (a) itself can vote for it.",
                    "acdf": "In A: (f) is long, but its last entry is of term 3.",
                },
            ),
            Part(
                "B",
                "acd",
                {
                    "ac": "In B: (d) ends in term 7, and b, d, e and f are four of seven.",
                    "d": "In B: (a) and (c) end in term 8, the highest of all.",
                    "acdf": "In B: (f) is long, but its last entry is of term 3.",
                },
            ),
            Part(
                "C",
                "ace",
                {"acd": "In C: (d) gets the votes of b, d and f, which are three of seven."},
            ),
        ),
    ),
    "04.1": Form(
        set,
        "a string of letters a to h",
        (
            Part("a", False, {True: "a: the last frame of an open log may have been torn."}),
            Part("b", True, {False: "b: frames that were written after a sync follow."}),
            Part("c", False, {True: "c: the last frame of an open log looks like a torn write."}),
            Part("d", True, {False: "d: the frame that closes the log was written after a sync."}),
            Part("e", False, {True: "e: both frames of the last save have the same sync."}),
            Part("f", False, {True: "f: zeros are not a frame, and nobody promised them."}),
            Part("g", True, {False: "g: a sealed segment has no torn end."}),
            Part("h", True, {False: "h: a segment between two others cannot be missing."}),
        ),
    ),
    "05.1": Form(
        list,
        "a list of six numbers",
        (
            Part("call 2", 0, {1: "Before the first sync of the log no write is durable."}),
            Part("call 3", 0, {2: "During call 3 the sync has not returned: nothing survives."}),
            Part("call 4", 2, {0: "Before call 4 a sync of the log has returned."}),
            Part(
                "call 6",
                2,
                {
                    0: "The first sync made two writes durable.",
                    4: "During call 6 the second sync has not returned.",
                },
            ),
            Part("call 7", 4, {2: "Before call 7 the flush has synced the log."}),
            Part("call 16", 4, {2: "Nothing that was durable is lost by a flush."}),
        ),
    ),
    "06.1": Form(
        list,
        "a list of six numbers",
        (
            Part("1", 1, {0: "1: the second frozen memtable waits.", 2: "1: one was flushed."}),
            Part(
                "2",
                2,
                {
                    3: "2: the memtable in use holds only what was put after the last freeze.",
                    1: "2: c and a were put after the last freeze.",
                },
            ),
            Part("3", 2, {4: "3: only the first memtable is in a table.", 0: "3: one is flushed."}),
            Part(
                "4",
                4,
                {2: "4: entries 3 to 6 are in no table.", 6: "4: what is flushed needs no replay."},
            ),
            Part(
                "5",
                1,
                {
                    6: "5: nothing of a memtable survives, and replay has not begun.",
                    3: "5: a=3 was in the second memtable, which was not flushed.",
                },
            ),
            Part("6", 3, {2: "6: a deleted key is in the memtable, too: as a tombstone."}),
        ),
    ),
    "07.1": Form(
        list,
        "a list of four numbers",
        (
            Part("e", 1, {0: "e is above d, the last key of block 0."}),
            Part("d", 0, {1: "d is the last key of block 0, and belongs to it."}),
            Part(
                "h",
                1,
                {0: "h is above d, the last of block 0.", 2: "h is the last key of block 1."},
            ),
            Part("i", 2, {1: "i is above h, the last key of block 1."}),
        ),
    ),
    "08.1": Form(
        list,
        "a list of three lists of table numbers",
        (
            Part(
                "A",
                (2, 3, 6, 7, 8, 9),
                {
                    (6, 7, 8, 9): "A: level 0 is merged into level 1, and overlaps tables there.",
                    tuple(range(1, 10)): "A: some tables of level 1 overlap nothing of level 0.",
                },
            ),
            Part(
                "B",
                (2, 12),
                {
                    (5, 14): "B: 14 drags the fewest bytes along, but not for each of its own.",
                    (11, 12, 13, 14, 17, 18, 19): "B: level 1 is fuller than level 0.",
                },
            ),
            Part(
                "C",
                (23,),
                {
                    (21, 22, 23, 24, 26, 27, 28, 29): "C: level 0 is full, and level 1 fuller.",
                    (): "C: level 1 is over full, so something is picked.",
                },
            ),
        ),
    ),
    "09.1": Form(
        list,
        "a list of four lists of names",
        (
            Part("1 to 10", (), {("tree", "n2", "n3", "n4"): "List what needs it."}),
            Part("11 to 20", (), {("n3",): "n3 has everything through 20: it needs 21."}),
            Part(
                "21 to 30",
                ("n3", "n4"),
                {
                    ("n3",): "n4 needs 25 to 30: they follow on the snapshot.",
                    ("tree", "n3", "n4"): "Entry 30 is flushed: the tree needs 31.",
                },
            ),
            Part(
                "31 to 40",
                ("tree", "n3", "n4"),
                {
                    ("tree", "n2", "n3", "n4"): "n2 has everything through 48.",
                    ("tree",): "n3 and n4 have nothing of 31 to 40 either.",
                },
            ),
        ),
    ),
    "11.1": Form(
        set,
        "a list of letters",
        (
            Part("a", True, {False: "A: the two overlap, so bob's get may come first."}),
            Part("b", False, {True: "B: the put had returned before bob called."}),
            Part("c", False, {True: "C: after both puts have returned, nobody writes any more."}),
            Part("d", True, {False: "D: eve's first get ends while ann's put is still open."}),
            Part("e", True, {False: "E: a put without an answer may take effect late."}),
            Part("f", False, {True: "F: what bob saw took effect, and nothing undoes it."}),
        ),
    ),
    "11.2": Form(
        dict,
        "a dict of three numbers, by the letters A to C",
        (
            Part(
                "A",
                47,
                {
                    48: "In A: ticks 40 to 47 are eight.",
                    49: "In A: the lease counts from when the round began, not from its answer.",
                    50: "In A: the lease counts from when the round began, not from its answer.",
                },
            ),
            Part(
                "B",
                50,
                {
                    51: "In B: ticks 43 to 50 are eight.",
                    47: "In B: the answer to the second round extends the lease, however late.",
                    56: "In B: the lease counts from when the round began, not from its answer.",
                    57: "In B: the lease counts from when the round began, not from its answer.",
                    53: "In B: the third round has no answer.",
                },
            ),
            Part(
                "C",
                44,
                {
                    47: "In C: voters grant an election that the leader ordered at once.",
                    45: "In C: in tick 45 the order is on its way already.",
                },
            ),
        ),
    ),
    "12.3": Form(
        list,
        "a list of six pairs of numbers",
        (
            Part("order 1", (111, 11)),
            Part(
                "order 2",
                (1, 11),
                {
                    (101, 11): "In order 2 bob read y, which ann wrote before he committed.",
                    (111, 11): "In order 2 nobody tries again after a conflict.",
                },
            ),
            Part(
                "order 3",
                (101, 1),
                {
                    (101, 11): "In order 3 ann read x, which bob wrote before she committed.",
                    (101, 111): "In order 3 nobody tries again after a conflict.",
                },
            ),
            Part("order 4", (101, 111)),
            Part(
                "order 5",
                (5, 1),
                {
                    (5, 11): "In order 5 eve wrote x, which ann had read.",
                    (5, 15): "In order 5 nobody tries again after a conflict.",
                },
            ),
            Part(
                "order 6",
                (1, 11),
                {(1, 5): "In order 6 eve wrote y, which ann only writes: that is not a conflict."},
            ),
        ),
    ),
    "13.1": Form(
        set,
        "a list of letters",
        (
            Part("a", False, {True: "A: two of three and three of four are five of four members."}),
            Part("b", True, {False: "B: two of the three, and the other three of five."}),
            Part("c", False, {True: "C: three of four and four of six are seven of six members."}),
            Part("d", True, {False: "D: two of the three that stay, and the other three of five."}),
            Part(
                "e",
                True,
                {False: "E: the number stays, but there are four members in all: two and two."},
            ),
            Part(
                "f",
                True,
                {False: "F: there are six members in all, and three of five is a majority."},
            ),
        ),
    ),
    "13.2": Form(
        list,
        "a list of four strings",
        (
            Part(
                "A",
                "ab",
                {
                    "abde": "In A: d and e are learners as far as they know, and do not stand.",
                    "": "In A: nobody knows of the change, and a and b are two of three.",
                },
            ),
            Part(
                "B",
                "a",
                {
                    "ab": "In B: b needs the vote of a, whose log is longer.",
                    "abde": "In B: d and e are learners as far as they know, and do not stand.",
                    "": "In B: a and b are two of the old three, d and e two of the new.",
                },
            ),
            Part(
                "C",
                "abd",
                {
                    "d": "In C: a and b have heard nothing, and elect each other as before.",
                    "ab": "In C: d votes by its own log, so it may stand, by both majorities.",
                    "abde": "In C: e is a learner as far as it knows, and does not stand.",
                },
            ),
            Part(
                "D",
                "",
                {
                    "ad": "In D: c and e are down, and d alone is not a majority of c, d and e.",
                    "a": "In D: c and e are down, and d alone is not a majority of c, d and e.",
                    "b": "In D: b needs the vote of a, whose log is longer.",
                },
            ),
        ),
    ),
    "15.1": Form(
        dict,
        "a dict of five numbers, by the letters A to E",
        (
            Part("A", 2, {1: "A: the first vote is on no disk, and that is seen when it leaves."}),
            Part(
                "B",
                3,
                {
                    4: "B: what the follower holds is right; it is only old.",
                    2: "B: it is not about disks.",
                },
            ),
            Part(
                "C", 4, {3: "C: an old value comes back, on one member, and at every later time."}
            ),
            Part(
                "D",
                5,
                {
                    2: "D: nothing is sent: the member itself lacks entries that are in no table.",
                    4: "D: the map in memory is right, until it is lost: the marks cross before.",
                },
            ),
            Part("E", 1, {2: "E: both votes are saved. There are two of them."}),
        ),
    ),
    "15.2": Form(
        int,
        "a whole number",
        (
            Part(
                "the number of runs",
                59,
                {
                    20: "Twenty runs find it once on average, and miss it in a third of all cases.",
                    19: "That is 0.95 divided by 0.05: ask how likely it is that all runs miss it.",
                    58: "0.95 to the power of 58 is still a little more than 0.05.",
                    60: "One less is enough.",
                    100: "Fewer are enough.",
                },
            ),
        ),
    ),
}
"""By the name of the exercise."""


def wrong_in(name: str, answer: Any) -> str:
    """Return what is wrong in a plain ``answer`` to the exercise ``name``, ``""`` if unknown."""
    form = FORMS.get(name)
    if form is None:
        return ""
    given = _given(form, answer)
    if given is None:
        return f"Give {form.give}."
    for part in form.parts:
        value = _frozen(given.get(part.name))
        if value != part.right:
            try:
                likely = part.likely.get(value)
            except TypeError:  # a dict, where a number should be
                likely = None
            return likely or f"Part {part.name} is not right yet."
    extra = [key for key in given if key not in {part.name for part in form.parts}]
    return f"{extra[0]} does not belong there." if extra else ""


def _given(form: Form, answer: Any) -> dict[str, Any] | None:
    """Return the parts of ``answer`` by their names, ``None`` if it has another form."""
    names = [part.name for part in form.parts]
    if form.kind is set:
        if not isinstance(answer, list | str):
            return None
        found = [str(each).strip().lower() for each in answer if each not in (" ", ",")]
        return {name: name in found for name in names} | {
            each: True for each in found if each not in names
        }
    if form.kind is dict:
        if not isinstance(answer, dict):
            return None
        keys = {name.lower(): name for name in names}
        return {keys.get(str(key).strip().lower(), str(key)): v for key, v in answer.items()}
    if form.kind is str:
        return _order(names, answer)
    if form.kind is int:
        return {names[0]: answer} if type(answer) is int else None
    if not isinstance(answer, list) or len(answer) != len(names):
        return None
    return dict(zip(names, answer, strict=True))


def _order(names: list[str], answer: Any) -> dict[str, Any] | None:
    """Return for each pair of letters whether the first comes before the second."""
    text = "".join(map(str, answer)) if isinstance(answer, list) else answer
    if not isinstance(text, str):
        return None
    letters = [letter for letter in text.upper() if letter not in " ,"]
    if sorted(letters) != sorted({letter for name in names for letter in name}):
        return None
    return {name: letters.index(name[0]) < letters.index(name[1]) for name in names}


def _frozen(value: Any) -> Any:
    """Return a part as it stands in :class:`Part`: text without spaces, lists as tuples."""
    if isinstance(value, str):
        return "".join(value.replace(",", " ").split()).lower()
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
