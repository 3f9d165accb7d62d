"""A write whose leader dies at every step; clocks that differ; the pictures; the exercises."""

import pytest

from kvraft.check.bugs import AppliesRetries, StampsNotRaised
from kvraft.course.exercises.clients import check_applies, check_raised, check_verdict
from kvraft.course.solutions import s10_clients as solutions
from kvraft.errors import BadInput
from kvraft.events import RoleChanged, TicketMoved
from kvraft.sim import (
    count_write_steps,
    lost_updates,
    measure_write_outage,
    retry_pauses,
    world_with_client,
)
from kvraft.transaction import Stage
from kvraft.viz.figures import (
    DONE,
    DOWN,
    LOG,
    outage_story,
    plot_lost_updates,
    plot_outages,
    plot_pauses,
    plot_transaction,
    spans_of,
    title_of,
)
from kvraft.viz.widgets import OutageSlider

STEPS = range(count_write_steps() + 1)


@pytest.fixture(scope="module")
def hurried():
    return [measure_write_outage(step, patience=60) for step in STEPS]


@pytest.fixture(scope="module")
def patient():
    return [measure_write_outage(step) for step in STEPS]


def test_a_client_in_a_hurry_never_says_what_it_cannot_know(hurried):
    assert {run.effects for run in hurried if run.reported is Stage.UNKNOWN} == {0, 1}
    assert all(run.effects == 1 for run in hurried if run.reported is Stage.APPLIED)
    assert all(run.effects == 0 for run in hurried if run.reported is Stage.ABORTED)


def test_it_gives_up_before_there_is_a_new_leader(hurried):
    for run in hurried:
        ended = run.trace.of(TicketMoved)[-1].at
        elected = [step.at for step in run.trace[run.first :].of(RoleChanged)]
        assert all(ended < at for at in elected)


def test_a_write_lives_if_a_follower_has_it_and_what_is_committed_always_does(hurried):
    assert [run.logs for run in hurried] == sorted(run.logs for run in hurried)
    assert {run.logs for run in hurried} == {0, 1, 2, 3}
    assert all(run.effects == (run.logs >= 2) for run in hurried)
    assert all(run.logs >= 2 for run in hurried if run.committed)
    assert any(run.committed for run in hurried if run.reported is Stage.UNKNOWN)
    assert any(run.logs >= 2 and not run.committed for run in hurried)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_second_copy_in_the_log_is_found_to_be_one(seed):
    runs = [
        measure_write_outage(s, patience=60, again=True, seed=seed)
        for s in range(count_write_steps(seed))
    ]
    assert all((run.reported, run.effects) == (Stage.APPLIED, 1) for run in runs)
    assert {run.repeats for run in runs} == {0, 1}
    assert all(run.logs >= 2 for run in runs if run.repeats)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_patient_one_gets_each_write_applied_once(seed):
    for step in range(count_write_steps(seed) + 1):
        run = measure_write_outage(step, seed=seed)
        assert (run.reported, run.effects) == (Stage.APPLIED, 1)


def test_without_sessions_some_are_applied_twice():
    assert 2 in {measure_write_outage(step, replica=AppliesRetries).effects for step in STEPS}


def test_an_outage_is_the_same_each_time_and_told_from_its_sending_on(patient):
    again = measure_write_outage(6)
    assert again.trace.digest() == patient[6].trace.digest()
    assert isinstance(again.trace[again.first].event, TicketMoved)
    lines = outage_story(again)
    assert "ann: SENT" in lines[0]
    assert any("crashed" in line for line in lines)
    with pytest.raises(BadInput, match="cannot die -1 steps"):
        measure_write_outage(-1)


def test_pauses_grow_up_to_a_bound():
    found = retry_pauses(8)
    assert len(found) == 8
    assert found[0] < found[1] < found[2] < found[3]
    assert max(found) < 1_820


def test_clocks_lose_writes_only_where_stamps_are_taken_as_they_come():
    assert lost_updates(300, rounds=4) == 0
    assert lost_updates(300, rounds=4, replica=StampsNotRaised) == 4
    assert lost_updates(-300, rounds=4) == 0


def test_figures_are_titled_by_what_they_show(hurried, patient):
    count = sum(run.effects for run in hurried if run.reported is Stage.UNKNOWN)
    assert f"{count} were applied" in title_of(plot_outages({"a": hurried}))
    assert "each exactly once" in title_of(plot_outages({"a": patient}))
    assert "Pauses double from 7 ms" in title_of(plot_pauses([7, 14, 20]))
    figure = plot_lost_updates({"x": {0: 0, 10: 3}, "y": {0: 0, 10: 0}}, 8)
    assert title_of(figure) == "x: up to 3 lost; y: up to 0 lost"


def test_the_life_of_a_write_is_told_by_its_client_and_by_each_member():
    world = world_with_client()
    ticket = world.client("ann").submit({b"stock": b"2"})
    world.run_for(100)
    life = spans_of(world.trace, str(ticket.txn))
    known = [(span.start // 1000, span.state) for span in life if span.who == "ann"]
    begin = ticket.history[0][0] - known[0][0]
    assert known == [
        (at - begin, stage.value) for at, stage, _ in ticket.history if stage != "COMMITTED"
    ]
    for name in world.members:
        assert [span.state for span in life if span.who == name] == [LOG, DONE]
    held = sorted(span.start for span in life if span.state == LOG)
    after = (held[1] - life[0].start) / 1000
    assert f"a majority of disks after {after:.1f} ms" in title_of(
        plot_transaction(world.trace, str(ticket.txn))
    )
    with pytest.raises(BadInput, match="nobody sent a transaction ann#9"):
        spans_of(world.trace, "ann#9")


def test_a_copy_that_is_superseded_is_in_no_log_any_more_and_a_crash_keeps_the_log(hurried):
    alone = [run for run in hurried if run.logs == 1][-1]  # when its leader has saved it
    life = [span for span in spans_of(alone.trace, alone.txn) if span.who != "ann"]
    assert {span.who for span in life} == {"n1"}
    assert [span.state for span in life] == [LOG, DOWN, LOG, ""]
    assert title_of(plot_transaction(alone.trace, alone.txn)).startswith("Never on a majority")
    late = next(run for run in hurried if run.committed)
    states = [span.state for span in spans_of(late.trace, late.txn) if span.who == "n1"]
    assert states == [LOG, DONE, DOWN, LOG, DONE]


def test_a_majority_has_one_and_the_same_copy(hurried):
    """The dead leader's copy does not count beside the one that was sent again."""
    step = next(run.step for run in hurried if run.logs == 1)
    run = measure_write_outage(step)
    life = spans_of(run.trace, run.txn)
    again = sorted(s.start for s in life if s.state == LOG and s.who != "n1")
    after = (again[1] - life[0].start) / 1000
    assert f"a majority of disks after {after:.1f} ms" in title_of(
        plot_transaction(run.trace, run.txn)
    )


def test_the_slider_shows_the_outage_that_it_is_set_to(hurried):
    slider = OutageSlider(hurried, start=2)
    assert "dies 2 steps after" in repr(slider)
    before = slider.picture()
    slider.slider.value = 6
    assert slider.shown.step == 6
    assert "applied once" in slider.words()
    assert slider.picture() != before
    assert "n1 dies" in slider._picture.value


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (solutions.silence_is_failure, "may still take effect"),
        (solutions.always_unknown, "certainly did not happen"),
        (solutions.only_the_last, "may still take effect"),
        (lambda copies: "FAILED", "give APPLIED, ABORTED or UNKNOWN"),
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
        (solutions.counts_on, "without need"),
        (solutions.gives_nothing, "gives None, which is not a whole number: give a stamp"),
        (lambda stamp: stamp, "raised TypeError"),
    ],
)
def test_a_wrong_rule_for_stamps_is_told_what_comes_of_it(capsys, rule, hint):
    check_raised(rule)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. "), said
    assert hint in said


@pytest.mark.parametrize(
    ("decision", "hint"),
    [
        (solutions.only_the_newest, "When 2, 1 arrive in this order, number 1 is never"),
        (solutions.always, "When 1, 1 arrive in this order, number 1 is applied 2 times"),
        (solutions.never_forgets, "1 to 33 and then 1 arrive, number 1 is applied 2 times"),
        (solutions.one_too_few, "2 to 32 and then 1 arrive, number 1 is never"),
        (lambda sequence, newest, known: known.clear() or 7, "gives 7: give True or False"),
        (
            lambda sequence, newest, known: known[0],
            "number 1 arrives, your rule raised IndexError",
        ),
    ],
)
def test_a_wrong_session_is_told_the_shortest_case(capsys, decision, hint):
    check_applies(decision)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. "), said
    assert hint in said


def test_right_answers_are_right(capsys):
    check_verdict(solutions.verdict)
    check_raised(solutions.raised)
    check_applies(solutions.applies)
    assert capsys.readouterr().out.count("Right.") == 3
