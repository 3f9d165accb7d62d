"""Whatever comes in: no exception, no changed log, and a word about it.

Messages are drawn so that most parts of most of them are sound: what is wrong with one is then met
deep inside, and not only at the door.
"""

import functools
from typing import get_args, get_type_hints
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.events import MessageRejected
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    RaftOptions,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    Role,
    TimeoutNow,
    malformed_reason,
)
from kvraft.raft.messages import DEFAULT_CLUSTER
from kvraft.record import Entry, Kind, Record, TxnId
from tests.helpers.raft_member import THREE, change, entries, finish, lead, member

bounded = settings(deadline=None, derandomize=True, max_examples=400)

NONSENSE = st.sampled_from(
    [None, -1, 2**63, 10**400, 1.5, True, "1", b"1", (), [], {}, "\ud800", "x" * 999]
)


def mostly(sound, nonsense=NONSENSE):
    """Draw something sound nine times out of ten."""
    return st.integers(0, 9).flatmap(lambda n: sound if n else nonsense)


numbers = st.integers(0, 9)
senders = st.sampled_from(["n2", "n3", "n2", "n3", "n9", "n1", ""])
records = st.one_of(
    st.builds(
        Record,
        mostly(st.sampled_from(Kind)),
        mostly(st.binary(max_size=3)),
        mostly(st.binary(max_size=9) | st.just(b'{"voters": ["n1"]}')),
        mostly(numbers),
        mostly(
            st.builds(TxnId, mostly(st.sampled_from(["", "c"])), mostly(numbers), mostly(numbers))
        ),
        mostly(st.booleans()),
    ),
    st.sampled_from([change(1, 1, THREE, THREE).record, entries([1])[0].record]),
)
loose = mostly(st.builds(Entry, mostly(numbers), mostly(numbers), mostly(records)))


@st.composite
def appends(draw):
    """A leader's message whose entries follow on each other, or nearly."""
    term, index, count = draw(st.integers(1, 9)), draw(numbers), draw(st.integers(0, 4))
    terms = sorted(draw(st.lists(st.integers(0, term), min_size=count + 1, max_size=count + 1)))
    sent = [
        draw(mostly(records.map(lambda r, n=n: Entry(terms[n], index + n, r)), loose))
        for n in range(1, count + 1)
    ]
    return AppendEntries(
        draw(senders), "n1", term, index, terms[0], tuple(sent), draw(numbers), 0, draw(numbers)
    )


def anything(kind):
    """Draw a message of ``kind``, each of its parts mostly of the right type."""
    parts = {
        int: numbers,
        bool: st.booleans(),
        bytes: st.binary(max_size=6),
        Configuration: st.sampled_from([Configuration(THREE), Configuration(("n2",), ("n1",))]),
        tuple[Entry, ...]: st.lists(loose, max_size=3).map(tuple),
    }
    special = {"sender": senders, "to": st.just("n1"), "cluster": st.just(DEFAULT_CLUSTER)}
    return st.builds(
        kind,
        **{
            name: mostly(special[name] if name in special else parts[hint])
            for name, hint in get_type_hints(kind).items()
        },
    )


messages = st.one_of(NONSENSE, appends(), *[anything(kind) for kind in get_args(Message)])


def prepared(how, options):
    events = []
    raft = member([1, 1, 2, 2, 3], committed=2, options=options, report=events.append, seed=7)
    if how == "candidate":
        raft.timeout()
    elif how == "leader":
        lead(raft)
    elif how == "cut":
        raft.compact(2)
    finish(raft)
    return raft, events


def state(raft):
    return raft.status(), raft.log.base, raft.log.slice(raft.log.first_index), raft.has_ready()


@bounded
@given(
    st.sampled_from(["follower", "candidate", "leader", "cut"]),
    st.sampled_from([RaftOptions(), RaftOptions(pre_vote=False, check_quorum=False, window=1)]),
    st.lists(st.tuples(messages, st.integers(0, 3)), max_size=12),
)
def test_nothing_that_comes_in_stops_a_member_or_changes_what_is_committed(how, options, arrivals):
    raft, events = prepared(how, options)
    for message, ticks in arrivals:
        committed = raft.log.slice(raft.log.first_index, raft.commit_index)
        before, told = state(raft), len(events)
        raft.step(message)
        if malformed_reason(message, "n1", DEFAULT_CLUSTER):
            assert state(raft) == before
            assert [type(event) for event in events[told:]] == [MessageRejected]
        elif MessageRejected in map(type, events[told:]):
            assert raft.log.slice(raft.log.first_index) == before[2]
        now = raft.log.slice(raft.log.first_index)
        assert all(
            entry == now[entry.index - raft.log.first_index]
            for entry in committed
            if entry.index >= raft.log.first_index
        )
        for _ in range(ticks):
            raft.tick()
        finish(raft)
        str(raft.status())
    check_it_still_works(raft)


def check_it_still_works(raft):
    """It takes what a sound leader of a later term sends."""
    finish(raft)
    end = raft.log.last
    term = max(raft.term, 9) + 1
    new = entries([term], end.index + 1)
    raft.step(AppendEntries("n2", "n1", term, *end, new, end.index + 1, 0, 1))
    finish(raft)
    assert (raft.role, raft.leader, raft.log.last_term) == (Role.FOLLOWER, "n2", term)
    assert raft.commit_index == raft.log.last_index


@bounded
@given(st.lists(messages, max_size=6))
def test_what_is_wrong_is_told_as_one_line_that_can_be_written_down(arrivals):
    raft, events = prepared("follower", RaftOptions())
    for message in arrivals:
        raft.step(message)
        finish(raft)
    for event in events:
        if isinstance(event, MessageRejected):
            assert event.reason
            assert "\n" not in event.reason
            assert len(event.reason) < 500


ENDLESS = functools.reduce(lambda inner, _: [inner], range(5000), [])
"""A list in a list in a list …: it cannot be shown."""
SOUND = [
    RequestVote("n2", "n1", 9, 1, 1),
    RequestVoteReply("n2", "n1", 9, True),
    PreVote("n2", "n1", 9, 1, 1),
    PreVoteReply("n2", "n1", 9, True),
    AppendEntries("n2", "n1", 9, 5, 3, entries([9], 6), 0, 0, 1),
    AppendEntriesReply("n2", "n1", 9, True, 0),
    InstallSnapshot("n2", "n1", 9, 8, 4, Configuration(THREE), 3, 0, b"abc", crc32(b"abc")),
    InstallSnapshotReply("n2", "n1", 9, 8, 0, True),
    ReadIndex("n2", "n1", 9, 1, 1),
    ReadIndexReply("n2", "n1", 9, 1, 1, 1),
    TimeoutNow("n2", "n1", 9),
]


@pytest.mark.parametrize("nonsense", [10**9999, ENDLESS, object()], ids=["long", "deep", "odd"])
@pytest.mark.parametrize("sound", SOUND, ids=lambda message: type(message).__name__)
def test_what_cannot_even_be_shown_is_refused_in_any_place(sound, nonsense):
    raft, events = prepared("follower", RaftOptions())
    before, told = state(raft), len(events)
    for name in sound._fields:
        raft.step(sound._replace(**{name: nonsense}))
    assert [type(event) for event in events[told:]] == [MessageRejected] * len(sound)
    assert state(raft) == before
    assert all(len(event.reason) < 200 for event in events[told:])


@pytest.mark.parametrize("message", [None, 7, (), ("n2", "n1", 9), object(), RequestVote])
def test_what_is_no_message_is_refused(message):
    raft, events = prepared("leader", RaftOptions())
    told = len(events)
    raft.step(message)
    assert [type(event) for event in events[told:]] == [MessageRejected]
