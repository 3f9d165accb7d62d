"""How long a cluster is without a leader: measured in a thousand elections (Raft Figure 16).

A *trial* is one crash of a leader.  One tick is a millisecond, and a message takes 5 to 10 ms, so
that a broadcast and its answers take about 15 ms, as in the paper (§9.3)::

    last heartbeat          crash                          the next leader
    ──┬───────────────────────┬──────────────────────────────────┬─────► ms
      │◄─ up to half a ──────►│◄──────────── outage ────────────►│
      │   smallest timeout   │
      └► reaches the followers at about the same time, and resets all their timers

As there, the trial is made hard: the last heartbeat goes to all at one time, and no two logs end
alike, so that only two of the remaining four can win at all.

Time in which nothing is due is skipped, with the same result as tick by tick.

Source: Raft §9.3, Figure 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions, Role
from kvraft.sim.cluster import Cluster
from kvraft.sim.timeline import TICK

LIMIT = 2_000
"""How long a trial lasts at most, in milliseconds."""

PAPER_LATENCY = (5, 10)
"""The least and the most milliseconds that a message takes one way."""

MEMBERS = ("n1", "n2", "n3", "n4", "n5")
"""The first is the leader that crashes."""

TimeoutRange = tuple[int, int]
"""The shortest and the longest election timeout that may be drawn, in milliseconds."""


class OutageTrial(NamedTuple):
    """How a trial went: after ``millis`` there was a leader, in the ``elections``-th election.

    If there was none by the end of the trial, ``elected`` is false and ``millis`` is its length.
    """

    millis: int
    elections: int
    elected: bool = True


def paper_options(low: int, high: int, heartbeat: int | None = None) -> RaftOptions:
    """Return the plain Raft of the paper with timeouts from ``low`` to ``high`` milliseconds.

    A tick is a millisecond.  Heartbeats come every ``heartbeat`` of them, by default half the
    shortest timeout, as in the paper.
    """
    if not 2 <= low <= high:
        raise BadInput(f"timeouts from {low} to {high} ms make no sense")
    return RaftOptions(
        election_ticks=low,
        spread_ticks=high - low + 1,
        heartbeat_ticks=heartbeat or low // 2,
        pre_vote=False,
        check_quorum=False,
    )


class LeapingCluster(Cluster):
    """A cluster whose clock can leap to when something is due.  No member may lead, or read."""

    def leap(self) -> None:
        """Do what :meth:`run` does, for as many ticks as it takes until something is due."""
        members = list(self.rafts.values())
        letters = self.in_flight
        ticks = min([_until_timeout(raft) for raft in members])
        if letters:
            first = min([letter.due for letter in letters])
            ticks = min(ticks, max(1, -((self.now - first) // TICK)))
        self.now += ticks * TICK
        for raft in members:
            for _ in range(ticks - 1):
                raft.tick()
        due = [letter for letter in letters if letter.due <= self.now]
        for letter in sorted(due, key=lambda letter: letter.due):
            self.arrive(letter)
        for raft in members:
            raft.tick()
            self.work(raft.member)


def _until_timeout(raft: Raft) -> int:
    """Return in how many ticks the timer of ``raft`` fires."""
    if raft.role is Role.LEADER:
        return 1
    status = raft.status()
    return status.timeout - status.elapsed


def measure_outage(
    options: RaftOptions,
    seed: int,
    *,
    equal: bool = False,
    limit: int = LIMIT,
    latency: tuple[int, int] = PAPER_LATENCY,
) -> OutageTrial:
    """Crash the leader of five members and return how long they were without one.

    With ``equal`` logs every follower can win.  The trial ends after ``limit`` milliseconds.  A
    message takes ``latency`` milliseconds one way, at least and at most.
    """
    random = Random(f"{seed}/outage")
    cluster = crashed(options, seed, random, equal=equal, latency=latency)
    since = random.randrange(options.heartbeat_ticks)
    start, followers = cluster.now, list(cluster.rafts.values())
    before = followers[0].term
    while True:
        millis = (cluster.now - start) // TICK - since
        leading = [raft for raft in followers if raft.role is Role.LEADER]
        if leading or millis >= limit:
            term = max(raft.term for raft in leading or followers)
            return OutageTrial(min(millis, limit), term - before, bool(leading))
        cluster.leap()


def crashed(
    options: RaftOptions,
    seed: int,
    random: Random,
    *,
    equal: bool = False,
    latency: tuple[int, int] = PAPER_LATENCY,
) -> LeapingCluster:
    """Return a cluster at the moment at which its leader has sent its last heartbeat."""
    lengths = [1, 1, 1, 1] if equal else random.sample((1, 2, 3, 4), 4)
    logs = [[1] * length for length in (max(lengths), *lengths)]
    cluster = LeapingCluster(
        MEMBERS,
        seed=seed,
        options=options,
        logs=dict(zip(MEMBERS, logs, strict=True)),
        latency=latency,
        trace=False,
    )
    leader = MEMBERS[0]
    cluster.timeout(leader)
    cluster.deliver()  # its requests
    cluster.deliver()  # the votes: it leads, and tells all followers
    # Between a heartbeat and the next, a leader that gets no proposals does nothing that a follower
    # would notice: it may as well crash at once, and the outage is counted from later on.
    cluster.crash(leader)
    return cluster


def run_election_trials(
    options: RaftOptions,
    trials: int = 1_000,
    *,
    equal: bool = False,
    limit: int = LIMIT,
    latency: tuple[int, int] = PAPER_LATENCY,
) -> list[OutageTrial]:
    """Return ``trials`` outages, with seeds 0, 1, 2, …; see :func:`measure_outage`."""
    return [
        measure_outage(options, seed, equal=equal, limit=limit, latency=latency)
        for seed in range(trials)
    ]


def median_trial(measured: Sequence[OutageTrial]) -> OutageTrial:
    """Return the lower median of the trials: half of them took no longer."""
    _some(measured)
    in_order = sorted(measured, key=lambda trial: (not trial.elected, trial.millis))
    return in_order[(len(in_order) - 1) // 2]


def failed_first_share(measured: Sequence[OutageTrial]) -> float:
    """Return the share of trials in which the first election elected no leader."""
    _some(measured)
    failed = [trial for trial in measured if trial.elections > 1 or not trial.elected]
    return len(failed) / len(measured)


def _some(measured: Sequence[OutageTrial]) -> None:
    if not measured:
        raise BadInput("nothing was measured")
