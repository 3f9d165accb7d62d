"""Lesson 06: what its checks say of triggers and rules; its answers are true."""

import pytest

from kvraft.course.exercises import flush
from kvraft.course.exercises.flush import (
    LOADS,
    LOG_BYTES,
    MEMTABLE_BYTES,
    VersionsCase,
    cases,
    check_kept,
    check_should_freeze,
    run,
)
from kvraft.course.solutions import s06_memtable_and_flush as solutions
from kvraft.lsm import Tree
from kvraft.sim import SimDisk
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


# ── the trigger ─────────────────────────────────────────────────────────────────────────────────


def test_the_rule_of_the_member_passes_its_own_exercise(capsys):
    limits = {"memtable": MEMTABLE_BYTES, "log": LOG_BYTES}
    assert limits == {"memtable": solutions.MEMTABLE, "log": solutions.LOG}
    for load in LOADS:
        outcome, own = run(load, solutions.should_freeze), run(load)
        assert outcome == own  # the same rule in other words
        assert len(outcome.gauges) == load.writes
        assert flush._judge(load, own) == ""
    words = said(capsys, check_should_freeze, solutions.should_freeze)
    assert words.startswith("Right. Under 4 loads the member froze "), words


def test_each_load_is_needed():
    """For each there is a rule that only this one catches, or that it is the first to catch."""
    rules = [solutions.when_full, solutions.whatever_waits, solutions.one_at_a_time]
    caught = {
        rule.__name__: [bool(flush._judge(load, run(load, rule))) for load in LOADS]
        for rule in (*rules, solutions.when_the_log_is_long)
    }
    assert caught["when_the_log_is_long"][0]
    assert caught["when_full"][:2] == [False, True]
    assert caught["whatever_waits"][2]
    assert caught["one_at_a_time"] == [False, False, False, True]


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.when_full, "bytes of log: beyond 16,384 the memtable must be flushed"),
        (solutions.when_the_log_is_long, "from 8,192 on it is full"),
        (solutions.whatever_waits, "waited at a time. The one that waits"),
        (solutions.one_at_a_time, "no time for long work, the memtable grew to"),
        (solutions.early, "Each becomes a table"),
        (solutions.always, "it froze 302 memtables where 8 are enough"),
        (solutions.forgets_to_return, "gives None: give True or False"),
        (solutions.wrong_name, "raised TypeError"),
        (lambda *sizes: 1, "gives 1: give True or False"),
    ],
)
def test_what_comes_of_a_wrong_trigger_is_said(capsys, rule, hint):
    words = said(capsys, check_should_freeze, rule)
    assert words.startswith("Not yet. In "), words
    assert hint in words
    assert words.count("\n") == 1


def test_a_trigger_that_differs_and_does_no_harm_is_right(capsys):
    def looser(memtable_bytes, log_bytes, waiting):
        return memtable_bytes >= 7_900 or (log_bytes >= 15_000 and not waiting)

    assert said(capsys, check_should_freeze, looser).startswith("Right")


# ── what to keep ────────────────────────────────────────────────────────────────────────────────


def test_the_right_rule_is_told_so(capsys):
    words = said(capsys, check_kept, solutions.kept)
    assert words.startswith("Right. It agrees with the module in 5,"), words
    assert said(capsys, check_kept, lambda *given: [*solutions.kept(*given)]).startswith("Right")


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.newest, "Versions 1 value, 2 value; views open at 1. Your rule drops 1: it is"),
        (solutions.everything, "no view is open. Your rule keeps 1, which no reader can see"),
        (solutions.up_to_the_last_view, "views open at 2. Your rule keeps 1"),
        (solutions.at_the_views, "Your rule drops 1: it is what the view at 2 sees"),
        (solutions.without_the_newest, "drops 1, which is the newest: all new readers see it.\n"),
        (solutions.without_tombstones, "It is a tombstone, and hides versions in tables"),
        (solutions.newest_first, "in another order"),
        (solutions.timestamps, "gives [1]: give a list of some of the versions"),
        (solutions.nothing, "gives None"),
        (solutions.raises, "raised AttributeError"),
    ],
)
def test_a_wrong_rule_is_told_the_shortest_situation(capsys, rule, hint):
    words = said(capsys, check_kept, rule)
    assert words.startswith("Not yet. Versions 1"), words
    assert hint in words
    assert words.count("\n") == 1


def test_what_the_module_keeps_is_what_somebody_sees():
    """The yardstick itself: now and at each view, and nothing is spare."""
    for case in cases():
        right = case.right()
        seen = {case.versions[-1]}
        for view in case.views:
            seen.update([v for v in case.versions if v[0] <= view][-1:])
        assert set(right) == seen, case
        assert right == sorted(right)


def test_a_rule_that_passes_the_situations_is_caught_beside_a_tree(capsys, monkeypatch):
    monkeypatch.setattr(flush, "cases", lambda: iter(()))
    words = said(capsys, check_kept, solutions.everything)
    assert words.startswith("Not yet. For a tree a flush writes")
    assert "a view would read another" in said(capsys, check_kept, solutions.newest)
    assert said(capsys, check_kept, solutions.kept).startswith("Right")


def test_a_situation_cannot_be_changed_by_a_rule():
    case = VersionsCase(((1, b"v"), (2, None)), (1,))
    assert case.ask(lambda versions, views: [versions.pop(0), *versions]) == case.right()
    assert len(case.versions) == 2


def test_unanswered(capsys):
    for check in (check_should_freeze, check_kept):
        assert said(capsys, check, lambda *given: ...).startswith("Not answered yet")


# ── the prediction ──────────────────────────────────────────────────────────────────────────────


def test_the_prediction_is_what_a_tree_does():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.put(b"a", b"1")
    tree.put(b"b", b"2")
    tree.freeze()
    tree.put(b"a", b"3")
    tree.delete(b"b")
    tree.freeze()
    tree.put(b"c", b"5")
    while tree.immutable_memtables == 2:
        tree.work()
    tree.put(b"a", b"6")
    before, last, waiting = tree.memtable_rows, tree.applied.index, tree.immutable_memtables
    tree = Tree.open(disk)
    found = [waiting, before, tree.flushed.index, last - tree.flushed.index, int(tree.get(b"a"))]
    tree.put(b"a", b"3")
    tree.delete(b"b")
    tree.put(b"c", b"5")
    tree.put(b"a", b"6")
    assert [*found, tree.memtable_rows] == solutions.RIGHT["prediction"]
