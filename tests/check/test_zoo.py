"""The zoo: each planted bug is found by the run that is stored for it.

``test_seeds.py`` runs the same seeds without a bug.
"""

import copy
import json

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
from kvraft.check.sweep import SwarmSettings, broken_by, hunt_bug
from kvraft.check.sweep import zoo as hunting
from kvraft.cli import main
from kvraft.client import Client
from kvraft.errors import BadInput, Corruption
from kvraft.raft import Raft
from kvraft.replica import Replica
from kvraft.sim import Cluster, Run

ZOO = catalogue()
CAUGHT = [name for name, each in ZOO.items() if each.found]


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
def test_the_stored_run_fails_with_its_bug_for_the_right_property(name):
    each = ZOO[name]
    assert hunt_bug(each.bug, [each.found.seed]) == each.found, each.command


@pytest.mark.parametrize("name", ["late answers taken", "retries under new ids"])
def test_a_client_that_confuses_answers_or_names_is_found_within_ten_runs(name):
    """On the swarm as it is, whatever it draws: not on one stored seed."""
    found = hunt_bug(find_bug(name), range(1, 11))
    assert found is not None


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

    monkeypatch.setattr(hunting, "what_breaks", fake)
    return asked


def test_a_hunt_ends_with_the_first_finding(runs):
    bug = find_bug("votes twice")
    assert hunt_bug(bug, range(1, 10)) == Finding("one vote a term", 4)
    assert [seed for seed, _ in runs] == [1, 2, 3, 4]
    assert {settings for _, settings in runs} == {SwarmSettings(bug="votes twice")}
    assert hunt_bug(bug, range(1, 4)) is None


def test_what_was_found_has_the_name_of_what_broke():
    assert broken_by(Violation("fresh reads", (), "the answer: old")) == "fresh reads"
    assert broken_by(NotLinearizable(Verdict((), None))) == "linearizability"
    assert broken_by(Corruption("07.sst", 0, "damaged")) == "Corruption"


def test_findings_are_stored_in_the_order_of_the_zoo(tmp_path):
    file = tmp_path / "found.json"
    assert load_findings(file) == {}
    found = {"stamps tie": Finding("x", 3), "votes twice": Finding("y", 1)}
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
    assert main(["zoo", "votes thrice"]) == 2
    assert "is it 'votes twice'" in capsys.readouterr().err


def test_the_command_hunts_and_stores_what_it_finds(runs, capsys, tmp_path):
    file = tmp_path / "mine.json"
    hunt = ["zoo", "--json", str(file), "--hunt", "votes twice", "stamps tie"]
    assert main(hunt) == 0
    assert "votes twice: found by “one vote a term” in run 4" in capsys.readouterr().out
    assert json.loads(file.read_text())["stamps tie"] == {"property": "one vote a term", "seed": 4}
    assert main([*hunt[:-1], "--runs", "3"]) == 1
    assert "votes twice: not found in 3 runs" in capsys.readouterr().out
    assert list(load_findings(file)) == ["stamps tie"]
    assert main(["zoo", "--hunt", "gremlin"]) == 2
    assert main(["zoo", "--json", str(file)]) == 2
    file.write_text("nonsense")
    assert main(hunt) == 2
    assert "does not hold what a hunt has found" in capsys.readouterr().err


def test_how_long_a_hunt_is_depends_on_luck(runs):
    assert USUAL < LUCKY
    for each in ZOO.values():
        assert each.within == (LUCKY if each.luck else USUAL)
