"""A leader killed at every step: all or nothing; and mistakes that such lives must show."""

import pytest

from kvraft.check.bugs import AppliesRetries, DiscardsWhatItBegan
from kvraft.check.history import Effect, TransactionChecker
from kvraft.check.storage import (
    CopyEnd,
    count_steps,
    flush_all,
    force_snapshot,
    keys_held,
    kill_leader_at,
    kill_leader_everywhere,
    leader_deaths,
    restart_others,
)
from kvraft.errors import BadInput
from kvraft.events import SnapshotReceived, TransactionDiscarded
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import (
    account_balances,
    applied_timestamps,
    measure_conflicts,
    open_bank,
    run_transfers,
)
from kvraft.sim.contention import accounts
from kvraft.transaction import Stage

TIGHT = ReplicaOptions(
    memtable_bytes=1500, segment_bytes=600, retain_bytes=0, raft=RaftOptions(max_batch_bytes=70)
)


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_all_or_nothing_and_exactly_once_whenever_the_leader_dies(seed):
    deaths = kill_leader_everywhere(seed=seed)
    assert len(deaths) == count_steps(seed=seed) + 1
    for death in deaths:
        assert death.whole
        assert death.seen == (0, 5)
        assert keys_held(death) == [5, 5, 5]
        assert death.applied == 1
        assert death.ticket.stage is Stage.APPLIED
        discarded = {step.who for step in death.world.trace.of(TransactionDiscarded)}
        assert discarded == (set(death.world.members) if death.end is CopyEnd.DISCARDED else set())
    ends = [death.end for death in deaths]
    assert set(ends) == set(CopyEnd)
    order = list(CopyEnd)  # the later it dies, the further it has come
    assert ends == sorted(ends, key=order.index)


@pytest.mark.parametrize(
    ("hooks", "options"),
    [
        ({"before": flush_all}, leader_deaths.OPTIONS),
        ({"after": restart_others}, leader_deaths.OPTIONS),
        ({"before": flush_all, "after": force_snapshot}, TIGHT),
    ],
)
def test_what_happens_in_between_changes_nothing(hooks, options):
    deaths = kill_leader_everywhere(range(0, 30, 3), options=options, **hooks)
    assert all(death.whole and death.applied == 1 for death in deaths)
    assert any(death.end is CopyEnd.DISCARDED for death in deaths)
    sent = [death.world.trace.of(SnapshotReceived, who=death.leader) for death in deaths]
    assert [bool(each) for each in sent] == [hooks.get("after") is force_snapshot] * len(deaths)


def test_the_judge_that_is_written_apart_finds_nothing_in_such_a_life():
    """A checker sits in the same world from its first step on; it compares whole members."""
    checkers = []

    def watch(world, leader):
        checker = TransactionChecker(world)  # takes the log from its beginning
        checkers.append(checker)
        step = world.step

        def watched():
            step()
            checker.check()
            checker.check_members(moments=0)

        world.step = watched

    for number in (7, 11, 20):
        death = kill_leader_at(number, before=watch)
        checkers[-1].check_tickets([death.ticket])
    assert all(checker.model.last >= 8 for checker in checkers)


def test_a_part_of_a_transaction_is_seen():
    deaths = kill_leader_everywhere(range(0, 30, 2), replica=DiscardsWhatItBegan)
    assert any(set(death.seen) - {0, 5} for death in deaths)
    assert not all(death.whole for death in deaths)


def test_what_the_log_made_of_copies_is_told_by_the_model_and_not_by_the_member():
    """Members that apply retries again are wrong; the fates say what the log amounts to."""
    for death in kill_leader_everywhere(range(0, 30, 4), replica=AppliesRetries):
        effects = [fate.effect for fate in death.fates]
        assert effects.count(Effect.APPLIED) == 1


def test_a_life_is_the_same_each_time_and_the_hooks_are_told_who_leads():
    told = []

    def note(world, leader):
        told.append((leader, leader in world.replicas))

    first, again = kill_leader_at(10, before=note, after=note), kill_leader_at(10)
    assert first.world.trace.digest() == again.world.trace.digest()
    assert told == [(first.leader, True), (first.leader, False)]
    assert str(first).startswith("step 10: n1 5, ")
    with pytest.raises(BadInput, match="at least one record"):
        kill_leader_at(1, records=0)


# ── the bank ────────────────────────────────────────────────────────────────────────────────────


def test_the_sum_is_the_same_at_every_time_on_every_member():
    bank = open_bank(5, seed=7)
    tickets = run_transfers(bank, clients=4, keys=5, rounds=8, seed=7)
    assert len(tickets) == 32
    assert {t.stage for t in tickets} == {Stage.APPLIED, Stage.ABORTED}
    for replica in bank.replicas.values():
        assert sum(account_balances(replica, 5)) == 500
        assert account_balances(replica, 5, at=applied_timestamps(tickets)[0] - 1) == [100] * 5
        assert {sum(account_balances(replica, 5, at=at)) for at in applied_timestamps(tickets)} == {
            500
        }
    assert len(applied_timestamps(tickets)) == sum(t.stage is Stage.APPLIED for t in tickets)
    assert len(set(accounts(5))) == 5


def test_one_client_alone_never_conflicts_and_many_on_two_accounts_mostly_do():
    assert measure_conflicts(1, 2, rounds=5) == (1, 2, 5, 0)
    crowd = measure_conflicts(6, 2, rounds=5)
    assert (crowd.tried, crowd.conflicts) == (30, 25)  # all want both: the first in each round wins
    assert crowd.rate == 25 / 30
    for clients, keys in ((0, 4), (2, 1)):
        with pytest.raises(BadInput, match="nothing to transfer"):
            measure_conflicts(clients, keys, rounds=1)
