"""Lesson 13: what its check says of rules, who may be elected, and which switches are unsafe."""

from itertools import combinations

import pytest

from kvraft.check import Violation
from kvraft.course.exercises import membership
from kvraft.course.exercises.membership import ChangingWorld, check_agreed, situations
from kvraft.course.solutions import s13_membership as solutions
from kvraft.events import RoleChanged
from kvraft.raft import Configuration, RaftOptions, committed_index
from kvraft.record import configuration_record
from kvraft.sim import Cluster

KEPT, NOT_AGREED = "committed entries are kept", "The outgoing voters have not agreed"
HAND = RaftOptions(pre_vote=False, check_quorum=False)


def said(capsys, rule):
    check_agreed(rule)
    return capsys.readouterr().out


def test_a_right_rule_commits_in_a_world(capsys):
    words = said(capsys, solutions.agreed)
    assert words.startswith("Right. It decides as Raft does in 2,956 situations."), words


@pytest.mark.parametrize(
    ("rule", "reason", "harm"),
    [
        (solutions.all_together, NOT_AGREED, KEPT),
        (solutions.the_new_ones, NOT_AGREED, KEPT),
        (solutions.either, NOT_AGREED, KEPT),
        (solutions.the_old_ones, "The new voters have not agreed", ""),
        (solutions.half_is_enough, "which is more than half of them", ""),
        (solutions.everybody, "a majority of the voters is enough", ""),
        (solutions.counts_learners, "n9 is a learner", KEPT),
        (solutions.never_leaves, "a majority of the voters is enough", "no change is ever"),
        (solutions.returns_nothing, "gives None: give True or False", ""),
        (solutions.raises, "raised AttributeError", ""),
        (lambda voters, outgoing, have: ..., "write the rule", ""),
    ],
)
def test_a_wrong_rule_is_answered_with_the_reason_and_the_harm(capsys, rule, reason, harm):
    words = said(capsys, rule)
    assert words.startswith(("Not yet.", "Not answered yet")), words
    assert reason in words
    assert harm in words
    assert ("In a world" in words) is bool(harm)
    assert words.count("\n") == 1


def test_the_situations_agree_with_the_module():
    for case in situations():
        configuration = Configuration(tuple(case.voters), tuple(case.outgoing))
        held = committed_index(configuration, dict.fromkeys(case.have, 1))
        assert case.agreed == bool(held), case


def test_the_world_finds_harm_by_itself():
    with pytest.raises(Violation, match="committed entries are kept"):
        ChangingWorld(solutions.all_together).play()


def test_rules_that_pass_the_situations_are_judged_in_a_world(capsys, monkeypatch):
    monkeypatch.setattr(membership, "situations", list)
    words = said(capsys, solutions.the_new_ones)
    assert words.startswith("Not yet. In a world: committed entries are kept"), words
    words = said(capsys, solutions.never_leaves)
    assert words.startswith("Not yet. In a world: what was waited for did not happen"), words


# ── values ──────────────────────────────────────────────────────────────────────────────────────


def majorities(names):
    return [set(each) for each in combinations(sorted(names), len(names) // 2 + 1)]


@pytest.mark.parametrize(
    ("letter", "before", "after"),
    [
        ("A", "123", "1234"),
        ("B", "123", "12345"),
        ("C", "1234", "123456"),
        ("D", "12345", "123"),
        ("E", "123", "124"),
        ("F", "12345", "12346"),
    ],
)
def test_the_unsafe_switches_have_majorities_apart(letter, before, after):
    apart = any(not one & other for one in majorities(before) for other in majorities(after))
    assert apart is (letter in solutions.RIGHT["unsafe"])


@pytest.mark.parametrize(
    ("case", "have", "down"), [(0, "", "c"), (1, "a", "c"), (2, "d", "c"), (3, "ad", "ce")]
)
def test_the_winners_are_those_of_the_module(case, have, down):
    first = Configuration(tuple("abc"), (), tuple("de"))
    joint = configuration_record(first.change_to(tuple("cde")).to_bytes())
    winners = ""
    for name in "abde":
        cluster = Cluster(first, options=HAND)
        for _ in range(6):  # an election and entries until all logs end at 6, and all know it
            cluster.timeout("c")
            cluster.settle()
            if cluster.rafts["c"].log.last_index < 6:
                cluster.propose("c", "x")
        assert {member.log.last_index for member in cluster.members.values()} == {6}
        cluster.rafts["c"].propose_change(tuple("cde"))
        cluster.work("c")
        assert cluster.members["c"].log.slice(7)[0].record == joint
        for each in have:
            cluster.deliver(to=each)
        cluster.drop()
        for each in down:
            cluster.crash(each)
        if name in cluster.rafts:
            cluster.timeout(name)
            cluster.settle()
            # It may not lead any more: a and b are not among the new members.
            changes = cluster.trace.of(RoleChanged)
            led = [each.who for each in changes if each.event.role == "leader"]
            winners += name * (name in led)
    assert winners == solutions.RIGHT["winners"][case]
