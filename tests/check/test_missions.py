"""Missions: solutions reach them, what is impossible is not reached, and files are checked."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from kvraft.check.missions import (
    GOALS,
    Judge,
    State,
    find_mission,
    load_mission,
    missions,
    rehearse,
)
from kvraft.check.missions.mission import play
from kvraft.errors import BadInput, Busy, TimedOut
from kvraft.sim import MILLISECOND, VERBS, Run
from tests.helpers.random_runs import CALM, arguments

ALL = missions()
REACHABLE = [name for name, mission in ALL.items() if mission.solution]
IMPOSSIBLE = [name for name, mission in ALL.items() if mission.impossible]
RULE_OFF = [name for name, mission in ALL.items() if mission.rule_off]

GOOD = """
title = "Two leaders at once"
goal = "Have two members believe at the same time that they lead."
lesson = "01"
members = 3
seed = 1
setup = [[0, "timeout", "n1"]]
begins = 500
reached = "leaders_at_once 2"
hints = ["Who would tell the old leader?"]
best = 1
solution = [[500_000, "partition", [["n1"]]]]
"""


def test_there_are_missions_for_the_lessons():
    assert len(ALL) >= 12
    assert {mission.lesson for mission in ALL.values()} >= {
        *("00", "01", "02", "03", "05", "09", "10", "12", "13")
    }
    assert all(len(mission.hints) > 1 for mission in ALL.values() if mission.best != 1)
    assert all(mission.goal.endswith(".") for mission in ALL.values())


@pytest.mark.parametrize("name", REACHABLE)
def test_the_solution_reaches_the_goal_with_its_last_action_and_not_before(name):
    mission = ALL[name]
    verdict = rehearse(mission)
    assert (verdict.state, verdict.actions) == (State.REACHED, mission.best)
    judge, run = Judge(mission), mission.begin()
    play(run, mission.solution[:-1])
    run.run_to(mission.solution[-1].at)
    assert judge.verdict(run).state is State.OPEN


@pytest.mark.parametrize("name", RULE_OFF)
def test_with_the_rule_on_the_same_actions_reach_nothing(name):
    mission = replace(ALL[name], rule_off=None, millis=3_000)
    with pytest.raises(BadInput):
        rehearse(mission)


def attacked(mission, seed: int) -> Run:
    """Return a run of a mission after random actions, as many as it allows."""
    random, run = Random(f"{mission.name}/{seed}"), mission.begin()
    verbs = [name for name in VERBS if name not in mission.without]
    for _ in range(mission.actions):
        name = random.choice(CALM if random.random() < 0.3 else verbs)
        given = arguments(random, run, VERBS[name])
        if not run.refusal(name, *given):
            with suppress(BadInput, Busy):
                run.act(name, *given)
        with suppress(TimedOut):
            run.step() if random.random() < 0.3 else run.run_for(random.choice((1, 7, 40, 300)))
    return run


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_is_impossible_is_not_reached_and_ends_with_the_rule(name):
    mission = ALL[name]
    for seed in range(6):
        judge, run = Judge(mission), attacked(mission, seed)
        assert judge.verdict(run).step < 0, run.actions
        judge.give_up()
        verdict = judge.verdict(run)
        assert verdict.state is State.IMPOSSIBLE
        assert mission.impossible in verdict.words


def test_a_fork_is_judged_by_its_own_history_however_often_one_looks():
    mission = find_mission("dropped-entry")
    judge, run = Judge(mission), mission.begin()
    play(run, mission.solution)
    before = run.fork(at=mission.solution[-1].at - 1)
    for _ in range(60):
        run.run_for(20)
        judge.verdict(run)
    verdict = judge.verdict(run)
    assert verdict.state is State.REACHED
    assert verdict == Judge(mission).verdict(run) == Judge(mission).verdict(run.fork())
    assert judge.verdict(before)[:2] == (State.OPEN, 2)
    just_before = run.fork(at=run.trace[verdict.step].at - 1)
    assert judge.verdict(just_before).state is State.OPEN
    assert judge.verdict(mission.replay(run.to_text(), "run")) == verdict


def test_a_run_that_leaves_the_mission_does_not_count():
    mission = find_mission("lost-write")
    judge, run = Judge(mission), mission.begin()
    early = run.fork(at=200_000)
    early.act("crash", "n1")
    assert judge.verdict(early).state is State.VOID
    run.act("crash", "n1")
    run.act("wipe", "n1")
    assert "wipe" in judge.refusal("wipe")
    assert "wipe" in judge.verdict(run).words


def test_it_ends_after_the_actions_or_the_time_that_it_states():
    mission = replace(find_mission("two-leaders"), actions=2)
    judge, late, busy = Judge(mission), mission.begin(), mission.begin()
    late.run_to((mission.begins + mission.millis) * MILLISECOND + 1)
    assert judge.verdict(late).state is State.OVER
    for name in ("ann", "bob", "eve"):
        assert judge.verdict(busy).state is State.OPEN
        busy.act("put", name, "k", "v")
    assert judge.verdict(busy).state is State.OVER


def test_hints_come_one_by_one():
    mission = find_mission("two-leaders")
    judge = Judge(mission)
    assert [judge.hint() for _ in mission.hints] == list(mission.hints) == judge.hints
    with pytest.raises(BadInput, match="no more hints"):
        judge.hint()


def test_each_goal_has_a_sentence_with_its_arguments():
    values = {"member": "n2", "number": "7", "light": "log matching", "pin": "tree"}
    for goal in GOALS.values():
        words = goal.sentence.format(*(values[kind] for kind in goal.parameters))
        assert all(values[kind] in words for kind in goal.parameters)


def wrong(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (wrong('"Two leaders at once"', "Two"), r"mine\.toml: not TOML: .*line 2"),
        (wrong('title = "Two leaders at once"\n', ""), "the field 'title' is missing"),
        (wrong("seed = 1", "seed = true"), "the field 'seed' must be a whole number, not True"),
        (wrong("seed = 1", "seed = 1\nname = 3"), "there is no field 'name'"),
        (wrong("members = 3", "members = 0"), "the field 'members' must be at least 1"),
        (wrong("leaders_at_once 2", "leaders 2"), "'reached': there is no goal 'leaders'"),
        (wrong("leaders_at_once 2", "leaders_at_once"), "takes <number>, not 'nothing'"),
        (wrong("leaders_at_once 2", "leaders_at_once two"), "whole numbers, not 'two'"),
        (wrong("leaders_at_once 2", "leads n7"), "there is no member called 'n7': n1, n2, n3"),
        (wrong("leaders_at_once 2", ""), "a goal is a name and its arguments"),
        (
            wrong('[0, "timeout", "n1"]', '[0, "time"]'),
            "'setup', action 1: there is no verb 'time'",
        ),
        (wrong('[0, "timeout", "n1"]', '["n1"]'), "'setup', action 1: an action is a list"),
        (wrong("begins = 500", "begins = -1"), "the field 'begins' must be at least 0"),
        (wrong("best = 1", "best = 2"), "the field 'best' is 2, and the solution has 1"),
        (wrong("500_000", "400_000"), "'solution' begins before the mission does"),
        (wrong("best = 1", "options = {speed = 1}\nbest = 1"), "'options': there is no option"),
        (wrong("best = 1", 'rule_off = "x"\nbest = 1'), "'rule_off': there is no planted bug 'x'"),
        (wrong("best = 1", 'without = ["fly"]\nbest = 1'), "'without': there is no verb 'fly'"),
        (wrong("best = 1", 'impossible = "no"\nbest = 1'), "'solution' or the field 'impossible'"),
        (wrong("best = 1", "millis = 600_000\nbest = 1"), "a run can last 600 s"),
        (wrong('"Who would tell the old leader?"', "1"), "'hints' must be a list of texts"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(tmp_path, text, words):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words) as caught:
        load_mission(file)
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (wrong('[0, "timeout", "n1"]', '[0, "timeout", "n9"]'), "no member called n9"),
        (wrong("leaders_at_once 2", "leads n1"), "reached before anybody acts"),
        (wrong('"partition", [["n1"]]', '"put", "ann", "k", "v"'), "does not reach the goal"),
        (
            wrong("best = 1", "best = 2").replace('[["n1"]]]]', '[["n1"]]], [900_000, "heal"]]'),
            "with 1 action, so the others are not needed",
        ),
    ],
)
def test_a_rehearsal_finds_what_a_file_alone_does_not_show(tmp_path, text, words):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words):
        rehearse(load_mission(file))


def test_what_is_no_mission_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        load_mission(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="text in UTF-8"):
        load_mission(tmp_path / "bytes.toml")
    with pytest.raises(BadInput, match="there is no mission 'x': write-one-down, "):
        find_mission("x")
