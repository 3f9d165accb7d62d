"""A run is a value: replayed to the letter, forked at any moment, saved and loaded."""

from itertools import pairwise
from random import Random

import pytest

from kvraft.sim import VERBS, Run
from tests.helpers.random_runs import SMALL, act_at_random, go_on_at_random, random_run

SEEDS = range(17)
FORKED = range(1, 4)


def same(one, other):
    """Whether two runs are in the same state, as far as anybody can see."""
    return (
        one.trace.digest() == other.trace.digest()
        and one.now == other.now
        and one.actions == other.actions
        and status(one) == status(other)
    )


def status(run):
    world = run.world
    disks = [(name, world.disk(name)) for name in world.members]
    return (
        [(name, r.raft.status(), r.marks) for name, r in world.replicas.items()],
        [(e.id, e.arrives) for e in world.in_flight],
        {name: [(file, disk.read(file)) for file in disk.names()] for name, disk in disks},
    )


def go_on(run, seed, count=8):
    """Go on at random, the same way for the same seed."""
    random = Random(seed)
    for _ in range(count):
        act_at_random(random, run)
        go_on_at_random(random, run)
    run.run_for(200)


def test_the_same_actions_give_the_same_run_whatever_they_are():
    done = set()
    for seed in SEEDS:
        run = random_run(seed, 60)
        again = Run(run.members, seed=seed, options=SMALL, actions=run.actions)
        again.run_to(run.now)
        assert same(again, run)
        done |= {action.verb for action in run.actions}
        began = [*run.steps_before, len(run.trace)]
        assert all(one < other for one, other in pairwise(began)), "each leaves an event"
    assert done == set(VERBS)


@pytest.mark.parametrize("seed", FORKED)
def test_a_fork_from_the_ladder_is_what_a_replay_gives_and_goes_on_like_it(seed):
    run = random_run(seed, 60)
    digest, actions, random = run.trace.digest(), run.actions, Random(seed)
    for _ in range(3):
        step = random.randrange(len(run.trace))
        fork = run.fork(step)
        assert len(fork.trace) > step
        assert list(fork.trace) == list(run.trace[: len(fork.trace)])
        assert fork.actions == run.actions[: len(fork.actions)]
        assert fork.now == run.trace[step].at
        replay = Run.parse(fork.to_text())
        assert same(replay, fork)
        go_on(fork, step)
        go_on(replay, step)
        assert same(replay, fork)
    assert (run.trace.digest(), run.actions) == (digest, actions)
    go_on(run, 1)
    replay = Run.parse(run.to_text())
    assert same(replay, run)
