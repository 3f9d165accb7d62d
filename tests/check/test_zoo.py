"""The zoo: each planted bug is found by the run that is stored for it, which is clean without it.

``test_seeds.py`` runs the seeds of the hunt without a bug.
"""

import copy
import json
from collections import Counter
from types import SimpleNamespace

import pytest

from kvraft.check import Property, Violation
from kvraft.check.bugs import (
    BUGS,
    FOUND,
    LUCKY,
    USUAL,
    Finding,
    catalogue,
    consensus_bug,
    find_bug,
    load_findings,
    save_findings,
)
from kvraft.check.explore import NO_TIME, ExplorationBounds, explore
from kvraft.check.history import NotLinearizable, Verdict
from kvraft.check.sweep import (
    RUNS,
    SwarmResult,
    SwarmSettings,
    broken_by,
    find_run,
    hunt_bug,
    judge_record,
    what_breaks,
)
from kvraft.check.sweep import zoo as hunting
from kvraft.cli import main
from kvraft.client import Client
from kvraft.errors import BadInput, Corruption
from kvraft.raft import Raft
from kvraft.replica import Replica
from kvraft.sim import Cluster, Run

ZOO = catalogue()
CAUGHT = [name for name, each in ZOO.items() if each.found]
SMALL = [name for name in CAUGHT if ZOO[name].found.actions is not None]
VOTES_TWICE = find_run("zoo/votes_twice")


# ── what is written of each ─────────────────────────────────────────────────────────────────────


def test_there_are_many_and_from_every_place():
    assert len(CAUGHT) >= 60
    places = [each.bug.place for each in ZOO.values()]
    for place in places:
        assert places.count(place) >= 4, place


@pytest.mark.parametrize("name", ZOO)
def test_each_has_a_story_and_says_where_it_was_seen(name):
    each = ZOO[name]
    assert 60 < len(each.story) < 400
    assert each.story.endswith(".")
    assert each.seen
    assert len(each.rule) < 100
    usual = {Raft, Replica, Client}
    kinds = {each.bug.consensus, each.bug.replica, each.bug.client}
    assert kinds - usual == {each.bug.planted}
    assert each.bug.planted.__module__ == f"kvraft.check.bugs.{each.bug.place}"


def test_the_catalogue_has_no_entry_without_a_bug():
    told = (FOUND.parent / "zoo.toml").read_text(encoding="utf-8")
    assert [line[2:-2] for line in told.splitlines() if line.startswith("[")] == list(BUGS)
    assert list(load_findings(FOUND)) == CAUGHT


def test_what_no_run_has_found_says_what_it_would_take():
    for name, each in ZOO.items():
        assert each.found or each.luck, name
        if each.found:
            assert each.found.seed <= each.within, name


# ── what finds each ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CAUGHT)
def test_the_run_of_the_hunt_fails_for_the_right_property(name):
    each = ZOO[name]
    assert what_breaks(SwarmSettings(bug=name), each.found.seed) == each.found.property, name


@pytest.mark.parametrize("name", SMALL)
def test_the_stored_run_fails_with_its_bug_and_only_with_it(name):
    each = ZOO[name]
    record = find_run(each.run)
    assert len(record.actions) == each.found.actions
    assert not record.footprint.digest
    assert judge_record(record, each.bug).broken == each.found.property
    assert judge_record(record).broken == ""


def test_no_run_is_stored_of_what_is_not_in_the_zoo():
    stored = {f"zoo/{path.stem}" for path in (RUNS / "zoo").iterdir()}
    assert stored == {ZOO[name].run for name in SMALL}


@pytest.mark.parametrize("name", ["late answers taken", "retries under new ids"])
def test_a_client_that_confuses_answers_or_names_is_found_within_ten_runs(name):
    """On the swarm as it is, whatever it draws: not on one stored seed."""
    assert any(what_breaks(SwarmSettings(bug=name), seed) for seed in range(1, 11))


@pytest.mark.parametrize("name", [name for name, each in ZOO.items() if each.explored])
def test_what_no_run_can_show_is_found_by_the_explorer(name):
    bounds, consensus = ExplorationBounds(**ZOO[name].explored), consensus_bug(name)
    found = explore(Cluster(3, options=NO_TIME, consensus=consensus), bounds).violation
    assert found is not None
    assert found.property in tuple(Property)
    sound = explore(Cluster(3, options=NO_TIME), bounds, limit=3_000)
    assert sound.violation is None


@pytest.mark.parametrize("name", [name for name, each in ZOO.items() if each.bug.place == "log"])
def test_a_run_with_a_planted_bug_can_be_copied(name):
    world = Run(3, replica=find_bug(name).replica).world
    assert copy.deepcopy(world).members == world.members


# ── the hunt ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def runs(monkeypatch):
    """Runs that find something from the given seed on, instead of real ones."""
    asked = []

    def fake(settings, seed):
        asked.append((seed, settings))
        return "one vote a term" if seed >= 4 else ""

    small = SimpleNamespace(broken="one vote a term", record=VOTES_TWICE)
    result = SwarmResult(4, "", Counter(), run_file=VOTES_TWICE.to_text())
    monkeypatch.setattr(hunting, "what_breaks", fake)
    monkeypatch.setattr(hunting, "run_seed", lambda seed, settings: result)
    monkeypatch.setattr(hunting, "shrink_record", lambda record, bug, budget: small)
    return asked


def test_a_hunt_ends_with_the_first_finding(runs):
    hunted = hunt_bug("votes twice", range(1, 10))
    assert hunted == ("votes twice", Finding("one vote a term", 4), "")
    assert [seed for seed, _ in runs] == [1, 2, 3, 4]
    assert {settings for _, settings in runs} == {SwarmSettings(bug="votes twice")}
    assert hunt_bug("votes twice", range(1, 4)).finding is None


def test_a_finding_is_made_small_when_that_is_asked_for(runs):
    hunted = hunt_bug("votes twice", range(1, 10), shrinks=True)
    assert hunted.finding == Finding("one vote a term", 4, len(VOTES_TWICE.actions))
    assert hunted.run_file == VOTES_TWICE.to_text()


def test_what_was_found_has_the_name_of_what_broke():
    assert broken_by(Violation("fresh reads", (), "the answer: old")) == "fresh reads"
    assert broken_by(NotLinearizable(Verdict((), None))) == "linearizability"
    assert broken_by(Corruption("07.sst", 0, "damaged")) == "Corruption"


def test_findings_are_stored_in_the_order_of_the_zoo(tmp_path):
    file = tmp_path / "found.json"
    assert load_findings(file) == {}
    found = {"stamps tie": Finding("x", 3, 5), "votes twice": Finding("y", 1, 0)}
    save_findings(file, found)
    assert list(load_findings(file).items()) == list(reversed(found.items()))
    for wrong in ("", "[1]", '{"votes twice": {"seed": 1}}', '{"gremlin": 1}'):
        file.write_text(wrong)
        with pytest.raises(BadInput):
            load_findings(file)


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_the_command_lists_all_and_tells_of_one(capsys):
    assert main(["zoo"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}: {each.rule}\n" in said for name, each in ZOO.items())
    others = sum(not each.found and each.elsewhere for each in ZOO.values())
    assert f"{len(ZOO)} bugs: {len(CAUGHT)} found by the swarm, {others} elsewhere" in said
    assert main(["zoo", "votes", "twice"]) == 0
    said = capsys.readouterr().out
    each = ZOO["votes twice"]
    assert all(part in said for part in (each.story, *each.seen, each.command))
    assert "kvraft play votes_twice" in said
    assert 'kvraft play zoo/votes_twice --bug "votes twice"' in said
    assert main(["play", "zoo/votes_twice", "--bug", "votes twice"]) == 1
    assert "“one vote a term” breaks at step" in capsys.readouterr().out
    assert main(["zoo", "votes thrice"]) == 2
    assert "is it 'votes twice'" in capsys.readouterr().err


def test_the_command_hunts_and_stores_what_it_finds(runs, capsys, tmp_path):
    file, here = tmp_path / "mine.json", ["--jobs", "1", "--run-files", str(tmp_path)]
    hunt = ["zoo", *here, "--json", str(file), "--hunt", "votes twice", "stamps tie"]
    assert main(hunt) == 0
    actions = len(VOTES_TWICE.actions)
    found = f"found by “one vote a term” in run 4, with {actions} actions when made small"
    assert f"votes twice: {found}" in capsys.readouterr().out
    stored = {"property": "one vote a term", "seed": 4, "actions": actions}
    assert json.loads(file.read_text())["stamps tie"] == stored
    assert (tmp_path / "zoo" / "stamps_tie.jsonl").read_text() == VOTES_TWICE.to_text()
    again = ["zoo", "--jobs", "1", "--json", str(file), "--hunt", "stamps tie"]
    assert main(again) == 0, "what was made small stays so"
    assert json.loads(file.read_text())["stamps tie"] == stored
    assert main([*hunt[:-1], "--runs", "3"]) == 1
    assert "votes twice: not found in 3 runs" in capsys.readouterr().out
    assert list(load_findings(file)) == ["stamps tie"]
    assert main(["zoo", "--hunt", "gremlin"]) == 2
    assert main(["zoo", "--json", str(file)]) == main(["zoo", *here]) == 2
    file.write_text("nonsense")
    assert main(hunt) == 2
    assert "does not hold what a hunt has found" in capsys.readouterr().err


def test_how_long_a_hunt_is_depends_on_luck(runs):
    assert USUAL < LUCKY
    for each in ZOO.values():
        assert each.within == (LUCKY if each.luck else USUAL)
