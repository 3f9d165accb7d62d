"""Quorums against brute force: what they mean, spelled out over all sets of voters."""

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.membership import Configuration, committed_index, won

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6", "n7")


def majorities(voters):
    return [
        set(some)
        for n in range(len(voters) + 1)
        if 2 * n > len(voters)
        for some in combinations(voters, n)
    ]


@pytest.mark.parametrize("size", range(1, 8))
def test_a_quorum_is_the_smallest_number_of_which_any_two_share_a_member(size):
    voters = NAMES[:size]
    quorum = Configuration(voters).quorum
    assert all(
        set(a) & set(b) for a in combinations(voters, quorum) for b in combinations(voters, quorum)
    )
    smaller = list(combinations(voters, quorum - 1))
    assert any(not set(a) & set(b) for a in smaller for b in smaller)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.integers(1, 6), st.dictionaries(st.sampled_from([*NAMES, "stranger"]), st.integers(0, 6)))
def test_committed_is_the_highest_index_that_some_majority_holds(size, match):
    voters = NAMES[:size]
    held = [min(match.get(voter, 0) for voter in some) for some in majorities(voters)]
    assert committed_index(Configuration(voters), match) == max(held)


@pytest.mark.parametrize("size", range(1, 6))
def test_an_election_is_won_or_lost_once_no_further_answer_could_change_it(size):
    voters = NAMES[:size]
    for answers in product((True, False, None), repeat=size):
        votes = {v: answer for v, answer in zip(voters, answers, strict=True) if answer is not None}
        open_ones = [v for v in voters if v not in votes]
        ends = {
            any(
                all((votes | dict(zip(open_ones, rest, strict=True)))[v] for v in some)
                for some in majorities(voters)
            )
            for rest in product((True, False), repeat=len(open_ones))
        }
        expected = ends.pop() if len(ends) == 1 else None
        assert won(Configuration(voters), votes | {"stranger": True}) is expected


@pytest.mark.parametrize("voters", [(), ("n1", "n2", "n1")])
def test_what_is_no_cluster(voters):
    with pytest.raises(BadInput):
        Configuration(voters)
