"""The registry of exercises: true to the lessons, with a word for each likely error."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from kvraft.course import check, guard, values
from kvraft.course.answers import digest
from kvraft.course.registry import EXERCISES, LESSONS
from kvraft.course.verdicts import VERDICTS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
exercises = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.name)


def solutions(exercise):
    return import_module(f"kvraft.course.solutions.{exercise.solutions}")


def judged(exercise, answers):
    """Check ``answers``, a dict by name; return the verdict."""
    given = [answers[name] for name in exercise.answers]
    if exercise.file:
        module = import_module(f"kvraft.course.exercises.{exercise.file}")
        getattr(module, exercise.check)(*given)
    else:
        check(*given, exercise.check)
    return VERDICTS[-1]


def gist(words: str) -> str:
    """The words without numbers and without what they quote: the rest is the reason."""
    first = words.split("\n")[0]
    return re.sub(r"b?'[^']*'|\[[^\]]*\]|\([^)]*\)|[\d,.%]+", "#", first)


@pytest.mark.timeout(1200)  # a dozen rules in real trees and clusters
@exercises
def test_wrong_answers_get_words_of_their_own(exercise):
    module = solutions(exercise)
    right = {name: module.RIGHT[name] for name in exercise.answers}
    found = {}
    for name in exercise.answers:
        for wrong in module.WRONG[name]:
            verdict = judged(exercise, right | {name: wrong})
            assert verdict.exercise == exercise.name
            assert verdict.right is False, (name, wrong, verdict)
            assert verdict.words, (name, wrong)
            assert "please report" not in verdict.words, verdict
            found.setdefault(gist(verdict.words), []).append(wrong)
    assert len(found) >= 3, found


@exercises
def test_an_exercise_is_whole(exercise):
    assert exercise.name.partition(".")[0] in LESSONS
    assert exercise.difficulty in (1, 2, 3)
    assert 5 <= exercise.minutes <= 60
    assert exercise.minutes % 5 == 0
    assert len(exercise.hints) >= 2
    assert len(set(exercise.hints)) == len(exercise.hints)
    assert all(hint[-1] in ".?" for hint in exercise.hints)
    assert all(name in solutions(exercise).RIGHT for name in exercise.answers)


@pytest.mark.parametrize("exercise", [each for each in EXERCISES if not each.file], ids=str)
def test_a_value_has_parts_that_are_right_in_the_solution(exercise):
    (answer,) = exercise.answers
    right = solutions(exercise).RIGHT[answer]
    assert digest(right) == exercise.check
    assert values.wrong_in(exercise.name, right) == ""
    for part in values.FORMS[exercise.name].parts:
        assert part.right not in part.likely


def test_every_value_that_has_words_is_an_exercise():
    assert list(values.FORMS) == [each.name for each in EXERCISES if not each.file]


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_has_the_exercises_of_the_registry_under_their_titles(number):
    book = json.loads((NOTEBOOKS / f"{LESSONS[number][0]}.ipynb").read_text(encoding="utf-8"))
    prose = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown"]
    headings = [h for text in prose for h in re.findall(r"^## Exercise (.+)$", text, re.M)]
    mine = [each for each in EXERCISES if each.lesson == number]
    assert headings == [f"{each.name.partition('.')[2]} · {each.title}" for each in mine]
    shown = [text for text in prose if text.startswith("## Exercise") and "minutes" in text]
    for text in shown:  # where a lesson shows them, they are those of the registry
        title = text.partition("\n")[0].partition(" · ")[2]
        (exercise,) = (each for each in mine if each.title == title)
        assert exercise.effort in text


def test_the_teachers_page_adds_up():
    text = (NOTEBOOKS / "book" / "teachers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.*?) \| (\d+) \|", text, re.M)
    minutes = dict.fromkeys(LESSONS, 0)
    for exercise in EXERCISES:
        minutes[exercise.lesson] += exercise.minutes
    planned = [re.findall(r"\[(\d\d)\]", lessons) for lessons, _ in rows]
    assert sum(planned, []) == list(LESSONS)  # noqa: RUF017
    for lessons, (_, shown) in zip(planned, rows, strict=True):
        assert sum(minutes[number] for number in lessons) == int(shown)
    assert f"{len(EXERCISES)} exercises" in text
    assert round(sum(minutes.values()) / 60) == 12
    assert "about twelve hours" in text
    assert f"{guard.LINES:,}" == "10,000,000"
    assert "ten million lines" in text


def needed_by(number: str) -> set[str]:
    """The lessons that a lesson says it needs as a whole."""
    book = json.loads((NOTEBOOKS / f"{LESSONS[number][0]}.ipynb").read_text(encoding="utf-8"))
    prose = "\n".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown")
    (asked,) = re.findall(r"You need\**(.*?)(?:\. |;|\.$|: \[)", prose, re.M)
    return set(re.findall(r"\[(\d\d)\]", asked))


def test_the_map_says_what_the_lessons_say():
    text = (NOTEBOOKS / "book" / "map.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d) .*?\) \| (.*?) ?\| (\d+) \| (\d+) \|$", text, re.M)
    assert [number for number, *_ in rows] == list(LESSONS)
    hours = 0.0
    for number, builds_on, exercises, reading in rows:
        assert set(re.findall(r"\d\d", builds_on)) == needed_by(number), number
        minutes = sum(each.minutes for each in EXERCISES if each.lesson == number)
        assert minutes == int(exercises), number
        hours += (minutes + int(reading)) / 60
    assert round(hours) == 22
    assert "some twenty-two hours" in " ".join(text.split())


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_is_as_long_as_the_map_says(number):
    text = (NOTEBOOKS / "book" / "map.md").read_text(encoding="utf-8")
    (span,) = re.findall(r"([\d,]+) to ([\d,]+) words", text)
    low, high = (int(each.replace(",", "")) for each in span)
    book = json.loads((NOTEBOOKS / f"{LESSONS[number][0]}.ipynb").read_text(encoding="utf-8"))
    read = ["".join(cell["source"]) for cell in book["cells"]]
    for output in (out for cell in book["cells"] for out in cell.get("outputs", [])):
        shown = output.get("text") or output.get("data", {}).get("text/plain", "")
        read.append("".join(shown))
    assert low < sum(len(each.split()) for each in read) < high
