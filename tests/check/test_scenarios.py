"""The scenarios of data/scenarios: each goes as it says, each planted bug is caught by one."""

import pytest

from kvraft.check import Property, Violation
from kvraft.check.bugs import catalogue
from kvraft.check.scenario import load
from kvraft.check.scenario.scenario import FOLDER, UnmetExpectation, names, parse
from kvraft.check.sweep import run_names
from kvraft.cli import main
from kvraft.errors import BadInput
from kvraft.raft import Raft

ALL = names()
SHOWN = {
    name: (each.bug.consensus, each.scenario) for name, each in catalogue().items() if each.scenario
}
BREAKING = [name for name in ALL if load(name).violation is not None]


def test_the_situations_that_everybody_knows_are_there():
    known = """figure_7 figure_8 figure_8_e figure_8_without_rule split_vote disruptive_server
        stale_read partitioned_leader removed_leader lagging_follower transfer learner"""
    assert set(known.split()) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_it_goes_as_it_says_and_always_the_same_way(name):
    first, second = load(name).play(), load(name).play()
    assert first.cluster.trace.digest() == second.cluster.trace.digest()
    assert (first.violation is None) is (name not in BREAKING)
    assert len(first.stops) == len(load(name).lines)


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_with_the_bug_does_not_break_without(name):
    """The last line of such a scenario expects a violation; the module as it is has none.

    Leases assume something of clocks, which no module can see to.
    """
    if load(name).setup.consensus is Raft:
        assert name == "lease_needs_clocks"
        return
    with pytest.raises((UnmetExpectation, BadInput)) as caught:
        load(name).play(consensus=Raft)
    assert not isinstance(caught.value, Violation)


def test_the_zoo_names_the_scenario_that_shows_a_bug():
    breaking = {load(name).setup.consensus for name in BREAKING} - {Raft}
    assert breaking == {kind for kind, _ in SHOWN.values()}
    for kind, name in SHOWN.values():
        assert name in BREAKING
        assert load(name).setup.consensus is kind


@pytest.mark.parametrize("bug", SHOWN)
def test_a_bug_with_a_scenario_fails_a_scenario_that_was_not_made_for_it_or_breaks_only_safety(bug):
    """A sound scenario says what every member should do: a bug that changes it does not pass."""
    failed = []
    for name in ALL:
        if name in BREAKING:
            continue
        try:
            load(name).play(consensus=SHOWN[bug][0])
        except (UnmetExpectation, BadInput, Violation):
            failed.append(name)
    assert failed


# ── the language ────────────────────────────────────────────────────────────────────────────────

HEAD = "A title\nmembers s1 s2 s3\noptions pre_vote=no\n"

WRONG = {
    "": "line 1: a scenario begins with its title",
    "# prose\n": "line 1: a scenario begins with its title",
    "A title\nmembers s1\n": "this scenario has no steps",
    "A title\ntimeout s1\n": "line 2: the members must be named before",
    HEAD + "timeout\n": "line 4: a member is missing",
    HEAD + "timeout s9\n": "line 4: there is no member 's9'",
    HEAD + "timeout s1 s2\n": "line 4: the line should end before 's2'",
    HEAD + "dance s1\n": "line 4: there is no step 'dance': deliver, drop",
    HEAD + "timeout s1\nmembers s1\n": "line 5: 'members' must come before the first step",
    HEAD + "run fast\n": "line 4: a number of ticks should be a whole number, not 'fast'",
    HEAD + "deliver maybe\n": "line 4: 'maybe' does not say which messages",
    HEAD + "deliver Telegram\n": "line 4: 'Telegram' does not say which messages",
    HEAD + "refuse Nothing timeout s1\n": "line 4: there is no error 'Nothing'",
    HEAD + "expect s1 happy\n": "line 4: a member has no 'happy'",
    HEAD + "expect s1 vote s9\n": "line 4: there is no member 's9'",
    HEAD + "violation one lease\n": "line 4: no step before this",
    HEAD + "timeout s1\nviolation murphy\n": "line 5: there is no property 'murphy'",
    HEAD + "timeout s1\nviolation one lease\nheal\n": "line 6: nothing can follow",
    HEAD + "bug gremlin\n": "line 4: there is no planted bug 'gremlin'",
    HEAD + "options speed=3\n": "line 4: ",
    HEAD + "options election_ticks=soon\n": "line 4: ",
    HEAD + "options heartbeat_ticks=0\n": "line 4: ",
    HEAD + "log s1: one\n": "line 4: ",
    HEAD + "log s1: 2 1\n": "line 4: ",
    HEAD + "term s1: 3, veto s2\n": "line 4: ",
    HEAD + "transfer s1 s2\n": "line 4: expected 'to', not 's2'",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_read_is_said_with_its_line(text):
    with pytest.raises(BadInput) as caught:
        parse(text, "mine.txt")
    assert str(caught.value).startswith("mine.txt")
    assert WRONG[text] in str(caught.value)


UNMET = {
    "expect s1 leader": "expected role of s1 to be leader, but it is follower",
    "expect leader s1": "expected the leader to be s1, but it is none",
    "expect s1 follower, term 1": "expected term of s1 to be 1, but it is 0",
    "expect flying RequestVote": "expected this to be in flight",
    "refuse NotLeader timeout s1": "expected this to raise NotLeader",
    "timeout s1\nviolation one lease": "expected a violation of one lease",
}


@pytest.mark.parametrize("text", UNMET)
def test_what_is_not_as_expected_is_said_with_its_line_and_the_state(text):
    with pytest.raises(UnmetExpectation) as caught:
        parse(HEAD + text, "mine.txt").play()
    assert "mine.txt" in str(caught.value)
    assert UNMET[text] in str(caught.value)
    assert "s1 " in str(caught.value).split("\n", 2)[-1], "the state of each member"


def test_a_step_that_cannot_be_done_is_said_with_its_line():
    with pytest.raises(BadInput, match=r"line 4: propose s1 x: .*leader"):
        parse(HEAD + "propose s1 x").play()
    with pytest.raises(BadInput, match=r"line 4: deliver from s1: no such message"):
        parse(HEAD + "deliver from s1").play()


def test_an_unexpected_violation_is_raised_with_its_line():
    text = HEAD + "bug votes twice\ntimeout s1\ntimeout s2\nsettle\n"
    with pytest.raises(
        Violation, match=r"votes for s2 and for s1 in term 1 .*line 7: set"
    ) as caught:
        parse(text).play()
    assert caught.value.property == Property.ONE_VOTE
    but = "unwatched one vote a term\nunwatched nothing goes back\n"
    parse(text.replace("bug", but + "bug") + "violation election safety").play()


def test_its_prose_is_what_stands_before_the_first_step():
    read = parse(HEAD + "# One.\n\n# Two.\ntimeout s1\n# Not this.\n")
    assert (read.title, read.prose) == ("A title", "One. Two.")
    assert [line.number for line in read.lines] == [7]


def test_an_unknown_name_is_answered_with_the_names_that_there_are(tmp_path):
    with pytest.raises(BadInput, match=r"no scenario 'figure_9'.*figure_8_e"):
        load("figure_9")
    mine = tmp_path / "mine.txt"
    mine.write_text(HEAD + "timeout s1\nexpect s1 candidate\n")
    assert load(str(mine)).play().violation is None, "a file of one's own, too"
    assert FOLDER.is_dir()


# ── from the command line ───────────────────────────────────────────────────────────────────────


def test_the_command_lists_them_and_tells_one(capsys):
    assert main(["play"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*ALL, *run_names()]
    assert main(["play", "figure_8_without_rule"]) == 0
    told = capsys.readouterr().out
    events = [line for line in told.splitlines() if line.startswith("    ")]
    assert len(events) == len(load("figure_8_without_rule").play().cluster.trace)
    assert "receives RequestVoteReply 44 from s3" in told
    assert told.splitlines()[-1].startswith("As expected, this breaks leader completeness")


def test_the_command_plants_a_bug_and_says_what_it_breaks(capsys):
    assert main(["play", "election_restriction", "--bug", "any log elected"]) == 1
    told, why = capsys.readouterr()
    assert told.rstrip().endswith("last 2"), "all that happened, to the end"
    assert why.startswith("kvraft: leader completeness: s3 leads term 2 without entry 2 of term 1")
    assert main(["play", "figure_8", "--bug", "gremlin"]) == 2
    assert "there is no planted bug 'gremlin'" in capsys.readouterr().err
    assert main(["play", "nothing.txt"]) == 2
    assert "there is no scenario 'nothing.txt'" in capsys.readouterr().err
