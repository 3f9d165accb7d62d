"""Lights: right runs keep them all on, and each planted bug that breaks a property puts one out."""

import pytest

from kvraft.check import FIGURE_3, LIGHTS, Lights, lights_of, scenario
from kvraft.check.lights import MARKS
from kvraft.events import (
    CommitAdvanced,
    EntriesAppended,
    EntriesSuperseded,
    LogReset,
    Marks,
    MemberCrashed,
    MemberStarted,
    RoleChanged,
    Trace,
    TraceStep,
)


def appended(first, *terms):
    keys = tuple(f"k{t}" for t in terms)
    return EntriesAppended(1, first, terms, keys, keys, (True,) * len(terms))


def judge(*steps) -> dict[str, str]:
    return {
        name: what
        for name, what in lights_of(
            Trace(TraceStep(at, who, event) for at, (who, event) in enumerate(steps))
        )
        .at(len(steps))
        .items()
        if what
    }


def leads(term, who=""):
    return RoleChanged("leader", term, who)


BROKEN = {
    "election safety": [("n1", leads(2)), ("n2", leads(2))],
    "leader append-only": [
        ("n1", appended(1, 1, 1)),
        ("n1", leads(2)),
        ("n1", EntriesSuperseded(2, 2)),
    ],
    "log matching": [("n1", appended(1, 1, 2)), ("n2", appended(1, 2, 2))],
    "leader completeness": [
        ("n1", appended(1, 1, 1)),
        ("n1", CommitAdvanced(2)),
        ("n2", appended(1, 1)),
        ("n2", leads(2)),
    ],
    "state-machine safety": [
        ("n1", appended(1, 1)),
        ("n1", CommitAdvanced(1)),
        ("n2", appended(1, 2)),
        ("n2", CommitAdvanced(1)),
    ],
    MARKS: [("n1", Marks(1, 3, 2, 4, 4))],
}


def test_every_light_has_a_case():
    assert tuple(BROKEN) == LIGHTS
    assert (*FIGURE_3, MARKS) == LIGHTS


@pytest.mark.parametrize("name", LIGHTS)
def test_a_light_goes_out_at_the_step_that_breaks_it(name):
    steps = BROKEN[name]
    assert list(judge(*steps)) == [name]
    assert not judge(*steps[:-1])


def test_what_the_trace_does_not_tell_is_not_judged():
    assert not judge(("n1", appended(7, 3)), ("n1", leads(4)), ("n2", appended(9, 3)))
    assert not judge(
        ("n1", appended(1, 1, 1)),
        ("n1", CommitAdvanced(2)),
        ("n2", LogReset(2, 1)),
        ("n2", leads(2)),
    )


def test_a_crash_keeps_the_log_and_a_start_tells_what_is_left():
    lost = [
        *[("n1", appended(1, 1, 1)), ("n1", CommitAdvanced(2)), ("n1", MemberCrashed(0))],
        *[("n1", MemberStarted(1, 1, 0, 1)), ("n1", leads(2))],
    ]
    assert list(judge(*lost)) == ["leader completeness"]
    lost[3] = ("n1", MemberStarted(1, 1, 0, 2))
    assert not judge(*lost)


def test_an_older_leader_need_not_have_what_was_committed_since():
    assert not judge(
        *[("n2", leads(3)), ("n2", appended(1, 3)), ("n2", CommitAdvanced(1)), ("n1", leads(2))]
    )


@pytest.mark.parametrize("name", scenario.names())
def test_lights_say_what_the_checker_of_consensus_says(name):
    """The checker sees every member's memory and disk, the lights only the trace."""
    played = scenario.load(name).play()
    broken = set(lights_of(played.cluster.trace).broken)
    expected = {played.violation.property} if played.violation else set()
    assert broken - set(scenario.load(name).setup.unwatched) == expected & set(LIGHTS)


def test_lights_only_look():
    assert Lights().at(5) == dict.fromkeys(LIGHTS, "")
