"""A sitting at the sandbox: clicks move, act, fork and compare, and nothing from a page raises."""

import json
from html import escape
from random import Random

import pytest

from kvraft.check import scenario
from kvraft.check.bugs import find_bug
from kvraft.check.explore import ExplorationBounds, explore
from kvraft.check.missions import missions
from kvraft.check.properties import Property
from kvraft.check.sweep import SwarmRun, result_of
from kvraft.errors import BadInput
from kvraft.events import Trace
from kvraft.raft import RaftOptions
from kvraft.sim import Cluster, Run
from kvraft.viz.sandbox import USUAL, Session, picture
from kvraft.viz.widgets import Sandbox
from tests.viz.sandbox.runs import random_film


def send(session: Session, act: str, *values: str) -> dict:
    answer = session.take({"act": act, "seq": 7, "values": list(values)})
    assert answer["seq"] == 7
    json.dumps(answer)
    return answer


def number(session: Session, label: str) -> str:
    return f"do {[choice.label for choice in session.offered].index(label)}"


@pytest.fixture
def led() -> Session:
    """A sitting at five members, one of which leads."""
    session = Session(5, seed=3)
    send(session, "hello")
    send(session, "next election")
    send(session, "run 100")
    return session


def test_a_click_acts_on_the_run_and_is_the_same_call_in_python(led):
    leader = led.branch.run.world.leader()
    send(led, f"member {leader}")
    answer = send(led, number(led, f"crash {leader}"))
    assert leader not in led.branch.run.world.replicas
    assert led.calls == [f'run.act("crash", "{leader}")']
    assert "is down" in answer["slots"]["title"]
    assert "does not run" in answer["slots"]["menu"]
    assert not led.notice


def test_what_cannot_be_done_is_grey_and_says_why(led):
    name = next(iter(led.branch.run.world.replicas))
    slot = send(led, f"member {name}")["slots"]["menu"]
    assert 'aria-disabled="true"' in slot
    assert f"{name} runs already" in slot
    send(led, number(led, f"restart {name}"))
    assert f"{name} runs already" in led.notice


def test_a_field_is_an_argument(led):
    send(led, number(led, "put alice"), "sea", "cold")
    assert led.calls == ['run.act("put", "alice", "sea", "cold")']
    send(led, "run 200")
    world = led.branch.run.world
    assert {replica.tree.get(b"sea") for replica in world.replicas.values()} == {b"cold"}


def test_what_can_happen_next_is_offered_and_happens(led):
    while not led.branch.run.world.in_flight:
        send(led, "go on")
    slot = send(led, "hello")["slots"]["menu"]
    assert "What can happen next" in slot
    envelope = led.branch.run.world.in_flight[0]
    send(led, number(led, f"deliver {envelope.id}"))
    assert envelope.id not in [other.id for other in led.branch.run.world.in_flight]
    assert led.calls[-1].startswith(f'run.act("deliver", {envelope.id}')


def test_a_link_is_changed_in_one_direction_and_drawn(led):
    send(led, "link n1 n2")
    answer = send(led, number(led, "cut n2 → n1"))
    assert "what n2 sends does not reach n1" in answer["slots"]["ring"]
    assert "what n2 sends does not reach n1" in answer["slots"]["title"]


def test_an_action_in_the_past_forks_and_the_first_run_is_kept(led):
    run = led.branch.run
    digest, last = run.trace.digest(), led.branch.last
    for _ in range(4):
        send(led, "go back")
    step = led.branch.step
    assert step < last
    send(led, "member n2")
    answer = send(led, number(led, "crash n2"))
    assert led.branch.name == "fork 1"
    assert "from run at" in answer["slots"]["branches"]
    assert run.trace.digest() == digest
    assert "n2" in run.world.replicas
    assert list(led.branch.run.trace)[: step + 1] == list(run.trace)[: step + 1]
    send(led, "branch run")
    assert led.branch.run is run
    assert led.branch.step == step
    answer = send(led, "compare fork 1")
    assert "fork 1" in answer["slots"]["other"]
    assert "data-act" not in answer["slots"]["other"]


def test_only_what_changed_is_sent(led):
    assert set(send(led, "speed fast")["slots"]) == {"time"}
    assert not send(led, "speed fast")["slots"]
    assert set(USUAL) <= set(send(led, "hello")["slots"])


def test_playing_asks_for_the_next_picture_and_any_click_ends_it(led):
    assert send(led, "play on")["play"] > 0
    before = led.branch.last
    assert send(led, "tick")["play"] > 0
    assert led.branch.last > before
    assert send(led, "go back")["play"] == 0
    before = led.branch.step
    send(led, "tick")  # one that was under way
    assert led.branch.step == before


def test_a_jump_runs_on_until_it_is_there(led):
    send(led, number(led, "put alice"), "a", "b")
    commits = len(led.branch.film.moments["commit"])
    send(led, "next commit")
    assert len(led.branch.film.moments["commit"]) > commits
    at = led.branch.step
    send(led, "previous commit")
    assert led.branch.step < at


def test_a_recording_opens_and_has_only_time():
    trace = random_film(3, 1)[0].trace
    session = Session(trace)
    send(session, "hello")
    assert session.branch.step < 20
    send(session, "go last")
    assert session.branch.at_end
    assert "recording" in session.slots()["menu"]
    send(session, "go on")
    assert "end of the recording" in session.notice
    send(session, "do 0")
    assert session.notice


def explored() -> Trace:
    """The trace that an explorer's shortest way to a bug leaves in a cluster."""
    options = RaftOptions(pre_vote=False)
    start = {"consensus": find_bug("votes twice").consensus, "options": options}
    report = explore(Cluster(3, **start), ExplorationBounds(timeouts=2), but=(Property.ONE_VOTE,))
    cluster = Cluster(3, **start)
    assert list(report.play(cluster))
    return cluster.trace


def played() -> Trace:
    return scenario.load("votes_twice").play().cluster.trace


@pytest.mark.parametrize("found", [explored, played])
def test_what_breaks_a_property_opens_where_it_broke(found, tmp_path):
    """From memory, and from a file as well."""
    trace = found()
    with (tmp_path / "trace.jsonl").open("w", encoding="utf-8") as file:
        trace.save(file)
    loaded = Trace.load(tmp_path / "trace.jsonl")
    for each in (trace, loaded):
        session = Session(each)
        assert "is broken" in send(session, "hello")["slots"]["title"]
        first = session.branch.step
        send(session, "go back")
        assert session.branch.step < first
        assert "is broken" not in session.slots()["title"]


def test_what_the_swarm_finds_is_at_the_end_of_its_trace(tmp_path):
    """The swarm sees disks, too, and ends there, before a light could go out."""
    found = result_of(SwarmRun(3, consensus=find_bug("votes twice").consensus, acts=60))
    assert "one vote a term" in found.found
    (tmp_path / "trace.jsonl").write_text(found.trace, encoding="utf-8")
    trace = Trace.load(tmp_path / "trace.jsonl")
    session = Sandbox(trace, step=len(trace) - 1).session
    assert session.branch.at_end
    send(session, "go back")
    assert not session.branch.at_end
    assert "n4" in session.slots()["ring"]


def test_an_empty_recording_is_a_sentence():
    session = Session(Trace())
    for act in ("hello", "go on", "go back", "at 7", "next election", "play on", "tick", "run 5"):
        send(session, act)
    assert "othing has happened" in repr(picture(session))


BAD = [
    *(None, 7, [], {}, {"act": "go on"}, {"act": 3, "seq": 1}, {"act": "go on", "seq": "1"}),
    *({"act": "go on", "seq": True}, {"act": "x" * 500, "seq": 1}),
    *({"act": "go on", "seq": 1, "values": 3}, {"act": "at", "seq": 1, "values": ["x"]}),
    *({"act": act, "seq": 1} for act in ("go", "go home", "member", "member zz", "link n1", "do")),
    *(
        {"act": act, "seq": 1}
        for act in ("do 99", "do -1", "message x", "message 999999", "branch q")
    ),
    *(
        {"act": act, "seq": 1}
        for act in ("__init__", "next", "next war", "speed x", "run x", "run -5")
    ),
]


@pytest.mark.parametrize("message", BAD, ids=repr)
def test_anything_else_from_a_page_is_refused_in_a_sentence(led, message):
    step = led.branch.step
    led.take(message)
    assert led.notice
    assert led.branch.step == step


def test_random_clicks_never_raise_and_leave_replayable_runs():
    random = Random(5)
    session = Session(3, seed=4)
    send(session, "hello")
    acts = ("go on", "go on", "go back", "run 100", "next election", "next commit", "branch run")
    for _ in range(60):
        if random.random() < 0.4 and session.offered:
            send(session, f"do {random.randrange(len(session.offered))}")
        elif random.random() < 0.4:
            send(session, f"member {random.choice(session.branch.run.world.members)}")
        else:
            send(session, random.choice(acts))
    for branch in session.branches.values():
        again = Run.parse(branch.run.to_text())
        assert list(again.trace)[: len(branch.run.trace)] == list(branch.run.trace)


@pytest.mark.parametrize("members", [1, 3, 9])
def test_any_number_of_members_is_a_sitting(members):
    session = Session(members, seed=2)
    send(session, "hello")
    for act in (
        "next election",
        "run 500",
        "member n1",
        "do 0",
        "go back",
        "next flush",
        "link n1 n2",
    ):
        send(session, act)
    assert all(f"n{number}" in session.slots()["ring"] for number in range(1, members + 1))


def test_a_click_on_what_is_gone_is_a_sentence(led):
    while not led.branch.run.world.in_flight:
        send(led, "go on")
    gone = led.branch.run.world.in_flight[0].id
    send(led, f"message {gone}")
    send(led, "run 1000")
    send(led, f"message {gone}")
    assert "message" in led.notice or "message" in led.slots()["menu"]
    for number in range(len(led.offered)):
        json.dumps(send(led, f"do {number}"))


def test_bad_arguments_are_named():
    with pytest.raises(BadInput, match="there is no panel 'rings'"):
        Session(3, panels=("rings",))
    with pytest.raises(BadInput, match="a run, a trace or a number"):
        Session("x")


# ── missions ────────────────────────────────────────────────────────────────────────────────────


def test_a_mission_is_played_to_its_end_by_clicks():
    session = Session(mission="dropped-entry")
    slots = send(session, "hello")["slots"]
    assert "Have n1 drop an entry" in slots["mission"]
    send(session, number(session, "partition"), "n2 n3")
    send(session, number(session, "put alice"), "city", "Oslo")
    assert "2 actions so far" in session.slots()["mission"]
    send(session, "next election")
    send(session, number(session, "heal"))
    send(session, "run 1000")
    verdict = session.verdict()
    assert verdict.state == "reached"
    assert verdict.actions == 3
    assert "Reached with 3 actions: the best known way." in session.slots()["mission"]
    assert session.other is None


def test_a_fork_of_a_mission_is_judged_by_itself():
    session = Session(mission="two-leaders")
    send(session, "hello")
    send(session, "member n1")
    send(session, number(session, "pause n1"))
    send(session, "run 1000")
    assert session.verdict().state == "reached"
    send(session, f"at {session.branch.film.step_at(600_000)}")
    send(session, number(session, "crash n1"))
    assert session.branch.name == "fork 1"
    assert session.verdict().state == "open"
    send(session, "branch run")
    assert session.verdict().state == "reached"


def test_hints_come_one_by_one_and_giving_up_names_the_rule():
    session = Session(mission="two-leaders-one-term")
    mission = session.judge.mission
    assert not any(hint in session.slots()["mission"] for hint in mission.hints)
    for number, hint in enumerate(mission.hints):
        assert f"Hint ({len(mission.hints) - number} left)" in session.slots()["mission"]
        assert escape(hint) in send(session, "hint")["slots"]["mission"]
    send(session, "hint")
    assert session.notice == "there are no more hints"
    assert mission.impossible not in session.slots()["mission"]
    assert mission.impossible in send(session, "give up")["slots"]["mission"]
    send(session, "again")
    assert session.verdict().state == "open"
    assert session.judge.hints == []


def test_the_list_of_missions_begins_another_in_the_same_place():
    session = Session(listing=True)
    assert "Missions" in send(session, "hello")["slots"]["mission"]
    send(session, "hint")
    assert session.notice == "there is no mission yet: choose one"
    listed = send(session, "missions")["slots"]["mission"]
    for name in missions():
        assert f'data-act="mission {name}"' in listed
    send(session, "mission snapshot")
    assert session.branch.run.now == 500_000
    assert "Have n3 take a snapshot." in session.slots()["mission"]
    assert send(session, "mission nothing")["slots"]["notice"].startswith("<div")
    assert session.judge.mission.name == "snapshot"


def test_what_a_mission_leaves_out_is_grey_and_says_so():
    session = Session(mission="lost-write")
    send(session, "member n1")
    wipe = number(session, "wipe n1")
    assert "this mission is one without wipe" in session.slots()["menu"]
    send(session, wipe)
    assert session.notice == "this mission is one without wipe"
    assert session.branch.run.actions == session.judge.mission.setup


def test_giving_up_what_can_be_done_shows_how():
    session = Session(mission="short-log")
    shown = send(session, "give up")["slots"]["mission"]
    for action in session.judge.mission.solution:
        assert escape(action.as_python()) in shown


def test_without_missions_nothing_speaks_of_them():
    session = Session(3)
    assert send(session, "hello")["slots"]["mission"] == ""
    send(session, "mission snapshot")
    assert "nothing called 'mission'" in session.notice
    with pytest.raises(BadInput, match="its own run"):
        Session(5, mission="snapshot")
    with pytest.raises(BadInput, match="there is no mission 'x'"):
        Session(mission="x")
