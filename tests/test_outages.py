"""A write whose leader dies at every step, clocks that differ, and the exercises of lesson 10."""

import pytest

from kvraft.check.planted_storage import AppliesRetries, StampsNotRaised
from kvraft.errors import BadInput
from kvraft.events import TicketMoved
from kvraft.exercises.clients import check_raised, check_verdict
from kvraft.sim.outages import lost_updates, outage, pauses, steps_of_a_write
from kvraft.transaction import Stage
from kvraft.viz.clients import OutageSlider, plot_lost_updates, plot_outages, plot_pauses, told
from kvraft.viz.picture import title_of
from tests.solutions import s10_clients as solutions

STEPS = range(steps_of_a_write() + 1)


@pytest.fixture(scope="module")
def hurried():
    return [outage(step, patience=60) for step in STEPS]


@pytest.fixture(scope="module")
def patient():
    return [outage(step) for step in STEPS]


def test_a_client_in_a_hurry_never_says_what_it_cannot_know(hurried):
    assert {run.effects for run in hurried if run.says is Stage.UNKNOWN} == {0, 1}
    assert all(run.effects == 1 for run in hurried if run.says is Stage.APPLIED)
    assert all(run.effects == 0 for run in hurried if run.says is Stage.ABORTED)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_patient_one_gets_each_write_carried_out_once(seed):
    for step in range(steps_of_a_write(seed) + 1):
        run = outage(step, seed=seed)
        assert (run.says, run.effects) == (Stage.APPLIED, 1)


def test_without_sessions_some_are_carried_out_twice():
    assert 2 in {outage(step, replica=AppliesRetries).effects for step in STEPS}


def test_an_outage_is_the_same_each_time_and_told_from_its_sending_on(patient):
    again = outage(6)
    assert again.trace.digest() == patient[6].trace.digest()
    assert isinstance(again.trace[again.first].event, TicketMoved)
    lines = told(again)
    assert "ann#2 is SENT" in lines[0]
    assert any("crashed" in line for line in lines)
    with pytest.raises(BadInput, match="cannot die -1 steps"):
        outage(-1)


def test_pauses_grow_up_to_a_bound():
    found = pauses(8)
    assert len(found) == 8
    assert found[0] < found[1] < found[2] < found[3]
    assert max(found) < 1_820


def test_clocks_lose_writes_only_where_stamps_are_taken_as_they_come():
    assert lost_updates(300, rounds=4) == 0
    assert lost_updates(300, rounds=4, replica=StampsNotRaised) == 4
    assert lost_updates(-300, rounds=4) == 0


def test_figures_are_titled_by_what_they_show(hurried, patient):
    count = sum(run.effects for run in hurried if run.says is Stage.UNKNOWN)
    assert f"{count} were carried out" in title_of(plot_outages({"a": hurried}))
    assert "each exactly once" in title_of(plot_outages({"a": patient}))
    assert "Pauses double from 7 ms" in title_of(plot_pauses([7, 14, 20]))
    figure = plot_lost_updates({"x": {0: 0, 10: 3}, "y": {0: 0, 10: 0}}, 8)
    assert title_of(figure) == "x: up to 3 lost; y: up to 0 lost"


def test_the_slider_shows_the_outage_that_it_is_set_to(hurried):
    slider = OutageSlider(hurried, start=2)
    assert "dies 2 steps after" in repr(slider)
    before = slider.svg()
    slider.slider.value = 6
    assert slider.shown.step == 6
    assert "carried out once" in slider.words()
    assert slider.svg() != before
    assert "crashes" in slider._picture.value


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (solutions.silence_is_failure, "may still take effect"),
        (solutions.always_unknown, "certainly did not happen"),
        (solutions.only_the_last, "may still take effect"),
        (lambda copies: "FAILED", "say APPLIED, ABORTED or UNKNOWN"),
        (lambda copies: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_wrong_verdict_is_told_the_shortest_case(capsys, answer, hint):
    check_verdict(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. ")
    assert hint in said


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.as_it_comes, "ahead, 6 of 12"),
        (solutions.counts_on, "for nothing"),
        (solutions.gives_nothing, "no stamp"),
        (lambda stamp: stamp, "raised TypeError"),
    ],
)
def test_a_wrong_rule_for_stamps_is_told_what_comes_of_it(capsys, rule, hint):
    check_raised(rule)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. "), said
    assert hint in said


def test_right_answers_are_right(capsys):
    check_verdict(solutions.verdict)
    check_raised(solutions.raised)
    assert capsys.readouterr().out.count("Right.") == 2
