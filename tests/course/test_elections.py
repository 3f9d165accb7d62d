"""Lesson 01: its measurement is the cluster's, its checks tell right from wrong, and why."""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check import Violation, scenario
from kvraft.course.exercises import elections
from kvraft.course.exercises.elections import check_grant_vote, check_range, situations
from kvraft.course.solutions.s01_elections import (
    RIGHT,
    WRONG,
    both_at_least,
    for_everybody,
    for_the_higher_term,
    never_again,
    of_any_term,
    strictly_more,
    without_logs,
)
from kvraft.errors import BadInput, TimedOut
from kvraft.raft import safety as rules
from kvraft.record import HardState
from kvraft.sim import (
    Cluster,
    OutageTrial,
    failed_first_share,
    median_trial,
    paper_options,
    run_election_trials,
)
from kvraft.sim.elections import LIMIT, crashed, measure_outage
from kvraft.viz.figures import plot_failed, plot_terms, plot_trials, title_of

# ── the measurement ─────────────────────────────────────────────────────────────────────────────
from tests.helpers.course import without_name


def seen(cluster):
    """Everything that a member is, and every message with the moment at which it is due."""
    members = [
        (r.term, r.vote, r.role, r.status().elapsed, r.log.last) for r in cluster.rafts.values()
    ]
    letters = sorted((letter.due, str(letter.message)) for letter in cluster.in_flight)
    return cluster.now, members, letters


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(8, 60), st.integers(0, 60), st.integers(0, 10_000), st.booleans())
def test_leaping_is_ticking(low, width, seed, equal):
    """A leap gives exactly what as many ticks give, at each of its stops, leaders included."""
    options = paper_options(low, low + width)
    quick = crashed(options, seed, Random(seed), equal=equal)
    slow = crashed(options, seed, Random(seed), equal=equal)
    for _ in range(60):
        quick.leap()
        while slow.now < quick.now:
            slow.run(1)
        assert seen(quick) == seen(slow)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(10, 150), st.integers(0, 150), st.integers(0, 1000))
def test_an_outage_is_what_a_leader_that_lives_until_its_crash_leaves_behind(low, width, seed):
    """The measurement crashes it early and counts from later on; here it crashes when it does."""
    options, random = paper_options(low, low + width), Random(f"{seed}/outage")
    cluster = Cluster(
        5,
        seed=seed,
        options=options,
        latency=(5, 10),
        trace=False,
        logs={f"n{number}": [1] for number in range(1, 6)},
    )
    cluster.timeout("n1")
    cluster.deliver()
    cluster.deliver()
    cluster.run(random.randrange(options.heartbeat_ticks))
    cluster.crash("n1")
    quick = measure_outage(options, seed, equal=True)
    try:
        millis = cluster.run_until(lambda: cluster.leader() is not None, limit=LIMIT)
    except TimedOut:
        millis = LIMIT
    assert (millis, millis < LIMIT) == (quick.millis, quick.elected)


def test_the_trial_is_as_hard_as_it_says():
    cluster = crashed(paper_options(150, 300), 4, Random(4))
    ends = sorted(raft.log.last_index for raft in cluster.rafts.values())
    assert ends == [1, 2, 3, 4]
    assert "n1" not in cluster.rafts
    assert {raft.term for raft in cluster.rafts.values()} == {2}
    assert len(cluster.find(sender="n1")) == 4  # the heartbeat, all at one time
    assert len({letter.due for letter in cluster.in_flight}) > 1
    winners = set()
    for seed in range(40):
        cluster = crashed(paper_options(150, 300), seed, Random(seed))
        while cluster.leader() is None:
            cluster.leap()
        winners.add(_rank(cluster))
    assert winners == {3, 5}  # entries: only they find three votes; the longest got the no-op


def _rank(cluster):
    """Return how long the log of the leader was before its no-op."""
    return cluster.rafts[cluster.leader()].log.last_index - 1


def test_lone_time_outs_are_the_shortest_outage_and_given_up_ones_are_told():
    trials = run_election_trials(paper_options(150, 150), 20)
    assert [t for t in trials if not t.elected], "identical timeouts split votes for ever"
    assert all(t.millis == LIMIT for t in trials if not t.elected)
    trials = run_election_trials(paper_options(150, 300), 60)
    assert min(t.millis for t in trials) >= 150 - 75 + 5 + 10
    assert all(t.elected and t.elections >= 1 for t in trials)
    assert run_election_trials(paper_options(150, 300), 60) == trials


def test_the_time_of_a_message_decides_how_narrow_a_range_may_be():
    slow, fast = (
        run_election_trials(paper_options(12, 24), 60, latency=latency)
        for latency in ((5, 10), (2, 4))
    )
    assert slow == run_election_trials(paper_options(12, 24), 60)
    assert failed_first_share(slow) > 0.85 > failed_first_share(fast)
    assert median_trial(fast).millis < median_trial(slow).millis / 2
    assert min(trial.millis for trial in fast) >= 12 - 6 + 2 + 2


def test_middle_and_share_count_what_was_given_up_as_the_worst():
    trials = [
        OutageTrial(100, 1),
        OutageTrial(2000, 20, False),
        OutageTrial(200, 1),
        OutageTrial(150, 2),
    ]
    assert median_trial(trials) == OutageTrial(150, 2)
    assert median_trial(trials[:2]) == OutageTrial(100, 1)
    assert median_trial([OutageTrial(2000, 9, False), OutageTrial(2000, 9)]).elected
    assert not median_trial([trials[1], trials[1], trials[0]]).elected
    assert failed_first_share(trials) == 0.5
    assert failed_first_share([OutageTrial(2000, 1, False)]) == 1


@pytest.mark.parametrize(("low", "high"), [(1, 5), (10, 9)])
def test_nonsense_is_refused(low, high):
    with pytest.raises(BadInput, match="make no sense"):
        paper_options(low, high)


# ── the figures ─────────────────────────────────────────────────────────────────────────────────


def test_a_curve_rises_to_the_share_that_was_elected():
    measured = {
        (10, 20): [OutageTrial(30, 1), OutageTrial(10, 1), OutageTrial(20, 1), OutageTrial(40, 1)],
        (10, 10): [
            OutageTrial(2000, 9, False),
            OutageTrial(50, 3),
            OutageTrial(2000, 9, False),
            OutageTrial(60, 3),
        ],
    }
    figure = plot_trials(measured)
    first, second = figure.axes[0].lines
    assert list(first.get_xdata()) == [10, 10, 20, 30, 40]
    assert list(first.get_ydata()) == [0, 0.25, 0.5, 0.75, 1]
    assert list(second.get_ydata()) == [0, 0.25, 0.5]
    assert second.get_label() == "10\u201310 (4)"
    assert title_of(figure) == (
        "Half of the outages end within 20 ms (10 to 20), within 60 ms (10 to 10)"
    )
    worse = {(1, 2): [OutageTrial(9, 1)], (3, 3): [OutageTrial(2000, 9, False)]}
    assert title_of(plot_trials(worse)).endswith("not within 2,000 ms (3 to 3)")
    never, half = (
        [OutageTrial(2000, 9, False)] * 2,
        [OutageTrial(2000, 9, False)] * 2 + [OutageTrial(50, 1)],
    )
    title = title_of(plot_trials({(1, 1): never, (1, 2): half, (1, 9): [OutageTrial(9, 1)]}))
    assert title.endswith("within 9 ms (1 to 9), not within 2,000 ms (1 to 1)")


def test_bars_and_terms_are_titled_by_what_was_measured():
    bars = {
        (10, 10): [OutageTrial(50, 2), OutageTrial(40, 2)],
        (10, 20): [OutageTrial(20, 1), OutageTrial(40, 2)],
    }
    figure = plot_failed(bars)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1, 0.5]
    assert title_of(figure) == (
        "With 10 to 10 ms 100% of the first elections fail, with 10 to 20 ms 50%"
    )
    figure = plot_terms({"a": [1, 1, 2, 5, 9], "b": [1, 1, 1, 1, 1]}, cut=(10, 30), step=10)
    assert title_of(figure) == "After 20 ms of being cut off, a: term 5, b: term 1"


@pytest.mark.parametrize("call", [plot_trials, plot_failed, median_trial, failed_first_share])
def test_nothing_measured_is_told(call):
    with pytest.raises(BadInput, match="nothing was measured"):
        call({})


# ── the rule ────────────────────────────────────────────────────────────────────────────────────


def said(capsys, check, *answer):
    check(*answer)
    return without_name(capsys.readouterr().out)


def test_a_right_rule_elects_leaders_and_is_told_so(capsys):
    words = said(capsys, check_grant_vote, RIGHT["grant_vote"])
    assert words.startswith("Right. It agrees with Raft in 1,137 situations"), words
    assert int(re.search(r"elected (\d+) leaders", words)[1]) > 500


@pytest.mark.parametrize("rule", WRONG["grant_vote"], ids=lambda rule: rule.__name__)
def test_a_wrong_rule_is_told_where_it_goes_wrong(capsys, rule):
    words = said(capsys, check_grant_vote, rule)
    assert words.startswith("Not yet. A member is in term"), words
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (of_any_term, "that is an election of term 1, which is over here"),
        (for_everybody, "the vote of this term is given away"),
        (without_logs, "its last entry is of an older term"),
        (for_the_higher_term, "both logs end in the same term, and its is shorter"),
        (both_at_least, "the term of the last entry decides before the length"),
        (strictly_more, "the vote is free, and its log is as up-to-date"),
        (never_again, "n1 has the vote already"),
    ],
)
def test_the_reason_is_the_one_that_helps(capsys, rule, reason):
    assert reason in said(capsys, check_grant_vote, rule)


def test_situations_are_tried_from_the_smallest_on_and_each_mistake_shows_in_one():
    tried = situations()
    assert [s.size for s in tried] == sorted(s.size for s in tried)
    for rule in WRONG["grant_vote"][:-1]:
        assert any(s.ask(rule) != s.ask(rules.grant_vote) for s in tried)
    assert any(s.ask(rules.grant_vote) for s in tried)


def test_every_request_that_a_storm_makes_is_such_a_situation():
    """Else the rule would be asked in storms what it was never tried for."""
    asked = []

    def note(ask, term, vote, last):
        asked.append((ask, term, last))
        return rules.grant_vote(ask, term, vote, last)

    for seed in range(20):
        elections.storm(note, seed)
    assert len(asked) > 100
    assert all(ask.term <= term and ask.last_term < ask.term for ask, term, _ in asked)
    assert all(last.term <= term for _, term, last in asked)


def test_no_answer_and_a_broken_one(capsys):
    assert said(capsys, check_grant_vote, lambda *given: ...).startswith("Not answered yet")
    assert "raised ZeroDivisionError" in said(capsys, check_grant_vote, lambda *given: 1 // 0)
    assert "raised TypeError" in said(capsys, check_grant_vote, lambda: True)
    assert "give True or False" in said(capsys, check_grant_vote, lambda *given: 1)
    assert "7, and has to be a function" in said(capsys, check_grant_vote, 7)


@pytest.mark.parametrize("rule", [for_everybody, without_logs])
def test_a_rule_that_passes_the_situations_is_caught_in_a_storm(capsys, monkeypatch, rule):
    monkeypatch.setattr(elections, "situations", list)
    words = said(capsys, check_grant_vote, rule)
    assert words.startswith("Not yet. In a cluster with faults it breaks a promise: "), words
    assert "raised ZeroDivisionError" in said(capsys, check_grant_vote, lambda *given: 1 // 0)


def test_the_four_situations_are_sound_with_the_rule():
    for name in elections.SITUATIONS:
        elections.play_with_rule(scenario.load(name), rules.grant_vote)


@pytest.mark.parametrize("name", ["candidacy_not_saved", "vote_reset"])
def test_the_situations_are_watched(name):
    with pytest.raises(Violation):
        elections.play_with_rule(scenario.load(name), for_everybody)


# ── the timeouts ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (130, 280, "Right. With 130 to 280 ms, half"),
        (100, 280, "if 60 ms of them are lost?"),
        (130, 160, "Too many candidates"),
        (170, 340, "longer than they need to"),
        (..., 280, "Not answered yet"),
        (130, ..., "Not answered yet"),
        ("a", 280, "Give whole milliseconds"),
        (40, 280, "Give whole milliseconds"),
        (280, 130, "Give whole milliseconds"),
        (130, 10**9, "Give whole milliseconds"),
        (130.5, 280, "Give whole milliseconds"),
    ],
)
def test_time_outs_are_judged_by_running_them(capsys, low, high, words):
    assert words in said(capsys, check_range, low, high)


def test_hiccups_cost_a_leader_its_place_only_where_the_time_outs_are_short():
    assert elections.hiccups(60, 70) == elections.HICCUPS
    assert elections.hiccups(130, 131) == 0


# ── the answer of the first ─────────────────────────────────────────────────────────────────────


def test_the_votes_are_those_of_the_module():
    logs = {
        "A": [1, 1, 4],
        "B": [1, 1, 2, 2, 2, 2],
        "C": [1, 1, 4],
        "D": [1, 1, 2, 2],
        "E": [1, 1, 3],
    }
    counted = {}
    for name in logs:
        cluster = Cluster(
            list(logs),
            options=paper_options(10, 20),
            logs=logs,
            hard_states=dict.fromkeys(logs, HardState(5)),
        )
        cluster.timeout(name)
        cluster.deliver()
        granted = sum(letter.message.granted for letter in cluster.in_flight)
        counted[name] = 1 + granted
        cluster.settle()
        assert (cluster.leader() == name) is (counted[name] >= 3)
    assert counted == RIGHT["votes"]
