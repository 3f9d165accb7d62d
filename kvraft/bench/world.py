"""The simulated world: how much of its time passes in a second of the processor's.

==================== ============================================================================
*five idle*          five members and nothing to do but heartbeats, untraced
*three loaded*       three members and a client with 100 puts a second: untraced; with a trace; and
                     with the swarm's checkers after each step that reported something
*checked events*     the same run as the last: events of its trace that were checked
*judge: …*           what each family of checkers cost for one of these events
*calls put in order* puts and gets of eight clients: the search for an order of them
*a run*              random runs of the swarm, each with its own options and faults, all checked
*fork*               from a run with 30 simulated seconds of 50 puts, forks at moments of its past
==================== ============================================================================

The same seed always does the same work.  The peer, *heapq*, is a loop that takes as many actions
off a heap as the untraced world does, puts others on it, and does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path

from kvraft import sim
from kvraft.bench.judge import FAMILIES, Checkers, order_calls
from kvraft.bench.measure import Part, Row, Samples, Spent, timed
from kvraft.check import sweep
from kvraft.sim import World

HEAP = "heapq"
PUTS = 100
"""How many puts the client makes in a simulated second."""
IDLE_LONGER = 8
"""How many times longer idle members are watched than loaded ones."""
PUTS_A_RUN = 200
"""There is one run of the swarm for so many puts of a loaded world."""
FIRST_RUN = 1_000
"""The seed of the first run of the swarm that is measured; it is the same in every round."""

LOADED_FOR = 30
"""Simulated seconds of load before a run is forked."""
FORKS = 10
"""How many forks are measured, spread evenly over the past."""

UNIT = "simulated s / s"
IDLE = Row("five idle", UNIT, more_is_better=True)
LOADED = Row("three loaded", UNIT, more_is_better=True)
TRACED = Row("three loaded, traced", UNIT, more_is_better=True, peer_row=LOADED.name)
CHECKED = Row("three loaded, checked", UNIT, more_is_better=True, peer_row=LOADED.name)
EVENTS = Row("checked events", "events / s", more_is_better=True)
SWARM = Row("a run of the swarm", "runs / s", more_is_better=True)
FORK = Row(f"fork after {LOADED_FOR} s of load", "ms")

Look = Callable[[], None]


def samples(peer: str, seed: int, records: int, place: Path) -> Samples:
    """Yield every row; ``records`` is how many puts a loaded world sees."""
    seconds = max(1, records // PUTS)
    yield _idle(peer, seed, seconds * IDLE_LONGER).rate(IDLE, seconds * IDLE_LONGER)
    if peer:
        count = run_loaded(loaded_world(seed), seconds)
        yield timed(lambda: turn_heap(count)).rate(LOADED, seconds)
        yield from [None] * (6 + len(FAMILIES))
        return
    yield _loaded(loaded_world(seed), seconds).rate(LOADED, seconds)
    yield _loaded(loaded_world(seed, trace=True), seconds).rate(TRACED, seconds)
    world = loaded_world(seed, trace=True)
    before = len(world.trace)
    checkers = Checkers(world)
    spent = _loaded(world, seconds, checkers.look)
    yield spent.rate(CHECKED, seconds)
    yield spent.rate(EVENTS, len(world.trace) - before)
    yield from checkers.samples(len(world.trace) - before)
    yield from order_calls(seed)
    runs = max(1, records // PUTS_A_RUN)
    yield timed(lambda: run_swarm(runs)).rate(SWARM, runs)
    if not hasattr(sim, "Run"):  # an older version, which cannot fork
        yield None
        return
    run = loaded_run(seed)
    yield timed(lambda: fork_often(run)).per(FORK, FORKS, 1e3)


def _idle(peer: str, seed: int, seconds: int) -> Spent:
    world = World(5, seed=seed, trace=False)
    world.run_until(lambda: world.leader() is not None)
    if not peer:
        return timed(lambda: world.run_for(seconds * 1_000))
    count = run_for(world, seconds * 1_000)
    return timed(lambda: turn_heap(count))


def _loaded(world: World, seconds: int, look: Look | None = None) -> Spent:
    return timed(lambda: run_loaded(world, seconds, look))


def loaded_world(seed: int, *, trace: bool = False) -> World:
    """Return three members that have a leader and have applied a put."""
    world = World(3, seed=seed, trace=trace)
    world.client("c").put(b"first", b"value")
    return world


def run_loaded(world: World, seconds: int, look: Look | None = None) -> int:
    """Run ``world`` with puts, and look at it after each step; return how many steps it took."""
    client = world.client("d")
    steps = 0
    for number in range(seconds * PUTS):
        client.submit({b"%016d" % (number * 7_919 % 10_000): b"v" * 100})
        steps += run_for(world, 1_000 // PUTS, look)
    return steps


def run_for(world: World, millis: int, look: Look | None = None) -> int:
    """Run ``world`` for ``millis``, and look at it after each step; return how many it took."""
    until, steps = world.now + millis * 1_000, 0
    while world.time.next is not None and world.time.next <= until:
        world.step()
        steps += 1
        if look is not None:
            look()
    world.run_for((until - world.now) // 1_000)
    return steps


def run_swarm(count: int) -> None:
    """Run the swarm ``count`` times; raise ``RuntimeError`` if it found anything."""
    settings = [sweep.SwarmSettings()] if hasattr(sweep, "SwarmSettings") else []  # older: none
    for seed in range(FIRST_RUN, FIRST_RUN + count):
        if (found := sweep.run_seed(seed, *settings).found) is not None:
            raise RuntimeError(f"seed {seed}: {found}")


def loaded_run(seed: int) -> sim.Run:
    """Return a run of three members after :data:`LOADED_FOR` seconds with 50 puts each."""
    run = sim.Run(3, seed=seed)
    run.run_until(lambda: run.world.leader() is not None)
    for number in range(LOADED_FOR * 50):
        run.act("put", "c", f"{number * 7_919 % 10_000:016}", "v" * 100)
        run.run_for(20)
    return run


def fork_often(run: sim.Run) -> None:
    """Fork ``run`` at moments of its past."""
    for number in range(FORKS):
        run.fork(at=run.now * (number + 1) // (FORKS + 1))


def turn_heap(count: int) -> int:
    """Take ``count`` actions off a heap, each of which plans another; return the last time."""
    heap, now = [(n, n, turn_heap) for n in range(32)], 0
    for planned in range(32, 32 + count):
        now, _, action = heappop(heap)
        heappush(heap, (now + 10_000, planned, action))
    return now


PART = Part(
    title=f"the simulated world, {PUTS} puts in a simulated second",
    records=800,
    least=10,
    samples=samples,
    peers=lambda: {HEAP: ""},
)
