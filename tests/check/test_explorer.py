"""The explorer finds every planted bug, misses nothing a cluster can do, and clears the module."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check import Property, Violation
from kvraft.check.bugs import consensus_bug
from kvraft.check.explore import NO_TIME, ExplorationBounds, explore
from kvraft.check.explore.clone import ASIDE, CHANGING, IGNORED, LEAST, clone, fingerprint
from kvraft.check.explore.explorer import Action, Transition
from kvraft.check.explore.state_space import StateSpace
from kvraft.check.explore.transitions import ExploredMember, take_transition
from kvraft.check.raft import watch
from kvraft.errors import BadInput
from kvraft.events import ignore
from kvraft.raft import Raft, RequestVoteReply, Role
from kvraft.record import HardState
from kvraft.sim import Cluster

ONE_BY_ONE = replace(NO_TIME, max_batch_bytes=1)
FIGURE_8 = {  # (b) with three members: n1 as s1, n2 as s3, n3 as s5
    "options": ONE_BY_ONE,
    "logs": {"n1": [1], "n3": [2]},
    "hard_states": {"n1": HardState(2), "n2": HardState(2, "n3")},
}
DISK = (Property.DURABLE_FIRST, Property.NOTHING_GOES_BACK, Property.ONE_VOTE)


def cluster(consensus=Raft, **start):
    return Cluster(3, **{"options": NO_TIME, "consensus": consensus, **start})


# ── the module is sound, and the searches do not shrink unnoticed ───────────────────────────────


@pytest.mark.parametrize(
    ("bounds", "start", "states", "depth"),
    [
        (ExplorationBounds(timeouts=2, proposals=1), {}, 67_000, 23),
        (ExplorationBounds(timeouts=2, crashes=1), {}, 46_000, 20),
        (ExplorationBounds(timeouts=1, heartbeats=1, proposals=1, copies=1), {}, 29_000, 17),
        (ExplorationBounds(timeouts=1, proposals=1, crashes=2, lags=2), {}, 8_400, 17),
        (
            ExplorationBounds(timeouts=1, crashes=2),
            {"options": replace(NO_TIME, pre_vote=True)},
            700,
            13,
        ),
    ],
    ids=str,
)
def test_nothing_breaks_within_bounds_that_are_exhausted(bounds, start, states, depth):
    report = explore(cluster(**start), bounds)
    assert report.violation is None, str(report)
    assert report.complete
    assert report.states >= states
    assert report.depth >= depth


def test_figure_8_is_safe_far_beyond_where_its_rule_is_missed():
    """To its end it takes 296,233 states, too many for here."""
    report = explore(cluster(**FIGURE_8), ExplorationBounds(timeouts=2), limit=50_000)
    assert report.violation is None, str(report)
    assert not report.complete
    assert report.depth >= 14


# ── it finds bugs ───────────────────────────────────────────────────────────────────────────────


class AnswersFirst(Raft):
    """A follower's answers do not wait for its disk."""

    def ready(self):
        ready = super().ready()
        return ready._replace(early=ready.early + ready.messages, messages=())


class ChangesOwn(Raft):
    """A leader changes an entry that it has appended."""

    def timeout(self):
        super().timeout()
        if self.role is Role.LEADER:
            last = self.log.slice(self.log.last_index)[0]
            self.log.truncate_from(last.index)
            self.log.append([last._replace(record=last.record._replace(value=b"other"))])


class Raises(Raft):
    """A refused vote raises."""

    def step(self, message):
        if isinstance(message, RequestVoteReply) and not message.granted:
            raise KeyError(message.sender)
        super().step(message)


FOUND = [
    (
        "older terms counted",
        ExplorationBounds(timeouts=2),
        FIGURE_8,
        (),
        Property.LEADER_COMPLETENESS,
    ),
    ("vote not saved", ExplorationBounds(timeouts=2, crashes=1), {}, (), Property.DURABLE_FIRST),
    (
        "vote not saved",
        ExplorationBounds(timeouts=2, crashes=1),
        {},
        DISK,
        Property.ELECTION_SAFETY,
    ),
    ("candidacy not saved", ExplorationBounds(timeouts=1), {}, (), Property.DURABLE_FIRST),
    ("term not saved", ExplorationBounds(timeouts=2), {}, (), Property.DURABLE_FIRST),
    ("vote reset", ExplorationBounds(timeouts=2), {}, (), Property.NOTHING_GOES_BACK),
    ("votes twice", ExplorationBounds(timeouts=2), {}, (), Property.ONE_VOTE),
    ("votes twice", ExplorationBounds(timeouts=2), {}, DISK, Property.ELECTION_SAFETY),
    (
        "old votes counted",
        ExplorationBounds(timeouts=3),
        {"hard_states": {"n3": HardState(1)}},
        (),
        Property.ELECTION_SAFETY,
    ),
    ("any log elected", ExplorationBounds(timeouts=2), {}, (), Property.LEADER_COMPLETENESS),
    (
        "longer log elected",
        ExplorationBounds(timeouts=2),
        {"logs": {"n1": [1, 1], "n2": [2], "n3": [2]}, "hard_states": {"n1": HardState(2)}},
        (),
        Property.LEADER_COMPLETENESS,
    ),
    (
        "truncates always",
        ExplorationBounds(timeouts=1, proposals=1, copies=1),
        {},
        (),
        Property.COMMITTED_KEPT,
    ),
    (
        "commits own tail",
        ExplorationBounds(timeouts=1, heartbeats=1),
        {"logs": {"n1": [2, 2], "n2": [1], "n3": [2, 2]}, "hard_states": {"n2": HardState(2)}},
        (),
        Property.STATE_MACHINE_SAFETY,
    ),
    (
        "counts unsaved",
        ExplorationBounds(timeouts=1, lags=1),
        {},
        (),
        Property.COMMITTED_KEPT,
    ),
    (AnswersFirst, ExplorationBounds(timeouts=1), {}, (), Property.DURABLE_FIRST),
    (ChangesOwn, ExplorationBounds(timeouts=1, heartbeats=1), {}, (), Property.LEADER_APPEND_ONLY),
    (Raises, ExplorationBounds(timeouts=2), {}, (), "nothing raises"),
]


@pytest.mark.parametrize(("bug", "bounds", "start", "but", "broken"), FOUND)
def test_a_bug_is_found_and_its_trace_breaks_a_cluster_too(bug, bounds, start, but, broken):
    consensus = consensus_bug(bug) if isinstance(bug, str) else bug
    report = explore(cluster(consensus, **start), bounds, but=but)
    assert report.violation is not None, str(report)
    assert report.violation.property == broken
    assert len(report.trace) == report.depth
    if any(step.lags for step in report.trace):
        with pytest.raises(BadInput, match="the disks of a cluster are instant"):
            list(report.play(cluster(consensus, **start)))
        return
    played = cluster(consensus, **start)
    watch(played, but=but)  # another checker
    with pytest.raises((Violation, KeyError)) as error:
        list(report.play(played))
    if but or broken in (Property.ELECTION_SAFETY, Property.LEADER_COMPLETENESS):
        assert error.value.property == broken


@pytest.mark.parametrize(("bug", "bounds", "start", "but"), [found[:4] for found in FOUND])
def test_the_sound_module_passes_where_a_bug_was_found(bug, bounds, start, but):
    assert explore(cluster(**start), bounds, but=but, limit=3_000).violation is None


def test_the_shortest_trace_reads_well():
    report = explore(
        cluster(consensus_bug("vote not saved")), ExplorationBounds(crashes=1), but=DISK
    )
    assert [str(step) for step in report.trace] == [
        "n1 times out",
        "n2 times out",
        "n3 receives RequestVote of term 1 from n1 (log ends 0/0)",
        "n3 crashes and restarts",
        "n3 receives RequestVote of term 1 from n2 (log ends 0/0)",
        "n2 receives RequestVoteReply of term 1 from n3 (granted)",
        "n1 receives RequestVoteReply of term 1 from n3 (granted)",
    ]
    assert "election safety: n2 and n1 both lead term 1\n   1. n1 times out" in str(report)
    hasty, bounds = consensus_bug("counts unsaved"), ExplorationBounds(timeouts=1, lags=1)
    lagging = explore(cluster(hasty), bounds).trace
    assert "and its disk lags" in " ".join(map(str, lagging))


def test_a_step_is_worth_as_much_as_any_other_it_takes_the_shortest_way():
    """Breadth first: without the last step of the trace, a search that deep finds nothing."""
    start, bounds = cluster(consensus_bug("any log elected")), ExplorationBounds(timeouts=2)
    report = explore(start, bounds)
    space = StateSpace(start, bounds, but=(), symmetry=False)
    level, seen = [space.first], {space.first}
    for _ in range(report.depth - 1):
        following = []
        for state in level:
            for _, after in space.following(state):
                assert not isinstance(after, Violation)
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        level = following
    assert any(isinstance(after, Violation) for s in level for _, after in space.following(s))


# ── it misses nothing ───────────────────────────────────────────────────────────────────────────


def everything(start, bounds, symmetry=False):
    """Return the space and all states in it, one by one, with no regard to names."""
    space = StateSpace(start, bounds, but=(), symmetry=symmetry)
    seen, todo = {space.first}, [space.first]
    while todo:
        for _, after in space.following(todo.pop()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return space, seen


def states_of(members):
    return tuple(
        ExploredMember(m.raft, m.configuration, m.hard_state, m.log.slice(1)) for m in members
    )


@pytest.fixture(scope="module")
def met():
    """Every state in which the members can be together within BOUNDS, by the explorer."""
    space, seen = everything(
        cluster(), ExplorationBounds(timeouts=1, proposals=1, crashes=1, copies=1)
    )
    return {tuple(space._states.values[number] for number in state[0]) for state in seen}


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.integers(0, 2**32))
def test_whatever_is_done_to_a_cluster_by_hand_was_explored(met, seed):
    """Another world, driven at random, with losses, never comes to where the explorer was not."""
    random, hand = Random(seed), cluster(seed=seed)
    left = {"timeout": 1, "propose": 1, "crash": 1, "copy": 1}
    for _ in range(40):
        flying, leader = hand.in_flight, hand.leader()
        what = random.choice(["deliver"] * 8 + ["drop", *left])
        if not left.get(what, 1) or not (flying or what in ("timeout", "crash")):
            continue
        name = random.choice(list(hand.members))
        id = random.choice(flying).id if flying else 0
        if what in left and (what != "propose" or leader):
            left[what] -= 1
        if what == "timeout":
            hand.timeout(name)
        elif what == "crash":
            hand.crash(name)
            hand.restart(name)
        elif what == "propose" and leader:
            hand.propose(leader, Transition(Action.PROPOSE, leader, number=1).record)
        elif what == "copy":
            hand.duplicate(id=id)
        elif what == "drop":
            hand.drop(id=id)
        elif what == "deliver":
            hand.deliver(id=id)
        assert tuple(m.fingerprint({}) for m in states_of(hand.members.values())) in met


@pytest.mark.parametrize(
    "bounds", [ExplorationBounds(timeouts=1, crashes=1, lags=1), ExplorationBounds(1, 1, 1)]
)
def test_symmetry_keeps_one_state_of_each_kind(bounds):
    """The states that renaming leads to each other are counted by hand, one state by one."""
    space, seen = everything(cluster(), bounds, symmetry=True)
    assert len(space._renamings) == 6
    kinds = {frozenset(space._rename(way, *state) for way in range(6)) for state in seen}
    assert explore(cluster(), bounds).states == len(kinds)
    assert explore(cluster(), bounds, symmetry=False).states == len(seen) > 3 * len(kinds)


def test_members_that_differ_are_not_taken_for_each_other():
    start = Cluster(3, options=NO_TIME)
    start.add("n4")
    assert (
        len(StateSpace(start, ExplorationBounds(), but=(), symmetry=True)._renamings) == 6
    )  # n4 votes nowhere


def test_it_begins_with_any_situation_and_leaves_it_alone():
    start = cluster()
    start.timeout("n1")
    before = str(start), [m.fingerprint({}) for m in states_of(start.members.values())]
    report = explore(start, ExplorationBounds(timeouts=0))
    assert report.complete
    assert report.states > 20  # what is in flight arrives, and elects n1
    assert (str(start), [m.fingerprint({}) for m in states_of(start.members.values())]) == before


def test_of_two_equal_messages_one_stays_in_flight():
    start = cluster()
    start.timeout("n1")
    start.duplicate(to="n2")
    space = StateSpace(start, ExplorationBounds(timeouts=0), but=(), symmetry=False)
    to_n2 = max(space.first[3], key=space.first[3].count)
    arrived = {step.member: after[3] for step, after in space.following(space.first)}
    assert [arrived[name].count(to_n2) for name in ("n2", "n3")] == [1, 2]


def test_a_limit_ends_it():
    report = explore(cluster(), ExplorationBounds(timeouts=2), limit=100)
    assert (report.states, report.complete, report.violation) == (100, False, None)
    assert "there is more to explore" in str(report)


def test_the_same_search_gives_the_same_report():
    assert explore(cluster(), ExplorationBounds(1, 1, 1)) == explore(
        cluster(), ExplorationBounds(1, 1, 1)
    )


def test_what_is_not_explored_is_refused():
    down, cut, changed = cluster(), cluster(), cluster()
    down.crash("n2")
    with pytest.raises(BadInput, match="n2 is down"):
        explore(down, ExplorationBounds())
    for start in (cut, changed):
        start.timeout("n1")
        start.settle()
    cut.truncate_log("n1", 1)
    with pytest.raises(BadInput, match="the log of n1 was truncated at 1"):
        explore(cut, ExplorationBounds())
    changed.propose_change("n1", ["n1", "n2", "n3"], ["n4"])
    with pytest.raises(BadInput, match="the log of n1 holds a change of members"):
        explore(changed, ExplorationBounds())


# ── copies ──────────────────────────────────────────────────────────────────────────────────────


def some_members(seed, steps=25):
    """Return members in the middle of something, and messages that are on their way to them."""
    random, hand = Random(seed), cluster(seed=seed, options=ONE_BY_ONE)
    for _ in range(steps):
        if hand.leader() and random.random() < 0.2:
            hand.propose(hand.leader(), "x")
        elif hand.in_flight and random.random() < 0.85:
            hand.deliver(id=random.choice(hand.in_flight).id)
        else:
            hand.timeout(random.choice(list(hand.members)))
    return states_of(hand.members.values()), [letter.message for letter in hand.in_flight]


def attributes(thing):
    names = vars(thing) if hasattr(thing, "__dict__") else thing.__slots__
    return {name: getattr(thing, name) for name in names}


def changeable(thing, found):
    """Gather what hangs from a thing and can change, by identity."""
    if id(thing) in found or thing is LEAST or thing is ignore:
        return found
    if isinstance(thing, (list, dict, set, bytearray)) or hasattr(thing, "popleft"):
        found[id(thing)] = thing
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple)) or hasattr(thing, "popleft"):
        for item in thing:
            changeable(item, found)
    elif type(thing).__module__.startswith("kvraft") and not type(thing).__hash__:
        found[id(thing)] = thing
    if isinstance(thing, CHANGING):
        found[id(thing)] = thing
        for value in attributes(thing).values():
            changeable(value, found)
    return found


def shown(thing, seen=()):
    """Return everything that hangs from a thing, as text."""
    if id(thing) in seen:
        return "…"
    if isinstance(thing, CHANGING):
        inner = {k: shown(v, (*seen, id(thing))) for k, v in attributes(thing).items()}
        return f"{type(thing).__name__}{sorted(inner.items())}"
    if isinstance(thing, dict):
        return str({k: shown(v, seen) for k, v in thing.items()})
    if isinstance(thing, (list, tuple)) and type(thing) in (list, tuple):
        return str([shown(item, seen) for item in thing])
    return repr(thing)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 2**32))
def test_a_copy_is_complete_and_independent(seed):
    members, letters = some_members(seed)
    for member in members:
        copy = clone(clone(member.raft))  # the first no longer reports or draws
        original = clone(member.raft)
        assert shown(copy) == shown(original)
        assert not set(changeable(copy, {})) & set(changeable(original, {}))
        parts = (copy._election, copy._follower, copy._leader)
        assert all(part is None or part.core is copy._core for part in parts)
        before = shown(original)
        for message in letters:
            copy.step(message)
        copy.timeout()
        copy.ready()
        copy.advance()
        assert shown(original) == before


def test_an_attribute_of_an_unknown_type_is_refused():
    class Extra(Raft):
        def __init__(self, *args, **more):
            super().__init__(*args, **more)
            self.extra = {"n1"}

    with pytest.raises(BadInput, match=r"Extra\.extra is a set"):
        explore(cluster(Extra), ExplorationBounds())
    with pytest.raises(BadInput, match="there is a set"):
        fingerprint([set()], {})


def disturb(raft, random):
    """Change everything that is said to make no difference."""
    fixed = ("report", "_random", "options", "_options", "cluster", "_batch", "_ticks")
    for thing in changeable(raft, {}).values():
        for kind in CHANGING if isinstance(thing, CHANGING) else ():
            names = attributes(thing) if kind in ASIDE else IGNORED.get(kind, ())
            for name in names if isinstance(thing, kind) else ():
                value = getattr(thing, name)
                if name in fixed:
                    continue
                if isinstance(value, bool):
                    setattr(thing, name, not value)
                elif isinstance(value, int):
                    setattr(thing, name, value + random.randrange(1, 9))
                elif isinstance(value, list):
                    value.clear()
                elif name == "_told":
                    thing._told = (Role.FOLLOWER, 0, None)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 2**32))
def test_what_is_left_out_makes_no_difference(seed):
    """Two modules that differ in nothing else do the same with every input, and say the same."""
    members, letters = some_members(seed)
    random = Random(seed)
    for member in members:
        name = member.raft.member
        other = member.clone()
        disturb(other.raft, random)
        assert other.fingerprint({}) == member.fingerprint({})
        steps = [
            Transition(Action.TIMEOUT, name),
            Transition(Action.CRASH, name),
            Transition(Action.PROPOSE, name, number=1),
        ]
        steps += [
            Transition(Action.RECEIVE, name, letter) for letter in letters if letter.to == name
        ]
        for step in steps + [step._replace(lags=True) for step in steps]:
            one, two = take_transition(member, step), take_transition(other, step)
            assert one.after.fingerprint({}) == two.after.fingerprint({})
            assert [fingerprint(m, {}) for m in one.sent] == [fingerprint(m, {}) for m in two.sent]
            assert (one.committed, one.broken) == (two.committed, two.broken)


def test_a_rule_may_be_overridden_by_a_method():
    """It looks at its own member, in a copy as in the original."""

    class Once(Raft):
        def grant_vote(self, ask, term, vote, last):
            return self.vote is None and ask.term == term and ask.last_index >= last.index

    raft = cluster(Once).rafts["n1"]
    copy = clone(clone(raft))
    assert copy._election._grant_vote.__self__ is copy
    assert fingerprint(copy, {}) == fingerprint(raft, {})
    assert explore(cluster(Once), ExplorationBounds(timeouts=1)).violation is None
