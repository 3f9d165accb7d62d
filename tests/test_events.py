"""The event stream: a trace is the same after a trip through a file, and bad lines are named."""

import dataclasses
import functools
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import events
from kvraft.errors import BadInput
from kvraft.events import (
    Event,
    Flushed,
    MessageLost,
    NetworkHealed,
    NetworkPartitioned,
    Trace,
    TraceStep,
)

KINDS = [kind for kind in vars(events).values() if isinstance(kind, type)]
KINDS = [kind for kind in KINDS if issubclass(kind, Event) and kind is not Event]


def values_of(hint):
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    return {int: st.integers(), str: st.text(max_size=5), bool: st.booleans()}[hint]


@functools.cache
def any_event(kind):
    hints = typing.get_type_hints(kind)
    return st.builds(kind, *(values_of(hints[field.name]) for field in dataclasses.fields(kind)))


steps = st.builds(
    TraceStep, st.integers(0), st.text(max_size=3), st.sampled_from(KINDS).flatmap(any_event)
)


@given(st.lists(steps, max_size=12))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_a_trace_is_the_same_after_a_trip_through_a_file(tmp_path_factory, steps):
    trace = Trace()
    for step in steps:
        trace.file(*step)
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        trace.save(file)
    again = Trace.load(path)
    assert list(again) == steps
    assert again.digest() == trace.digest()
    assert len(again) == len(steps)
    assert list(again[2:5]) == steps[2:5]


def test_every_kind_of_event_can_be_drawn():
    """Fields of another type would not survive JSON; this fails when one is added."""
    assert len(KINDS) > 20
    for kind in KINDS:
        any_event(kind).validate()
        assert kind.__doc__
        assert kind.__dataclass_params__.unsafe_hash  # as a frozen one has it, see Event


def test_the_digest_tells_histories_apart():
    digests = {
        Trace(steps).digest()
        for steps in (
            [],
            [TraceStep(1, "n1", NetworkHealed())],
            [TraceStep(2, "n1", NetworkHealed())],
            [TraceStep(1, "n2", NetworkHealed())],
            [TraceStep(1, "n1", Flushed(1, 2))],
            [TraceStep(1, "n1", Flushed(2, 1))],
        )
    }
    assert len(digests) == 6


def test_a_line_has_its_keys_in_a_fixed_order():
    line = next(Trace([TraceStep(215000, "n2", NetworkPartitioned(("n1 n2", "n3")))]).lines())
    assert line == (
        '{"at": 215000, "who": "n2", "event": "NetworkPartitioned", "groups": ["n1 n2", "n3"]}'
    )


def test_steps_can_be_chosen_by_kind_and_by_who():
    trace = Trace(
        [
            TraceStep(1, "a", NetworkHealed()),
            TraceStep(2, "b", NetworkHealed()),
            TraceStep(3, "a", MessageLost(1, "x")),
        ]
    )
    assert [step.at for step in trace.of(NetworkHealed)] == [1, 2]
    assert [step.at for step in trace.of(NetworkHealed, MessageLost, who="a")] == [1, 3]


GOOD = {"at": 1, "who": "n1", "event": "Flushed", "through": 3, "table": 0}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "not a line of JSON"),
        ("{", "not a line of JSON"),
        ("[1]", "a step needs a whole number 'at'"),
        (json.dumps(GOOD | {"at": "1"}), "a step needs a whole number 'at'"),
        (json.dumps(GOOD | {"event": "Event"}), "there is no event 'Event'"),
        (json.dumps(GOOD | {"event": "Flushd"}), "there is no event 'Flushd'"),
        (json.dumps({"at": 1}), "there is no event"),
        (json.dumps(GOOD | {"table": "0"}), "table must be int, not '0'"),
        (json.dumps(GOOD | {"table": True}), "table must be int, not True"),
        (json.dumps({"at": 1, "event": "Flushed", "table": 0}), "through must be int, not None"),
        (
            json.dumps({"at": 1, "event": "NetworkPartitioned", "groups": "n1"}),
            "groups must be a list",
        ),
        (
            json.dumps({"at": 1, "event": "NetworkPartitioned", "groups": [1]}),
            "groups must be str, not 1",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(BadInput) as found:
        Trace.load(path)
    assert f"{path}, line 2: " in str(found.value)
    assert says in str(found.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is not text in UTF-8"):
        Trace.load(path)


def test_reporting_to_nobody_is_fine():
    assert events.ignore(NetworkHealed()) is None
