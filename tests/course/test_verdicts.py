"""Checks judge whatever a learner gives: a sentence and a verdict, never a hang or a traceback."""

import sys
import time
from importlib import import_module

import pytest

from kvraft.course import about, check, guard, next_hint, solution, verdicts
from kvraft.course.answers import digest, plain
from kvraft.course.exercises.flush import check_kept
from kvraft.course.exercises.replication import check_advance_commit
from kvraft.course.exercises.transactions import check_holds
from kvraft.course.registry import EXERCISES, find
from kvraft.course.solutions import s02_replication_and_commit, s06_memtable_and_flush
from kvraft.course.verdicts import VERDICTS, Verdict

FUNCTIONS = [each for each in EXERCISES if each.file and each.answers[0] not in ("low", "order")]
FUNCTIONS = [each for each in FUNCTIONS if each.answers[0] not in ("schedule", "retain_bytes")]


@pytest.fixture(autouse=True)
def new_kernel(monkeypatch):
    """Each test begins as a new notebook does."""
    monkeypatch.setattr(verdicts, "_hints_given", {})
    VERDICTS.clear()


class Number:
    """As numpy's numbers and arrays: neither an int nor a list, but it can say which it is."""

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


def said(capsys, judge, *answers):
    judge(*answers)
    return capsys.readouterr().out


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────


def test_every_check_leaves_a_verdict_that_says_what_is_printed(capsys):
    out = said(capsys, check_kept, s06_memtable_and_flush.kept)
    out += said(capsys, check_kept, s06_memtable_and_flush.newest)
    out += said(capsys, check_kept, lambda *given: ...)
    out += said(capsys, check, [1, 2, 2, 4, 1, 3], "4adaee87fd55")
    assert [(v.exercise, v.right) for v in VERDICTS] == [
        ("06.3", True),
        ("06.3", False),
        ("06.3", None),
        ("06.1", True),
    ]
    assert out == "".join(f"{verdict}\n" for verdict in VERDICTS)
    assert VERDICTS[1].case == "Versions 1 value, 2 value; views open at 1."
    assert VERDICTS[1].words.startswith("Your rule drops 1")


def test_what_a_learner_prints_is_not_a_verdict(capsys):
    def kept(versions, views):
        print("Right. It agrees with the module.")
        return []

    assert "Right." in said(capsys, check_kept, kept)
    assert [verdict.right for verdict in VERDICTS] == [False]


def test_a_check_that_fails_itself_says_so_in_a_sentence(capsys):
    verdicts.decide("06.3", lambda: {}["nothing"])
    assert capsys.readouterr().out.startswith("Exercise") is False
    assert VERDICTS[0].right is False
    assert "the check failed (KeyError" in VERDICTS[0].words


# ── values ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ([1.0, 2, 2.0, 4, 1, 3], "4adaee87fd55"),
        ((1, 2, 2, 4, 1, 3), "4adaee87fd55"),
        (Number([1, 2, 2, 4, 1, 3]), "4adaee87fd55"),
        ([Number(each) for each in (1, 2, 2, 4, 1, 3)], "4adaee87fd55"),
        ("cfahbedg", "2e4d07b3f025"),
        (" C, F, A, H, B, E, D, G ", "2e4d07b3f025"),
        (list("CFAHBEDG"), "2e4d07b3f025"),
        ({13, 11, 12}, "45ef248d6c30"),
        (["ACD", "a c d", " ace"], "7cbbd9e65a98"),
        ({"a": 5.0, "B": 2, "c ": 5, "d": 1, "E": Number(3)}, "a65ef6c97825"),
        (["b", "d", "g", "h"], "53b504b2c3cb"),
        (([], (), ["N3", "n4"], ("tree", "n3", "n4")), "a35452d2a5cc"),
    ],
)
def test_the_same_answer_in_another_spelling_is_right(capsys, answer, right):
    assert said(capsys, check, answer, right) == "Right.\n"


@pytest.mark.parametrize(
    ("answer", "right", "words"),
    [
        ([5, 4, 4, 2], "ed0f9024c35d", "In C two of four have entry 4"),
        ([5, 4, 3, 4.0], "ed0f9024c35d", "In D a majority has entry 4"),
        ([5, 4, 3, 9], "ed0f9024c35d", "Part D is not right yet."),
        ([5, 4, 3], "ed0f9024c35d", "Give a list of four numbers."),
        (5, "ed0f9024c35d", "Give a list of four numbers."),
        ("FCAHBEDG", "2e4d07b3f025", "The client sent it to a follower first"),
        ("CFA", "2e4d07b3f025", "Give a string of the eight letters"),
        ({"a": 10, "b": 5, "e": 6, "f": 4, "z": 1}, "2650e2d2e8f9", "z does not belong there"),
        ([11, 12, 13, 16], "45ef248d6c30", "16 does not belong there"),
        ("bdghx", "53b504b2c3cb", "x does not belong there"),
        ([[], {}, [], []], "a35452d2a5cc", "Part 11 to 20 is not right yet."),
        (None, "a65ef6c97825", "Give a dict of five numbers"),
        ("wrong", digest("right"), "Think."),
    ],
)
def test_a_wrong_value_has_a_word_of_its_own(capsys, answer, right, words):
    out = said(capsys, check, answer, right, "Think.")
    assert out.startswith("Not yet. ")
    assert words in out
    assert out.count("\n") == 1


class Hostile:
    def __eq__(self, other):
        raise ZeroDivisionError

    __hash__ = None

    def __repr__(self):
        raise ZeroDivisionError

    def tolist(self):
        while True:
            pass


def nested(depth):
    answer = []
    for _ in range(depth):
        answer = [answer]
    return answer


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "answer",
    [object(), Hostile(), CIRCLE, nested(5000), 10**5000, {1: {2: {3}}}, {(1, 2): 3}, len],
    ids=range(8),
)
def test_a_value_that_is_none_gets_a_sentence_with_the_name_of_the_exercise(
    capsys, monkeypatch, answer
):
    monkeypatch.setattr(guard, "LINES", 10_000)
    out = said(capsys, check, answer, "4adaee87fd55")
    assert out.startswith("Not yet. ")
    assert "Exercise 06.1" in out or "Give a list of six numbers" in out
    assert out.count("\n") == 1


def test_plain_values_are_told_apart():
    assert plain(True) is True
    assert plain(2.5) == 2.5
    assert digest(plain(1.0)) == digest(1) != digest(True)


# ── functions ───────────────────────────────────────────────────────────────────────────────────


def raises(*given):
    return {}["this key"]


def exits(*given):
    sys.exit(3)


def recurses(*given):
    return recurses(*given) + 1


def never_ends(*given):
    while True:
        pass


def never_ends_in_one_line(*given):
    while True: pass  # fmt: skip  # noqa: E701


def swallows(*given):
    while True:
        try:
            given = given
        except:  # noqa: E722
            given = ()


def swallows_and_calls(*given):
    while True:
        try:
            raises()
        except BaseException:
            continue


def endless_generator(*given):
    return any(number < 0 for number in iter(int, 1))


def endless_list(*given):
    return [number for number in iter(int, 1) if number]


def prints(*given):
    print("here I am " * 100)
    return {}["this key"]


def gives_an_object(*given):
    return object()


def gives_what_raises(*given):
    return Hostile()


BROKEN = {
    raises: "raised KeyError: 'this key', in line ",
    exits: "raised SystemExit: 3, in line ",
    recurses: "recurses calls itself again and again, in line ",
    never_ends: "ran 5,000 lines and did not come to an end, in line ",
    never_ends_in_one_line: "did not come to an end",
    swallows: "did not come to an end",
    swallows_and_calls: "did not come to an end",
    endless_generator: "did not come to an end",
    endless_list: "did not come to an end",
    gives_an_object: "give",
    gives_what_raises: "give",
}


ANYWHERE = [
    *((exercise, rule) for exercise in FUNCTIONS for rule in (raises, never_ends, gives_an_object)),
    *((find("12.2"), rule) for rule in BROKEN),
]


@pytest.mark.parametrize(
    ("exercise", "rule"), ANYWHERE, ids=[f"{e.name} {rule.__name__}" for e, rule in ANYWHERE]
)
def test_a_broken_function_gets_one_sentence_with_the_name_of_the_exercise(
    capsys, monkeypatch, exercise, rule
):
    monkeypatch.setattr(guard, "LINES", 5_000)
    module = import_module(f"kvraft.course.exercises.{exercise.file}")
    out = said(capsys, getattr(module, exercise.check), rule)
    assert out.startswith(f"Not yet. Exercise {exercise.name}: ")
    assert out.count("\n") == 1, out
    assert BROKEN[rule] in out
    assert [verdict.right for verdict in VERDICTS] == [False]
    assert "_Budget" not in str(sys.gettrace())


def test_the_line_is_named_with_its_text(capsys):
    out = said(capsys, check_holds, raises)
    number = raises.__code__.co_firstlineno + 1
    assert f'in line {number} of test_verdicts.py: return {{}}["this key"]' in out


def test_a_line_of_another_function_of_the_learner_is_named(capsys):
    out = said(capsys, check_holds, lambda reads, versions: raises())
    assert f"in line {raises.__code__.co_firstlineno + 1} of" in out


def test_what_is_printed_is_shown_but_not_all_of_it(capsys):
    out = said(capsys, check_holds, prints)
    assert out.startswith("here I am here")
    assert len(out) < guard.SHOWN + 400
    assert "(Only the first 2,000 characters" in out
    assert "raised KeyError" in out


def test_the_budget_is_that_of_a_check_not_of_a_call(capsys, monkeypatch):
    def slow(reads, versions):
        for _ in range(300):
            pass
        return True

    monkeypatch.setattr(guard, "LINES", 700)
    assert "did not come to an end" in said(capsys, check_holds, slow)


def test_the_budget_leaves_a_right_rule_time(capsys):
    begun = time.process_time()
    rule = s02_replication_and_commit.advance_commit
    assert said(capsys, check_advance_commit, rule).startswith("Right. ")
    assert time.process_time() - begun < 60


def test_numbers_of_another_kind_are_right(capsys):
    rule = s02_replication_and_commit.advance_commit
    assert said(capsys, check_advance_commit, lambda *a: Number(rule(*a))).startswith("Right. ")
    assert said(capsys, check_advance_commit, lambda *a: float(rule(*a))).startswith("Right. ")


# ── hints and solutions ─────────────────────────────────────────────────────────────────────────


def test_each_call_gives_the_next_hint(capsys):
    outs = [said(capsys, next_hint, "06.3") for _ in range(4)]
    assert [out[:11] for out in outs] == [f"Hint {n} of 3" for n in (1, 2, 3, 3)]
    assert [hint in out for hint, out in zip(find("06.3").hints, outs, strict=False)] == [True] * 3
    assert "once more" in outs[3]


def test_a_solution_opens_after_an_attempt(capsys):
    assert "opens after an attempt" in said(capsys, solution, "06.3")
    check_kept(lambda *given: ...)  # not an attempt
    capsys.readouterr()
    assert "opens after an attempt" in said(capsys, solution, "06.3")
    check_kept(lambda *given: [])
    capsys.readouterr()
    out = said(capsys, solution, "06.3")
    assert out.startswith("Exercise 06.3 · What must a flush write? · ●●○ · 20 minutes")
    assert "def kept(versions, views):" in out
    assert "opens after an attempt" in said(capsys, solution, "06.2")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.name)
def test_every_solution_opens(capsys, exercise):
    VERDICTS.append(Verdict(exercise.name, False, "Think."))
    out = said(capsys, solution, exercise.name)
    assert all(name in out for name in exercise.answers)


@pytest.mark.parametrize("ask", [about, next_hint, solution])
@pytest.mark.parametrize("name", ["06.9", 6.3, None, [], "kept"])
def test_a_name_that_is_not_there_is_answered_by_a_sentence(capsys, ask, name):
    out = said(capsys, ask, name)
    assert out.startswith("No exercise has the name")
    assert out.count("\n") == 1


def test_what_an_exercise_takes_is_shown(capsys):
    assert said(capsys, about, "00.2") == "Exercise 00.2 · May it go? · ●○○ · 5 minutes\n"


@pytest.mark.parametrize("answer", [7, None, "yes", [1, 2]])
def test_what_is_not_a_function_is_named_in_a_sentence(capsys, answer):
    out = said(capsys, check_kept, answer)
    assert out == f"Not yet. Exercise 06.3: kept is {answer!r}, and has to be a function.\n"


def test_an_answer_is_shown_without_its_address(capsys):
    def kept(versions, views):
        return (each for each in versions)

    assert " at 0x" not in said(capsys, check_kept, kept)
    assert " at 0x" not in said(capsys, check, object(), "ed0f9024c35d")
