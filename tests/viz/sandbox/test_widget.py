"""The widget around a sitting: what is stored, and what remains without kernel or anywidget."""

import json
from importlib.resources import files

import pytest

from kvraft.check.missions import missions
from kvraft.errors import BadInput
from kvraft.sim import Run
from kvraft.viz import widgets
from kvraft.viz.widgets import Sandbox
from kvraft.viz.widgets import sandbox as room
from kvraft.viz.widgets.plain import PlainControls


def test_without_a_kernel_words_and_a_picture_remain():
    run = Run(3, seed=1)
    run.run_until(lambda: run.world.leader() is not None)
    bundle = Sandbox(run)._repr_mimebundle_()
    assert "leads term" in bundle["text/plain"]
    assert '<img alt="' in bundle["text/html"]
    assert "data-act" not in bundle["text/html"]
    assert bundle["text/plain"] == Sandbox(run)._repr_mimebundle_()["text/plain"]


def test_no_picture_is_in_the_state_of_the_widget():
    sandbox = Sandbox(3, seed=1)
    state = {k: v for k, v in sandbox.widget.get_state().items() if k not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 2_000


def test_without_anywidget_buttons_do_the_same(monkeypatch):
    monkeypatch.setattr(room, "anywidget", None)
    sandbox = Sandbox(3, seed=1)
    time, picture, things, verbs = sandbox.widget.children
    next(button for button in time.children if button.description == "next election").click()
    assert "leads term" in picture.value
    assert "data-act" not in picture.value
    leader = sandbox.run.world.leader()
    things.value = f"member {leader}"
    crash = next(
        row.children[0]
        for row in verbs.children
        if row.children[0].description == f"crash {leader}"
    )
    crash.click()
    assert leader not in sandbox.run.world.replicas
    assert f"{leader} is down" in picture.value
    grey = [row.children[0] for row in sandbox.widget.children[3].children]
    assert any(button.disabled and "does not run" in button.tooltip for button in grey)


def test_saving_writes_one_page(tmp_path):
    sandbox = Sandbox(3, seed=1, panels=("ring",))
    sandbox.session.take({"act": "next election", "seq": 1})
    sandbox.save(tmp_path / "x.html", captions={5: "here"})
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_run_that_goes_on_in_a_cell_is_followed():
    run = Run(3, seed=1)
    sandbox = Sandbox(run)
    run.run_for(500)
    sandbox.session.take({"act": "go last", "seq": 1})
    assert sandbox.session.branch.step == len(run.trace) - 1


def test_the_room_offers_it():
    assert "Sandbox" in widgets.__all__
    assert PlainControls is not None


@pytest.mark.parametrize("what", ["x", b"x", 2.5])
def test_what_cannot_be_opened_is_refused(what):
    with pytest.raises(Exception, match="a sandbox opens"):
        Sandbox(what)


def test_a_mission_opens_in_a_cell_with_its_goal_in_words():
    sandbox = Sandbox(mission="short-log")
    assert "Elect n3" in repr(sandbox)
    assert sandbox.run.now == 500_000
    assert "Elect n3" in sandbox.session.slots()["mission"]


def test_a_mission_is_played_without_anywidget_too(monkeypatch):
    monkeypatch.setattr(room, "anywidget", None)
    sandbox = Sandbox(mission="leader-without-vote")
    time, picture, _, verbs, listed = sandbox.widget.children
    buttons = {button.description: button for button in time.children}
    buttons["hint"].click()
    assert sandbox.session.judge.mission.hints[0] in picture.value
    change = next(row for row in verbs.children if row.children[0].description == "change")
    change.children[1].value = "n2 n3"
    change.children[0].click()
    buttons["+100 ms"].click()
    assert "Reached with 1 action" in picture.value
    buttons["begin again"].click()
    assert "0 actions so far" in picture.value
    assert {name for _, name in listed.options} == {"", *missions()}
    listed.value = "snapshot"
    assert "Have n3 take a snapshot" in picture.value
    assert "data-act" not in picture.value


def test_a_mission_of_ones_own_is_opened_from_its_file(tmp_path):
    own = files("kvraft.check.missions").joinpath("files", "short-log.toml").read_text()
    (tmp_path / "mine.toml").write_text(own.replace("Elect n3", "Have n3 win"))
    assert "Have n3 win" in repr(Sandbox(mission=tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(own.replace("seed = 1", "seed = 'x'"))
    with pytest.raises(BadInput, match=r"mine\.toml: the field 'seed' must be a whole number"):
        Sandbox(mission=tmp_path / "mine.toml")


def test_a_recording_opens_at_a_step():
    run = Run(3, seed=1)
    run.run_until(lambda: run.world.leader() is not None)
    step = len(run.trace) // 2
    assert "no member leads" in repr(Sandbox(run.trace, step=step)).lower()
    assert "leads term" in repr(Sandbox(run.trace, step=10**6))
    with pytest.raises(BadInput, match="the step to show"):
        Sandbox(run.trace, step=-1)
