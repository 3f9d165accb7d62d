"""The zoo: each planted bug is found as soon as is said, and by the run that is stored for it.

That run is clean without the bug.  ``test_seeds.py`` runs the seeds of the hunt without one.
"""

import copy
import json
from collections import Counter
from types import SimpleNamespace

import pytest

from kvraft.check import Violation, scenario
from kvraft.check import zoo as hunting
from kvraft.check.bugs import (
    BUGS,
    FOUND,
    LUCKY,
    USUAL,
    Finder,
    Finding,
    catalogue,
    find_bug,
    load_findings,
    save_findings,
)
from kvraft.check.explore import NO_TIME, ExplorationBounds, explore
from kvraft.check.history import NotLinearizable, Verdict
from kvraft.check.scenario import UnmetExpectation
from kvraft.check.sweep import (
    RUNS,
    SwarmResult,
    SwarmSettings,
    broken_by,
    find_run,
    judge_record,
    scenario_file,
    what_breaks,
)
from kvraft.check.trial import RUNS as TRIAL_RUNS
from kvraft.check.trial import first_broken, judge_consensus
from kvraft.check.zoo import hunt_bug
from kvraft.cli import main
from kvraft.client import Client
from kvraft.errors import BadInput, Corruption
from kvraft.raft import Raft
from kvraft.replica import Replica
from kvraft.sim import Cluster, Run

ZOO = catalogue()
CAUGHT = [name for name, each in ZOO.items() if each.found]
BY = {by: [name for name in CAUGHT if ZOO[name].found.by is by] for by in Finder}
SMALL = [*BY[Finder.SWARM], *BY[Finder.SCRIPT]]
"""Those that a run of a few actions shows, each of them."""
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


def test_each_is_found_and_where_the_swarm_finds_it_so_soon():
    assert list(ZOO) == CAUGHT
    for name, each in ZOO.items():
        most = {Finder.SWARM: each.within, Finder.TRIAL: TRIAL_RUNS}
        assert each.found.seed <= most.get(each.found.by, each.found.seed), name
        assert each.luck or each.found.by is Finder.SWARM, "what would it take in the swarm?"


# ── what finds each ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BY[Finder.SWARM])
def test_the_run_of_the_hunt_fails_for_the_right_property(name):
    found = ZOO[name].found
    assert what_breaks(SwarmSettings(bug=name), found.seed) == found.property, name


@pytest.mark.parametrize("name", BY[Finder.TRIAL])
def test_a_trial_finds_it_in_that_run_and_a_short_way_to_it(name):
    each = ZOO[name]
    verdict = first_broken(each.bug.consensus, shrinking=0)
    assert (verdict.name, verdict.run) == (each.found.property, each.found.seed)
    stored = scenario.load(scenario_file(each.run))
    assert len(stored.lines) == each.found.actions
    played = stored.play(consensus=each.bug.consensus)
    assert played.violation.property == each.found.property
    with pytest.raises((UnmetExpectation, BadInput)):
        stored.play()


def test_the_runs_of_these_trials_are_clean_without_a_bug():
    most = max(ZOO[name].found.seed for name in BY[Finder.TRIAL])
    assert judge_consensus(Raft, runs=most).broken == []
    assert first_broken(Raft, runs=3) is None


@pytest.mark.parametrize("name", SMALL)
def test_the_stored_run_fails_with_its_bug_and_only_with_it(name):
    each = ZOO[name]
    record = find_run(each.run)
    assert len(record.actions) == each.found.actions < 30
    assert not record.footprint.digest
    assert judge_record(record, each.bug).broken == (each.found.small or each.found.property)
    assert judge_record(record).broken == ""


def test_no_run_is_stored_of_what_is_not_in_the_zoo():
    stored = {f"zoo/{path.name}" for path in (RUNS / "zoo").iterdir()}
    runs = {f"{ZOO[name].run}.jsonl" for name in SMALL}
    assert stored == runs | {f"{ZOO[name].run}.txt" for name in BY[Finder.TRIAL]}


@pytest.mark.parametrize("name", ["late answers taken", "retries under new ids"])
def test_a_client_that_confuses_answers_or_names_is_found_within_ten_runs(name):
    """On the swarm as it is, whatever it draws: not on one stored seed."""
    assert any(what_breaks(SwarmSettings(bug=name), seed) for seed in range(1, 11))


def test_what_no_run_can_show_is_found_by_the_explorer():
    assert BY[Finder.EXPLORER] == [name for name, each in ZOO.items() if each.explored]
    for name in BY[Finder.EXPLORER]:
        assert hunt_bug(name, ()).finding == ZOO[name].found
        bounds = ExplorationBounds(**ZOO[name].explored)
        assert explore(Cluster(3, options=NO_TIME), bounds, limit=3_000).violation is None


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
    monkeypatch.setattr(hunting, "judge_record", lambda record, bug: small)
    monkeypatch.setattr(hunting, "shrink_record", lambda record, bug, budget: small)
    return asked


def test_a_hunt_ends_with_the_first_finding(runs):
    hunted = hunt_bug("votes twice", range(1, 10))
    assert hunted == ("votes twice", Finding("one vote a term", 4), "")
    assert [seed for seed, _ in runs] == [1, 2, 3, 4]
    assert {settings for _, settings in runs} == {SwarmSettings(bug="votes twice")}
    assert hunt_bug("stamps tie", range(1, 4)).finding is None


def test_what_the_swarm_does_not_find_is_put_on_trial_if_it_is_in_consensus():
    name = "old votes counted"
    hunted = hunt_bug(name, ())
    assert hunted.finding == ZOO[name].found._replace(actions=None)
    hunted = hunt_bug(name, (), shrinks=True)
    assert hunted.finding == ZOO[name].found
    assert f"{RUNS / hunted.file}" == scenario_file(ZOO[name].run)
    assert (RUNS / hunted.file).read_text(encoding="utf-8") == hunted.text


def test_a_finding_is_made_small_when_that_is_asked_for(runs):
    hunted = hunt_bug("votes twice", range(1, 10), shrinks=True)
    assert hunted.finding == Finding("one vote a term", 4, len(VOTES_TWICE.actions))
    assert hunted.text == VOTES_TWICE.to_text()


def test_what_breaks_in_a_run_made_small_may_be_something_else(runs, monkeypatch):
    other = SimpleNamespace(broken="one state machine", record=VOTES_TWICE)
    monkeypatch.setattr(hunting, "judge_record", lambda record, bug: other)
    found = hunt_bug("votes twice", range(1, 10), shrinks=True).finding
    assert found.small == "one state machine"
    assert found.in_words().endswith("known run has 0 actions, and breaks “one state machine”")
    other.broken = ""
    assert hunt_bug("votes twice", range(1, 10), shrinks=True).finding.actions is None


def test_what_was_found_has_the_name_of_what_broke():
    assert broken_by(Violation("fresh reads", (), "the answer: old")) == "fresh reads"
    assert broken_by(NotLinearizable(Verdict((), None))) == "linearizability"
    assert broken_by(Corruption("07.sst", 0, "damaged")) == "Corruption"


def test_findings_are_stored_in_the_order_of_the_zoo(tmp_path):
    file = tmp_path / "found.json"
    assert load_findings(file) == {}
    found = {"stamps tie": Finding("x", 3, 5), "votes twice": Finding("y", 1, 0, Finder.TRIAL)}
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
    assert f"{len(ZOO)} bugs: {len(BY[Finder.SWARM])} found by the swarm, " in said
    assert f"{len(BY[Finder.TRIAL])} in a trial, 1 by the explorer, 1 shown by a run" in said
    assert "no run has found it" not in said
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
    found = f"found by “one vote a term” in run 4; its shortest known run has {actions} actions"
    assert f"votes twice: {found}" in capsys.readouterr().out
    stored = {"property": "one vote a term", "seed": 4, "actions": actions}
    assert json.loads(file.read_text())["stamps tie"] == stored
    assert (tmp_path / "zoo" / "stamps_tie.jsonl").read_text() == VOTES_TWICE.to_text()
    again = ["zoo", "--jobs", "1", "--json", str(file), "--hunt", "stamps tie"]
    assert main(again) == 0, "what was made small stays so"
    assert json.loads(file.read_text())["stamps tie"] == stored
    assert main([*hunt[:-2], "stamps tie", "--runs", "3"]) == 1
    assert "stamps tie: not found in 3 runs" in capsys.readouterr().out
    assert list(load_findings(file)) == ["votes twice"]
    assert main(["zoo", "--hunt", "gremlin"]) == 2
    assert main(["zoo", "--json", str(file)]) == main(["zoo", *here]) == 2
    file.write_text("nonsense")
    assert main(hunt) == 2
    assert "does not hold what a hunt has found" in capsys.readouterr().err


def test_the_command_tells_who_else_finds_a_bug(capsys):
    for name, words in {
        "old votes counted": "kvraft check kvraft.check.bugs.elections:OldVotesCounted --runs",
        "counts unsaved": 'kvraft zoo --hunt "counts unsaved"',
        "failed sync retried": 'kvraft play zoo/failed_sync_retried --bug "failed sync retried"',
    }.items():
        assert main(["zoo", *name.split()]) == 0
        said = capsys.readouterr().out
        assert said.count(words) == 1
        assert ("Its shortest known run" in said) is (ZOO[name].found.actions is not None)
    assert main(["play", "zoo/old_votes_counted", "--bug", "old votes counted"]) == 0
    assert "As expected, this breaks election safety" in capsys.readouterr().out


@pytest.mark.parametrize(("known", "kept"), [(2, 2), (4, 3), (None, 3)])
def test_a_run_made_small_replaces_no_shorter_one(runs, monkeypatch, tmp_path, known, kept):
    small = SimpleNamespace(broken="one vote a term", record=find_run("zoo/longer_log_elected"))
    monkeypatch.setattr(hunting, "shrink_record", lambda record, bug, budget: small)
    file, name = tmp_path / "mine.json", "votes twice"
    save_findings(file, {name: Finding("one vote a term", 5, known)})
    hunt = ["zoo", "--jobs", "1", "--run-files", str(tmp_path), "--json", str(file)]
    assert main([*hunt, "--hunt", name]) == 0
    assert load_findings(file) == {name: Finding("one vote a term", 4, kept)}
    assert (tmp_path / "zoo" / "votes_twice.jsonl").exists() is (kept == 3)


def test_a_hunt_keeps_a_run_that_was_written(runs, tmp_path):
    file, name = tmp_path / "mine.json", "failed sync retried"
    before = {name: ZOO[name].found}
    save_findings(file, before)
    assert main(["zoo", "--jobs", "1", "--json", str(file), "--runs", "1", "--hunt", name]) == 1
    assert load_findings(file) == before


def test_how_long_a_hunt_is_depends_on_luck(runs):
    assert USUAL < LUCKY
    for each in ZOO.values():
        assert each.within == (LUCKY if each.luck else USUAL)
