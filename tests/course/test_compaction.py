"""Lesson 08: what its checks say of strategies and rules; its answers are true."""

from contextlib import suppress
from dataclasses import replace

import pytest

from kvraft.course.exercises import compaction as exercises
from kvraft.course.exercises.compaction import check_may_drop, check_pick, dropping_by
from kvraft.course.solutions import s08_compaction as solutions
from kvraft.lsm import CompactionTask, Tiered, compaction
from kvraft.sim import SMALL_TREE, NoCompaction, TreeLoad, random_writes, run_load
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    words = without_name(capsys.readouterr().out)
    assert words.count("\n") == 1
    return words


# ── what is merged next ─────────────────────────────────────────────────────────────────────────


def test_the_answers_are_what_the_strategy_picks():
    tasks = [exercises.LEVELLED.pick(tables) for tables in exercises.SITUATIONS.values()]
    numbers = [sorted(table.number for table in task.inputs) for task in tasks]
    assert numbers == solutions.RIGHT["picked"]
    assert [(task.level, task.move) for task in tasks] == [(1, False), (2, False), (2, True)]


def test_the_situations_could_be_those_of_a_tree():
    for tables in exercises.SITUATIONS.values():
        assert len({table.number for table in tables}) == len(tables)
        for level in {table.level for table in tables} - {0}:
            assert compaction.disjoint([table for table in tables if table.level == level])


# ── a strategy ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pick", [solutions.pick, solutions.levelled, Tiered().pick])
def test_a_good_strategy_is_told_what_it_cost(capsys, pick):
    words = said(capsys, check_pick, pick)
    assert words.startswith("Right. 5,000 writes, at rest in the end: "), words


def restless(tables):
    """Takes a single table for work, once all is written."""
    if any(table.max_timestamp > 4_900 for table in tables):
        return CompactionTask(tuple(tables[-1:]), 0, solutions.ONE_TABLE)
    return solutions.pick(tables)


@pytest.mark.parametrize(
    ("pick", "hint"),
    [
        (solutions.nothing, "reads may cost 5"),
        (solutions.everything, "writes may cost 5.5"),
        (solutions.newest, "writes may cost 5.5"),
        (solutions.oldest, "writes may cost 5.5"),
        (solutions.newest_four, "writes may cost 5.5"),
        (solutions.for_ever, "merges forever"),
        (restless, "merges forever"),
        (solutions.overlapping, "may overlap table 6 of level 1"),
        (solutions.returns_tables, "it gives a tuple: give a CompactionTask, or None"),
        (solutions.empty_task, "For no tables at all it names tables that do not exist"),
        (solutions.raises, "For no tables at all raises raised IndexError"),
        (solutions.bottomless, "levels are 0 to 9"),
        (solutions.crumbs, "table_bytes is not"),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said(capsys, pick, hint):
    words = said(capsys, check_pick, pick)
    assert words.startswith("Not yet. "), words
    assert hint in words


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda tables: CompactionTask((*tables, tables[0]), 0, 4096), "a table twice"),
        (lambda tables: CompactionTask(tables, True, 4096, move=True), "can be moved"),
        (lambda tables: CompactionTask(tables, "1", 4096), "level '1'"),
        (lambda tables: CompactionTask(exercises.SITUATIONS["A"], 1, 4096), "do not exist"),
        (lambda tables: CompactionTask(5, 1, 4096), "raised TypeError"),
    ],
)
def test_what_no_tree_can_do_is_not_tried(capsys, make, hint):
    words = said(capsys, check_pick, lambda tables: make(tables) if len(tables) > 2 else None)
    assert words.startswith("Not yet. For the tables 4 (level 0, "), words
    assert hint in words


def test_a_strategy_that_fails_late_is_heard(capsys):
    asked = []

    def pick(tables):
        asked.append(len(tables))
        return solutions.pick(tables) if len(asked) < 60 else tables[99]

    words = said(capsys, check_pick, pick)
    assert "pick raised IndexError" in words
    assert len(asked) == 60


# ── a rule for tombstones ───────────────────────────────────────────────────────────────────────


def test_a_right_rule_is_tried_in_real_trees(capsys):
    words = said(capsys, check_may_drop, solutions.may_drop)
    assert words.startswith("Right. It agrees in all 101 situations; in real trees it dropped"), (
        words
    )


@pytest.mark.parametrize("rule", [r for r in solutions.WRONG["may_drop"] if r != 7])
def test_a_wrong_rule_is_told_the_smallest_situation(capsys, rule):
    words = said(capsys, check_may_drop, rule)
    assert words.startswith("Not yet. A tombstone of k, timestamp 5. "), words
    few = rule in (solutions.never, solutions.returns_nothing)
    two = rule is solutions.first_only
    assert ("There are no other tables" in words) == few
    assert words.count("one on level") == (0 if few else 2 if two else 1)


@pytest.mark.parametrize("rule", [solutions.always, solutions.deeper_only, solutions.first_only])
def test_a_rule_that_lets_go_too_early_is_found_out_by_a_real_tree(capsys, monkeypatch, rule):
    monkeypatch.setattr(exercises, "situations", list)
    assert " came back." in said(capsys, check_may_drop, rule)


def test_a_rule_that_never_lets_go_is_found_out_by_a_real_tree(capsys, monkeypatch):
    monkeypatch.setattr(exercises, "situations", list)
    assert "tombstones are left" in said(capsys, check_may_drop, solutions.never)
    assert "raised AttributeError" in said(capsys, check_may_drop, solutions.wrong_name)


def test_a_planted_rule_is_gone_afterwards():
    before = compaction.droppable
    with suppress(ZeroDivisionError), dropping_by(solutions.always):
        assert compaction.droppable is not before
        raise ZeroDivisionError
    assert compaction.droppable is before


# ── the load ────────────────────────────────────────────────────────────────────────────────────


def test_wrong_answers_of_a_tree_are_counted():
    options = replace(SMALL_TREE, memtable_bytes=512, strategy=Tiered(2))
    writes = list(random_writes(5, 600, 40, deletes=0.5))
    assert not any(sample.wrong for sample in run_load(options, writes))
    with dropping_by(solutions.always):
        assert any(sample.wrong for sample in run_load(options, writes))


def test_a_merge_by_hand_does_what_it_is_told_and_keeps_what_was_written():
    load = TreeLoad(replace(SMALL_TREE, strategy=NoCompaction()))
    for key, value in random_writes(1, 300, 200):
        load.write(key, value)
    newest, *_ = load.tree.tables
    load.merge([newest.number], level=3)
    assert [table.level for table in load.tree.tables].count(3) == 1
    assert len(load.tree.tables) > 2
    assert all(load.tree.get(key) == value for key, value in load.model.items())
    for numbers in ([], [newest.number]):
        with pytest.raises(exercises.KvraftError, match="no tables"):
            load.merge(numbers, level=1)
