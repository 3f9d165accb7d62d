"""Consensus under everything at once, seed after seed, with every property checked at every step.

Members crash and start again, messages are lost, doubled and overtaken, links are cut; members
join, leave and hand over; logs are cut and snapshots sent; reads are asked of leaders and
followers.  Afterwards the network is made whole, and everybody must come to agree.
"""

from dataclasses import replace
from random import Random

import pytest

from kvraft.check import Property, Violation
from kvraft.check.raft import watch
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.raft import Leadership, ProposalOutcome, Raft, RaftOptions, Role
from kvraft.sim import Cluster

PLAIN = RaftOptions(
    election_ticks=6, spread_ticks=6, heartbeat_ticks=2, max_batch_bytes=150, window=3,
    max_uncommitted=8, pre_vote=False, check_quorum=False,
)  # fmt: skip
OPTIONS = {
    "plain": PLAIN,
    "pre-vote": replace(PLAIN, pre_vote=True),
    "check-quorum": replace(PLAIN, check_quorum=True),
    "both": replace(PLAIN, pre_vote=True, check_quorum=True),
    "lease": replace(PLAIN, pre_vote=True, check_quorum=True, lease_ticks=5),
}
ACTS = {
    "run": 14, "deliver": 40, "tick": 6, "propose": 14, "drop": 1, "duplicate": 3, "crash": 2,
    "restart": 8, "cut_log": 2, "read": 6, "change": 2, "transfer": 0.6, "partition": 0.8,
    "heal": 2, "add": 0.3, "timeout": 0.5,
}  # fmt: skip


class Storm:
    """One cluster under one seed; ``seen`` counts what came about."""

    def __init__(self, seed, options, members=3, consensus=Raft, steps=250):
        self.random = Random(f"storm/{seed}")
        number = self.random.getrandbits(32)
        self.cluster = Cluster(
            members, seed=number, options=options, latency=(1, 2), trace=False, consensus=consensus
        )
        self.checker = watch(self.cluster)
        self.plain = not (options.pre_vote or options.check_quorum)
        self.leases = options.lease_ticks > 0
        self.token = 0
        self.proposed = {}  # member, start, first, term → last
        self.seen = {}
        for _ in range(steps):
            act = self.random.choices(list(ACTS), ACTS.values())[0]
            name = self.random.choice(list(self.cluster.members))
            try:
                getattr(self, act)(name)
            except (BadInput, Busy, NotLeader):
                act = f"no {act}"
            self.seen[act] = self.seen.get(act, 0) + 1

    def run(self, name):
        self.cluster.run(self.random.randint(1, 5))

    def deliver(self, name):
        if self.cluster.in_flight:
            self.cluster.deliver(id=self.random.choice(self.cluster.in_flight).id)

    def tick(self, name):
        """With leases all clocks go at one rate, as a lease assumes; else each as it likes."""
        names = list(self.cluster.rafts) if self.leases else [name]
        for name in names:
            self.cluster.tick(name)

    def timeout(self, name):
        if not self.leases:  # a timer that runs out early breaks what a lease assumes
            self.cluster.timeout(name)

    def propose(self, name):
        name = self.cluster.leader() or name
        raft = self.cluster.rafts.get(name)
        count = self.random.randint(1, 3)
        first, last = self.cluster.propose(name, *[f"k{n}" for n in range(count)])
        self.proposed[name, self.cluster.members[name].starts, first, raft.term] = last

    def drop(self, name):
        if self.cluster.in_flight:
            self.cluster.drop(id=self.random.choice(self.cluster.in_flight).id)

    def duplicate(self, name):
        if self.cluster.in_flight:
            self.cluster.duplicate(id=self.random.choice(self.cluster.in_flight).id)

    def crash(self, name):
        if self.random.random() < 0.3:
            name = self.cluster.leader() or name
        self.cluster.crash(name)

    def restart(self, name):
        self.cluster.restart(name)

    def cut_log(self, name):
        self.cluster.truncate_log(name, self.cluster.rafts[name].commit_index) if (
            name in self.cluster.rafts
        ) else None

    def read(self, name):
        if self.random.random() < 0.5:
            name = self.cluster.leader() or name
        self.token += 1
        self.cluster.read(name, self.token)

    def change(self, name):
        name = self.cluster.leader() or name
        now = self.cluster.rafts[name].configuration if name in self.cluster.rafts else None
        if now is None:
            return
        everybody = list(self.cluster.members)
        voters = self.random.sample(now.members, self.random.randint(1, len(now.members)))
        learners = [other for other in everybody if other not in voters]
        if self.random.random() < 0.5:
            voters, learners = now.voters, [n for n in everybody if n not in now.voters]
        self.cluster.propose_change(name, voters, learners[:1])

    def transfer(self, name):
        self.cluster.transfer(self.cluster.leader() or name, name)

    def partition(self, name):
        self.cluster.partition(self.random.sample(list(self.cluster.members), 2))

    def heal(self, name):
        self.cluster.heal()

    def add(self, name):
        if len(self.cluster.members) < 5:
            self.cluster.add(f"n{len(self.cluster.members) + 1}")

    def finish(self):
        """Make all whole: a leader, a last entry committed by everybody, and no change open."""
        cluster = self.cluster
        cluster.heal()
        for name, member in cluster.members.items():
            if member.raft is None:
                cluster.restart(name)
        last = 0

        def agreed():
            nonlocal last
            leader = cluster.leader()
            if leader is None:
                return False
            raft = cluster.rafts[leader]
            if self.plain and raft.configuration_index <= raft.commit_index:
                for name in cluster.rafts:  # nothing else keeps who was removed from disrupting
                    if name not in raft.configuration.members:
                        cluster.crash(name)
            if not last or raft.log.last_index < last:
                try:
                    last = cluster.propose(leader, "last")[1]
                except Busy:
                    return False
            members = raft.configuration.members
            for name in members:  # who was away permanently belongs to it again
                if name not in cluster.rafts:
                    cluster.restart(name)
            return not raft.configuration.joint and all(
                cluster.rafts[name].commit_index >= last
                and cluster.rafts[name].configuration == raft.configuration
                for name in members
            )

        cluster.run_until(agreed, limit=600)
        self.checker.check_everything()
        leader = cluster.leader()
        members = cluster.rafts[leader].configuration.members
        shortest = min(len(cluster.members[name].applied) for name in members)
        logs = {tuple(cluster.members[name].applied[:shortest]) for name in members}
        assert len(logs) == 1
        self.check_fates(cluster.members[leader].applied)

    def check_fates(self, applied):
        """Whoever was told of a proposal's fate was told the truth, and told once."""
        for name, member in self.cluster.members.items():
            told = [(d.first, d.term) for d in member.decided]
            assert len(told) == len(set(told))
            for first, last, term, fate in member.decided:
                if fate is ProposalOutcome.UNKNOWN or last > len(applied):
                    continue
                kept = all(applied[index - 1].term == term for index in range(first, last + 1))
                assert kept is (fate is ProposalOutcome.COMMITTED), (name, first, last, term, fate)
            if member.raft is None:
                continue
            for (who, start, first, term), last in self.proposed.items():
                if (who, start) == (name, member.starts) and last <= member.raft.commit_index:
                    assert (first, term) in told, "a proposal whose place is committed is decided"


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("members", [3, 4])
def test_safe_after_every_step_and_live_in_the_end(options, members):
    seen = {}
    for seed in range(SEEDS):
        storm = Storm(f"{members}/{options}/{seed}", OPTIONS[options], members)
        storm.finish()
        for act, count in storm.seen.items():
            seen[act] = seen.get(act, 0) + count
        for member in storm.cluster.members.values():
            for decided in member.decided:
                seen[decided.outcome] = seen.get(decided.outcome, 0) + 1
            seen["served"] = seen.get("served", 0) + len(member.reads)
    # A storm in which these never come about would prove nothing.
    for act in ("crash", "restart", "change", "cut_log", "propose", "read", "served"):
        assert seen.get(act, 0) > SEEDS // 4, (act, seen)
    assert seen.get(ProposalOutcome.COMMITTED, 0) > SEEDS
    assert seen.get("transfer", 0) > 0


SEEDS = 100
"""Storms for each kind of cluster: a thousand in all."""


class VotesForAnybody(Raft):
    """No election restriction."""

    @staticmethod
    def grant_vote(ask, term, vote, last):
        return ask.term == term and vote in (None, ask.sender)


class VotesTwice(Raft):
    @staticmethod
    def grant_vote(ask, term, vote, last):
        return ask.term == term and (ask.last_term, ask.last_index) >= (last.term, last.index)


class _WithoutARound(Leadership):
    def read(self, who):
        self.core.serve(who, self.core.commit_index)


class ReadsWithoutARound(Raft):
    leader_type = _WithoutARound

    def read_index(self, token):
        if self.role is not Role.LEADER:
            raise NotLeader(self.member, None)
        super().read_index(token)


FINDS = {
    VotesForAnybody: {Property.COMMITTED_KEPT, Property.LEADER_COMPLETENESS},
    VotesTwice: {Property.ONE_VOTE, Property.ELECTION_SAFETY, Property.DURABLE_FIRST},
    ReadsWithoutARound: {Property.FRESH_READS},
}


@pytest.mark.parametrize("bug", FINDS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_within_the_seeds(bug):
    def search():
        for seed in range(400):
            Storm(f"bug/{seed}", PLAIN, 3 + seed % 3, consensus=bug)

    with pytest.raises(Violation) as found:
        search()
    assert found.value.property in FINDS[bug]


# ── what the storms found ───────────────────────────────────────────────────────────────────────


def test_a_log_that_is_cut_under_a_full_window_means_a_snapshot():
    """What is on its way to n3 is lost, and what follows on it is gone from the leader's log."""
    cluster = Cluster(3, options=PLAIN)
    cluster.timeout("n1")
    cluster.settle()
    for _ in range(PLAIN.window):
        cluster.propose("n1", "k")
    cluster.drop(to="n3")
    cluster.settle()
    cluster.propose("n1", "k", "k")
    cluster.settle()
    cluster.timeout("n1")
    cluster.drop(to="n3")
    cluster.settle()
    cluster.truncate_log("n1", cluster.rafts["n1"].commit_index)
    cluster.run(PLAIN.election_ticks * 3)
    assert cluster.rafts["n3"].log.last_index == cluster.rafts["n1"].log.last_index


def test_who_was_removed_by_a_change_that_nobody_committed_can_still_be_elected():
    """n3 alone is to vote, but only n1 and n2, who are to go, have the entry that says so.

    Their logs are the more complete ones, so n3 cannot win; one of them must (thesis §4.2.2).
    """
    cluster = Cluster(3, options=PLAIN)
    checker = watch(cluster)
    cluster.timeout("n1")
    cluster.settle()
    cluster.propose_change("n1", ["n3"])
    while cluster.rafts["n1"].configuration.joint:
        cluster.deliver(id=cluster.in_flight[0].id)
    cluster.deliver(to="n2")
    assert str(cluster.rafts["n2"].configuration) == "n3"
    assert cluster.rafts["n3"].configuration.joint
    cluster.drop(to="n3")
    cluster.crash("n1")
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(40)
    checker.check_everything()
    assert cluster.leader() == "n3"
    assert str(cluster.rafts["n3"].configuration) == "n3"
    assert cluster.rafts["n3"].commit_index >= 3
