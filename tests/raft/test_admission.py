"""What a leader takes is what a follower takes: one rule, wherever entries enter."""

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, WrongType
from kvraft.events import MessageRejected
from kvraft.raft import AppendEntries, Configuration, Log, Raft, malformed_reason
from kvraft.raft.admission import inadmissible_reason
from kvraft.record import (
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    NOOP,
    Entry,
    HardState,
    Kind,
    Record,
    TxnId,
    is_name,
    pack_entries,
    unpack_entries,
)
from kvraft.replica import ReplicaOptions
from kvraft.sim import World
from kvraft.transaction import Rejected, Submit, Transaction
from tests.helpers.raft_member import ack, append, finish, leader, member, record

bounded = settings(deadline=None, derandomize=True, max_examples=500)
PUT = record(1)


def named(client):
    return PUT._replace(txn=PUT.txn._replace(client=client))


UNFIT = {
    "a key too long": PUT._replace(key=b"k" * (MAX_KEY_BYTES + 1)),
    "a time before all times": PUT._replace(timestamp=-1),
    "a time in parts": PUT._replace(timestamp=1.0),
    "a time of 64 bits": PUT._replace(timestamp=2**63),
    "a mark that is a number": PUT._replace(commit=1),
    "a short expectation": PUT._replace(kind=Kind.EXPECT, value=b"123"),
    "a kind that is a number": PUT._replace(kind=1),
    "a kind that cannot be looked up": PUT._replace(kind=[]),
    "a key of text": PUT._replace(key="k"),
    "no value": PUT._replace(value=None),
    "a bytearray": PUT._replace(value=bytearray(b"v")),
    "a range delete": PUT._replace(kind=Kind.DELETE_RANGE),
    "a client whose name cannot be written": named("\ud800"),
    "a client whose name no entry can count": named("n" * (MAX_NAME_BYTES + 1)),
    "a name too long in bytes only": named("é" * (MAX_NAME_BYTES // 2 + 1)),
    "a negative sequence": PUT._replace(txn=PUT.txn._replace(sequence=-1)),
    "a transaction id of another type": PUT._replace(txn=("c", 1)),
    "a tuple": tuple(PUT),
    "nothing": None,
}


def follower_takes(records):
    """Whether a member that is sent ``records`` appends them."""
    raft = member()
    sent = tuple(Entry(1, index, record) for index, record in enumerate(records, 1))
    raft.step(AppendEntries("n2", "n1", 1, 0, 0, sent, 0, 0, 1))
    return raft.log.last_index == len(records)


def leader_takes(records):
    raft = leader("n2")
    before = raft.log.last_index
    try:
        raft.propose(records)
    except BadInput:
        assert raft.log.last_index == before
        return False
    assert raft.log.last_index == before + len(records)
    return True


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
def test_what_no_follower_takes_is_refused_at_the_door_and_the_cluster_goes_on(unfit):
    assert not follower_takes([unfit])
    raft = leader("n2")
    for records in ([unfit], [PUT, unfit], (unfit, PUT)):
        with pytest.raises(BadInput):
            raft.propose(records)
    raft.propose([PUT])
    finish(raft)
    ack(raft, "n2")
    assert raft.commit_index == raft.log.last_index == 2


JUNK = st.sampled_from([None, -1, 2**63, 2**64, 1.0, True, "x", b"x" * 8, b"", (), [], "\ud800"])


def mostly(sound):
    return st.integers(0, 6).flatmap(lambda n: sound if n else JUNK)


junk_records = st.builds(
    Record,
    mostly(st.sampled_from([Kind.PUT, Kind.PUT, Kind.DELETE, Kind.EXPECT, Kind.DELETE_RANGE])),
    mostly(st.binary(max_size=3)),
    mostly(st.binary(min_size=8, max_size=8)),
    mostly(st.integers(0, 9)),
    mostly(st.integers(0, 9).map(lambda n: TxnId("c", 1, n)) | st.just(NOOP.txn)),
    mostly(st.booleans()),
)


@bounded
@given(st.lists(mostly(junk_records), min_size=1, max_size=4))
@example([PUT._replace(kind=Kind.PUT, commit=True)])
def test_a_leader_takes_exactly_what_a_follower_takes(records):
    assert leader_takes(records) == follower_takes(records) == (not inadmissible_reason(records))
    if not inadmissible_reason(records):  # then it can be written down, and is read back equal
        sent = [Entry(1, index, record) for index, record in enumerate(records, 1)]
        assert unpack_entries(pack_entries(sent)) == sent


@bounded
@given(st.lists(mostly(junk_records), min_size=1, max_size=3))
def test_a_member_does_not_start_from_a_log_that_no_follower_would_take(records):
    kept = [Entry(1, index, record) for index, record in enumerate(records, 1)]
    try:
        made = member(log=kept)
    except BadInput:
        made = None
    assert (made is None) is bool(inadmissible_reason(records))


@pytest.mark.parametrize("records", [None, 7, "ab", b"ab", PUT, {1: PUT}, iter([PUT]), {1}])
def test_a_proposal_is_a_list(records):
    """A record by itself is a tuple, too: of its fields."""
    with pytest.raises(BadInput):
        leader("n2").propose(records)


@pytest.mark.parametrize("records", [[], [NOOP], [PUT, NOOP._replace(kind=Kind.CONFIGURATION)]])
def test_a_proposal_carries_a_clients_data(records):
    with pytest.raises(BadInput):
        leader("n2").propose(records)


# ── names and members ───────────────────────────────────────────────────────────────────────────

NOT_NAMES = ["", "\ud800", "n" * (MAX_NAME_BYTES + 1), "é" * (MAX_NAME_BYTES // 2 + 1)]
NOT_TEXT = [None, 7, b"n4", ["n4"]]


@pytest.mark.parametrize("name", NOT_NAMES + NOT_TEXT, ids=lambda name: repr(name)[:12])
def test_a_name_is_one_for_everybody_or_for_nobody(name):
    """A member's name stands in messages, in entries and on disks."""
    assert not is_name(name)
    kind = BadInput if isinstance(name, str) else WrongType
    for voters, learners in (([name], ()), (["n1", "n2", "n3"], [name])):
        with pytest.raises(kind):
            Configuration(tuple(voters), (), tuple(learners))
        with pytest.raises(kind):
            leader("n2").propose_change(voters, learners)
    for what in ("member", "cluster"):
        with pytest.raises(kind, match=what):
            started(**{what: name})
    with pytest.raises(BadInput):
        leader("n2").transfer_leader(name)
    assert malformed_reason(append(sender=name), "n1", "kvraft")


def test_the_longest_name_is_one_everywhere():
    longest = "n" * MAX_NAME_BYTES
    assert Configuration.from_bytes(Configuration((longest,)).to_bytes()).voters == (longest,)
    assert leader_takes([named(longest)])
    assert not malformed_reason(append(sender=longest), "n1", "kvraft")
    started(member=longest)


def test_lists_of_names_become_tuples_and_text_is_not_taken_for_its_letters():
    made = Configuration(["a", "b"], [], ["c"])
    assert made == Configuration(("a", "b"), (), ("c",))
    assert hash(made) == hash(Configuration(("a", "b"), (), ("c",)))
    for names in ("abc", b"abc", {"a", "b"}, iter(["a"]), 3, None, {"a": 1}):
        with pytest.raises(WrongType):
            Configuration(names)
        with pytest.raises(WrongType):
            Configuration(("a",), (), names)
        with pytest.raises(WrongType):
            leader("n2").propose_change(names)
        with pytest.raises(WrongType):
            leader("n2").propose_change(["n1"], names)


def started(**changes):
    sound = member()
    given = {
        "member": "n1",
        "configuration": sound.configuration,
        "log": Log(),
        "hard_state": HardState(sound.term, sound.vote),
        "random": Random(0),
        "incarnation": 1,
    }
    return Raft(**(given | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"random": 7},
        {"random": None},
        {"configuration": ("n1",)},
        {"log": [1, 1]},
        {"hard_state": (0, None)},
        {"hard_state": HardState(-1)},
        {"hard_state": HardState(1.0)},
        {"incarnation": -1},
        {"incarnation": 2**63},
        {"incarnation": "1"},
        {"incarnation": None},
        {"incarnation": True},
    ],
    ids=str,
)
def test_what_a_start_is_given_is_looked_at(changes):
    with pytest.raises(BadInput):
        started(**changes)


def test_each_start_must_be_given_an_incarnation():
    with pytest.raises(TypeError, match="incarnation"):
        Raft("n1", Configuration(("n1",)), Log(), HardState(), random=Random(0))


# ── a whole member ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("unfit", ["a key too long", "a mark that is a number"])
def test_a_member_answers_a_client_who_hands_in_such_a_thing(unfit):
    world = World(1, seed=1, options=ReplicaOptions())
    client = world.client("ann")
    client.put(b"k", b"1")
    replica = world.replicas[world.leader()]
    broken = UNFIT[unfit]._replace(timestamp=replica.raised_timestamp(0))
    transaction = Transaction(broken.txn, (broken,))
    replica.submit(Submit("ann", replica.member, transaction, 1))
    (reply,) = replica.drain().replies
    assert isinstance(reply, Rejected)
    assert "no follower would take" in reply.reason
    client.put(b"k", b"2")
    assert client.get(b"k") == b"2"


def test_what_is_refused_is_reported_and_changes_nothing():
    events = []
    raft = member(report=events.append)
    bad = Entry(1, 1, NOOP._replace(kind=Kind.CONFIGURATION, value=b'{"voters": "abc"}'))
    raft.step(AppendEntries("n2", "n1", 1, 0, 0, (bad,), 0, 0, 1))
    assert [type(event) for event in events[-1:]] == [MessageRejected]
    assert raft.term == 0
