"""Lesson 12: what its checks say of rules; its answers are true."""

import pytest

from kvraft.course.exercises.transactions import (
    INTERLEAVINGS,
    cases,
    check_gather,
    check_holds,
    log_words,
    logs,
    play,
    right_holds,
    right_split,
)
from kvraft.course.solutions import s12_transactions as solutions
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


def test_the_right_rules_are_told_so(capsys):
    words = said(capsys, check_gather, solutions.gather)
    assert words.startswith("Right. It agrees with the module about 4,831 logs"), words
    words = said(capsys, check_holds, solutions.holds)
    assert words.startswith("Right. It decides as the state machine does in 256"), words
    tuples = said(capsys, check_gather, lambda entries: tuple(map(tuple, right_split(entries))))
    assert tuples.startswith("Right")


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.only_a_noop_ends_it, "A log of ann#1, ann#2: [[1]] is discarded"),
        (solutions.only_another_ends_it, "A log of ann#1, no-op: [[1]] is discarded"),
        (solutions.by_client, "A log of ann#1, ann#2: [[1]] is discarded"),
        (solutions.by_sequence, "A log of ann#1, bob#1: [[1]] is discarded"),
        (
            solutions.discards_what_is_open,
            "A log of ann#1: nothing is discarded, and your rule says",
        ),
        (solutions.discards_what_is_open, "is open: neither complete nor discarded"),
        (solutions.never_discards, "A log of ann#1, ann#2: [[1]] is discarded"),
        (solutions.turned_round, "A log of ann#1*: [[1]] is complete"),
        (solutions.flat, "give two lists of lists of indexes"),
        (solutions.returns_nothing, "For a log of nothing, your rule gives None: give two lists"),
        (solutions.wrong_name, "raised AttributeError"),
    ],
)
def test_a_wrong_discard_rule_is_told_the_shortest_log(capsys, rule, hint):
    words = said(capsys, check_gather, rule)
    assert words.startswith("Not yet. "), words
    assert hint in words
    assert words.count("\n") == 1


def lost_sight(reads, versions):
    """Lets pass what was deleted since it was read."""
    alive = {k: t for k, t in reads.items() if k not in versions or versions[k].value is not None}
    return solutions.holds(alive, versions)


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.counts_tombstones, "Read: nothing of a. Now: a was deleted at 5. Nothing"),
        (solutions.counts_tombstones, "A deleted key has no value"),
        (solutions.not_later, "Read: a at 5. Now: no key is there. What it read no longer exists"),
        (solutions.any_key, "and your rule does not see it"),
        (solutions.forgets_keys_that_held_nothing, "nothing of a. Now: a was written at 5. a was"),
        (solutions.all_must_be_there, "your rule says that it has"),
        (solutions.always, "Read: a at 5. Now: no key"),
        (solutions.never, "Read: nothing. Now: no key is there. Nothing that it read"),
        (solutions.gives_none, "gives None: give True or False"),
        (solutions.key_error, "raised KeyError"),
        (lambda reads, versions: 1, "gives 1: give True"),
        (lost_sight, "Now: a was deleted at 7. What it read no longer exists"),
    ],
)
def test_a_wrong_condition_is_told_the_shortest_situation(capsys, rule, hint):
    words = said(capsys, check_holds, rule)
    assert words.startswith("Not yet. Read: "), words
    assert hint in words
    assert words.count("\n") == 1


def by_value(reads, versions):
    """Looks at values, and so takes a key that was written back for one that nobody wrote."""
    values = {5: b"1", 7: b"1"}
    now = {key: version.value for key, version in versions.items()}
    return all(now.get(key) == values.get(at) for key, at in reads.items())


def test_a_value_that_is_the_same_again_was_written_all_the_same(capsys):
    """The ABA problem: what was read at 5 is there again, written at 7."""
    words = said(capsys, check_holds, by_value)
    assert "Read: a at 5. Now: a was written at 7." in words
    assert "The value may be the same" in words


def test_the_yardsticks():
    """The situations hold both answers often, and the logs what a rule can go wrong about."""
    answers = [right_holds(case) for case in cases()]
    assert 60 < sum(answers) < len(answers) - 60
    splits = [right_split(entries) for entries in logs()]
    assert sum(bool(complete and discarded) for complete, discarded in splits) > 300
    for entries, (complete, discarded) in zip(logs(), splits, strict=True):
        places = [index for part in (*complete, *discarded) for index in part]
        assert len(places) == len(set(places)), log_words(entries)
        assert all(entries[part[-1] - 1].record.commit for part in complete)
        assert not any(entries[index - 1].record.commit for part in discarded for index in part)


def test_unanswered(capsys):
    for check in (check_gather, check_holds):
        assert said(capsys, check, lambda *given: ...).startswith("Not answered yet")


def test_the_prediction_is_what_a_cluster_does():
    assert [play(order) for order in INTERLEAVINGS] == solutions.RIGHT["values"]
