"""Python's side of the page: whatever the page sends, the answer is JSON and a sentence."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.sim import Run
from kvraft.viz.playground.host import Host
from kvraft.viz.playground.link import link_of, text_of

quick = settings(deadline=None, derandomize=True, max_examples=50)


def ran(millis):
    run = Run(1)
    run.run_for(millis)
    return run.to_text()


def ask(host, **message):
    return json.loads(host.answer(json.dumps(message)))


def click(host, act, *values):
    return ask(host, act={"act": act, "seq": 1, "values": list(values)})["answer"]


def test_a_link_brings_the_run_to_where_it_was():
    host = Host()
    assert ask(host, open="")["says"] == ""
    leader = host.run.world.leader()
    assert leader
    for act in (f"member {leader}", "do 0", "run 1000", "next commit"):
        assert click(host, act)["slots"]
    assert host.run.actions
    link = ask(host, link=True)["link"]
    other = Host()
    opened = ask(other, open=link)
    assert opened["says"] == ""
    assert "data-slot" in opened["frame"]
    assert "ring" in click(other, "hello")["slots"]
    assert other.run.now == host.run.now
    assert other.run.trace.digest() == host.run.trace.digest()


@pytest.mark.parametrize("name", ["short-log", "two-leaders-votes-twice"])
def test_a_link_brings_the_mission_along(name):
    host = Host()
    ask(host, open="")
    click(host, f"mission {name}")
    click(host, "run 1000")
    link = ask(host, link=True)["link"]
    assert link.startswith(f"#mission={name}&run=")
    other = Host()
    assert ask(other, open=link)["says"] == ""
    slots = click(other, "hello")["slots"]
    assert "0 actions so far" in slots["mission"]
    assert other.run.trace.digest() == host.run.trace.digest()
    assert ask(other, link=True)["link"] == link


def test_a_saved_run_is_opened_from_its_file():
    host = Host()
    ask(host, open="")
    click(host, "run 300")
    saved = ask(host, file=True)["file"]
    other = Host()
    opened = ask(other, text=saved)
    assert opened["says"] == ""
    assert "data-slot" in opened["frame"]
    assert other.run.trace.digest() == host.run.trace.digest()


def test_a_file_of_the_mission_that_is_shown_is_judged():
    host = Host()
    ask(host, open="")
    click(host, "mission two-leaders-votes-twice")
    click(host, "run 500")
    saved = ask(host, file=True)["file"]
    click(host, "again")
    ask(host, text=saved)
    assert "actions so far" in click(host, "hello")["slots"]["mission"]
    ask(host, text=ran(700))
    assert "actions so far" not in click(host, "hello")["slots"]["mission"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the run in this file"),
        ("no run at all", "the run in this file"),
        (ran(300).replace('"seed"', '"sede"'), "the run in this file"),
        ("x" * 5_000_000, "at most 4,000,000 characters"),
    ],
    ids=["empty", "something else", "damaged", "too long"],
)
def test_a_file_that_is_no_run_is_a_sentence_and_what_is_shown_stays(text, why):
    host = Host()
    ask(host, open="")
    before = host.run
    answer = ask(host, text=text)
    assert why in answer["says"]
    assert "frame" not in answer
    assert host.run is before


def test_each_new_run_is_another():
    host = Host()
    ask(host, open="")
    first = host.run.trace.digest()
    ask(host, open="")
    assert host.run.trace.digest() != first


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("#run=", "damaged"),
        ("#run=AAAA", "damaged"),
        ("#here", "#run="),
        ("#mission=none&run=AAAA", "there is no mission 'none'"),
        ("#mission=short-log&" + link_of(ran(1_000))[1:], "is not one of the mission 'short-log'"),
        (link_of("no run file"), "not a line of JSON"),
        (link_of(ran(1_000).replace('"seed": 0', '"seed": 1')), "does not replay"),
    ],
)
def test_a_link_that_cannot_be_opened_gives_a_sentence_and_a_new_run(link, why):
    answer = ask(Host(), open=link)
    assert why in answer["says"]
    assert answer["says"].endswith(". Here is a new run.")
    assert answer["frame"]


def test_a_run_of_another_version_is_shown_and_the_difference_named():
    text = ran(1_000).replace('"version": "', '"version": "0.')
    text = text.replace('"steps": ', '"steps": 9')
    answer = ask(Host(), open=link_of(text))
    assert answer["says"].startswith("Another version of kvraft: ")
    assert answer["frame"]


def test_a_run_that_is_too_long_says_so():
    host = Host()
    ask(host, open="")
    random = Random(1)
    for number in range(400):
        host.run.act("put", "ann", f"key {number}", random.randbytes(80).hex())
    assert "too long for a link" in ask(host, link=True)["says"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
)


@given(st.dictionaries(st.sampled_from(["open", "act", "link", "file", "x"]), _json, max_size=2))
@quick
def test_no_message_is_answered_with_a_traceback(message):
    host = Host()
    ask(host, open="")
    before = host.run.trace.digest()
    answer = ask(host, **message)
    assert set(answer) <= {"frame", "answer", "link", "file", "says"}
    if "open" not in message:
        assert host.run.trace.digest() == before
    assert text_of(ask(host, link=True)["link"]) == host.run.to_text()
