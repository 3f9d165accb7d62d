"""The space-time diagram against a plain model of what was sent, delivered and lost."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, KvraftError
from kvraft.events import (
    MemberCrashed,
    MemberStarted,
    MessageDelivered,
    MessageLost,
    MessageSent,
    Trace,
)
from kvraft.raft import RaftOptions
from kvraft.sim import Cluster, World
from kvraft.viz.panels import spacetime

SVG = "{http://www.w3.org/2000/svg}"
STORY = re.compile(r"message (\d+), (\S+) to (\S+), (lost|delivered|on its way): (\w+)")


def played(moves):
    """A cluster that went through ``moves``, numbers that choose what happens next."""
    cluster = Cluster(3, options=RaftOptions(pre_vote=False, check_quorum=False))
    deeds = [
        lambda n: cluster.timeout(n),
        lambda n: cluster.propose(n, "k"),
        lambda n: cluster.deliver(to=n),
        lambda n: cluster.deliver(id=cluster.in_flight[-1].id),
        lambda n: cluster.drop(sender=n),
        lambda n: cluster.duplicate(to=n),
        lambda n: cluster.crash(n),
        lambda n: cluster.restart(n),
        lambda n: cluster.partition([n]),
        lambda n: cluster.heal(),
    ]
    for move in moves:
        try:
            deeds[move // 3](f"n{move % 3 + 1}")
        except (KvraftError, IndexError):
            continue
    return cluster.trace


def messages(svg):
    """What is drawn of each message: number → (sender, to, fate, its lines)."""
    drawn = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        number, sender, to, fate, kind = STORY.match(group.find(f"{SVG}title").text).groups()
        assert int(number) not in drawn
        line = group.find(f"{SVG}line")
        ends = [float(line.get(name)) for name in ("x1", "y1", "x2", "y2")]
        shapes = sorted(child.tag.removeprefix(SVG) for child in group)
        dashed = line.get("stroke-dasharray") is not None
        drawn[int(number)] = (sender, to, fate, kind, ends, shapes, dashed)
    return drawn


def lanes(svg):
    """Where each member's name stands."""
    texts = ET.fromstring(svg).findall(f"{SVG}text")
    return {text.text: float(text.get("x")) for text in texts if text.get("y") == "18"}


@settings(deadline=None, derandomize=True, max_examples=120)
@given(moves=st.lists(st.integers(0, 29), min_size=5, max_size=40), data=st.data())
def test_every_message_of_the_window_is_drawn_once_with_its_fate(moves, data):
    trace = played([0, 6, 7, 8, 6, *moves])
    first = data.draw(st.integers(0, len(trace) - 1))
    last = data.draw(st.integers(first, len(trace) - 1))
    sent = {s.event.id: (n, s) for n, s in enumerate(trace) if isinstance(s.event, MessageSent)}
    ends = {
        s.event.id: (n, s)
        for n, s in enumerate(trace)
        if isinstance(s.event, MessageDelivered | MessageLost)
    }
    expected = {}
    for number, (start, (_, who, event)) in sent.items():
        end, step = ends.get(number, (len(trace), None))
        if start <= last and end >= first:
            lost = end <= last and isinstance(step.event, MessageLost)
            fate = "lost" if lost else "delivered" if end <= last else "on its way"
            expected[number] = (who, event.to, fate, event.kind)
    svg = spacetime(trace, first, last)
    drawn = messages(svg)
    assert {number: found[:4] for number, found in drawn.items()} == expected
    place = lanes(svg)
    for sender, to, fate, kind, (x1, y1, x2, y2), shapes, dashed in drawn.values():
        assert y2 >= y1  # nothing arrives before it was sent
        assert x1 == place[sender]
        assert (x2 == place[to]) is (fate == "delivered")
        reply = kind.endswith("Reply")
        assert dashed is reply
        assert ("polyline" in shapes) is (reply and fate == "delivered")
        assert ("polygon" in shapes) is (not reply and fate == "delivered")
    assert svg == spacetime(Trace(trace), first, last)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(moves=st.lists(st.integers(18, 23), max_size=12), data=st.data())
def test_a_lane_is_dotted_just_while_its_member_is_down(moves, data):
    """The pieces of each lane, dotted or not, against the trace's crashes and starts."""
    trace = played([0, 6, *moves])
    first = data.draw(st.integers(0, len(trace) - 1))
    svg = spacetime(trace, first)
    place = lanes(svg)
    for name in ("n1", "n2", "n3"):
        down = False
        states = []
        for number, (_, who, event) in enumerate(trace):
            if number == first:
                states.append(down)
            if who == name and isinstance(event, MemberCrashed | MemberStarted):
                now = isinstance(event, MemberCrashed)
                if number >= first and now is not down:
                    states.append(now)
                down = now
        pieces = [
            line.get("stroke-dasharray") is not None
            for line in ET.fromstring(svg).findall(f"{SVG}line")
            if float(line.get("x1")) == float(line.get("x2")) == place[name]
        ]
        assert pieces == states


def test_it_tells_what_members_do_and_in_which_order():
    cluster = Cluster(3, options=RaftOptions(pre_vote=False, check_quorum=False))
    cluster.timeout("n1")
    cluster.settle()
    begin = len(cluster.trace)
    cluster.partition(["n1"])
    cluster.propose("n1", "lost")
    cluster.timeout("n2")
    cluster.settle()
    cluster.propose("n2", "kept")
    cluster.settle()
    cluster.heal()
    cluster.timeout("n2")
    cluster.settle()
    root = ET.fromstring(spacetime(cluster.trace, begin))
    texts = [text.text for text in root.findall(f"{SVG}text")]
    for words in ("cut: n1 | n2 n3", "healed", "stands, term 2", "leads term 2", "drops 2"):
        assert words in texts
    order = [
        float(t.get("y"))
        for word in ("cut: n1 | n2 n3", "leads term 2", "healed", "drops 2")
        for t in root.findall(f"{SVG}text")
        if t.text == word
    ]
    assert order == sorted(order)
    stubs = [text.text for text in root.iter(f"{SVG}text") if (text.text or "").startswith("to n")]
    assert stubs[0] == "to n2: [2] after 1, commit 1"
    assert len([text for text in stubs if text.startswith("to n1")]) >= 2


def test_clients_have_lanes_too_and_names_are_only_text():
    world = World(3, seed=1)
    world.run_until(lambda: world.leader() is not None)
    begin = len(world.trace)
    world.client("<&>").put(b"k", b"v")
    svg = spacetime(world.trace, begin)
    assert list(lanes(svg)) == ["n1", "n2", "n3", "<&>"]


def test_steps_that_are_not_there_are_refused_in_words():
    trace = played([0])
    for first, last in ((-1, 2), (3, 2), (0, len(trace))):
        with pytest.raises(BadInput, match=f"the trace has steps 0 to {len(trace) - 1}"):
            spacetime(trace, first, last)


def test_what_leaves_before_the_disk_is_written_is_drawn_so():
    """A leader writes while its append travels; a follower answers after it wrote."""
    cluster = Cluster(3, options=RaftOptions(pre_vote=False, check_quorum=False))
    cluster.timeout("n1")
    cluster.settle()
    begin = len(cluster.trace)
    cluster.propose("n1", "k")
    cluster.settle()
    svg = spacetime(cluster.trace, begin)
    place, texts = lanes(svg), ET.fromstring(svg).findall(f"{SVG}text")
    wrote = {
        float(text.get("x")): float(text.get("y")) for text in texts if text.text == "writes 2"
    }
    for sender, *_, kind, (_, y1, _, _), _, _ in messages(svg).values():
        assert (y1 < wrote[place[sender]]) is (kind == "AppendEntries")
