"""Quorums against brute force: what they mean, spelled out over all sets of voters."""

from contextlib import suppress
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.raft import Configuration, committed_index
from kvraft.raft.quorum import vote_result

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6", "n7")
bounded = settings(deadline=None, derandomize=True, max_examples=300)
halves = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True).map(tuple)


def majorities(voters):
    return [
        set(some)
        for n in range(len(voters) + 1)
        if 2 * n > len(voters)
        for some in combinations(voters, n)
    ]


def decides(configuration, some):
    """Whether a set of members holds a majority of each half."""
    return all(
        any(majority <= some for majority in majorities(half))
        for half in (configuration.voters, configuration.outgoing)
        if half
    )


@pytest.mark.parametrize("size", range(1, 8))
def test_a_quorum_is_the_smallest_number_of_which_any_two_share_a_member(size):
    voters = NAMES[:size]
    quorum = Configuration(voters).quorum
    assert all(
        set(a) & set(b) for a in combinations(voters, quorum) for b in combinations(voters, quorum)
    )
    smaller = list(combinations(voters, quorum - 1))
    assert any(not set(a) & set(b) for a in smaller for b in smaller)


@bounded
@given(
    halves,
    st.just(()) | halves,
    st.dictionaries(st.sampled_from([*NAMES, "stranger"]), st.integers(0, 6)),
)
def test_committed_is_the_highest_index_that_a_majority_of_each_half_holds(new, old, match):
    configuration = Configuration(new, old)
    held = [
        index
        for index in range(7)
        if decides(configuration, {name for name, at in match.items() if at >= index} or set())
        or index == 0
    ]
    assert committed_index(configuration, match) == max(held)


def every_size():
    for new, old in product(range(1, 6), range(6)):
        for shared in {0, min(new, old) // 2, min(new, old)} if old else {0}:
            voters = tuple(f"v{n}" for n in range(new))
            outgoing = tuple(f"v{n}" if n < shared else f"o{n}" for n in range(old))
            if len(set(voters + outgoing)) <= 7:
                yield Configuration(voters, outgoing)


@pytest.mark.parametrize("configuration", list(every_size()), ids=str)
def test_an_election_is_won_or_lost_once_no_further_answer_could_change_it(configuration):
    voting = configuration.voting
    wins = {
        frozenset(some): decides(configuration, set(some))
        for n in range(len(voting) + 1)
        for some in combinations(voting, n)
    }
    for answers in product((True, False, None), repeat=len(voting)):
        votes = {v: yes for v, yes in zip(voting, answers, strict=True) if yes is not None}
        sure = frozenset(name for name, yes in votes.items() if yes)
        possible = frozenset(name for name in voting if votes.get(name, True))
        expected = True if wins[sure] else (None if wins[possible] else False)
        assert vote_result(configuration, votes | {"stranger": True}) is expected


@bounded
@given(halves, halves)
def test_whatever_decides_in_the_middle_of_a_change_meets_what_decides_before_and_after(new, old):
    joint = Configuration(new, old)
    everybody = joint.voting
    for n in range(len(everybody) + 1):
        for some in map(set, combinations(everybody, n)):
            rest = set(everybody) - some
            if decides(joint, some):
                assert not decides(Configuration(old), rest)
                assert not decides(Configuration(new), rest)
                assert not decides(joint, rest)


@bounded
@given(halves, st.just(()) | halves, st.lists(st.sampled_from([*NAMES, "ü", "\x00"]), unique=True))
def test_a_configuration_comes_back_from_its_bytes(voters, outgoing, learners):
    learners = tuple(name for name in learners if name not in voters)
    whole = Configuration(voters, outgoing, learners)
    assert Configuration.from_bytes(whole.to_bytes()) == whole
    assert set(whole.members) == {*voters, *outgoing, *learners}
    assert len(whole.members) == len(set(whole.members)), "nobody is sent the log twice"


def test_a_change_of_voters_is_joint_and_is_left_for_the_new_ones():
    old = Configuration(("n1", "n2", "n3"), (), ("n4",))
    joint = old.change_to(("n3", "n4"), ("n1",))
    assert joint == Configuration(("n3", "n4"), ("n1", "n2", "n3"), ("n1",))
    assert joint.leave_joint() == Configuration(("n3", "n4"), (), ("n1",))
    with pytest.raises(BadInput, match="under way"):
        joint.change_to(("n1",))


def test_a_change_of_learners_alone_takes_one_step_and_none_at_all_is_no_change():
    old = Configuration(("n1", "n2"), (), ("n3",))
    assert old.change_to(("n2", "n1"), ("n4",)) == Configuration(("n1", "n2"), (), ("n4",))
    with pytest.raises(BadInput, match="already"):
        old.change_to(("n2", "n1"), ("n3",))


@pytest.mark.parametrize(
    "parts",
    [((),), (("n1", "n2", "n1"),), (("",),), (("n1",), (), ("n1",)), (("n1",), ("n2", "n2")),
     ((1,),)],
)  # fmt: skip
def test_what_is_no_cluster(parts):
    with pytest.raises(BadInput):
        Configuration(*parts)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"7", b"null", b"{}", b'{"voters": []}', b'{"voters": "abc"}',
     b'{"voters": {"n1": 1}}', b'{"voters": [1]}', b'{"voters": ["n1"], "learners": "n2"}',
     b'{"voters": ["n1"], "outgoing": null}', b"\xff\xfe", b"[" * 200_000],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_bytes_that_are_no_configuration_are_called_so(data):
    with pytest.raises(BadInput):
        Configuration.from_bytes(data)


@bounded
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":, voters1n', max_size=40).map(str.encode))
def test_any_bytes_are_a_configuration_or_bad_input(data):
    with suppress(BadInput):
        assert Configuration.from_bytes(data).voters
