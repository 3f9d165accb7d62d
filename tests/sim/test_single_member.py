"""One member alone: it is a dict that survives crashes, and its gauge is true."""

import doctest
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from kvraft.events import Flushed, SegmentDropped
from kvraft.record import RESERVED_PREFIX
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import SingleMember
from kvraft.sim import single_member as alone

SMALL = ReplicaOptions(memtable_bytes=2_000, segment_bytes=900, log_bytes=4_000)


def user_map(member):
    return {k: v for k, v in member.replica.tree.scan() if not k.startswith(RESERVED_PREFIX)}


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(alone)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("seed", range(4))
def test_it_is_a_dict_through_work_and_crashes(seed):
    random, model = Random(seed), {}
    member = SingleMember(SMALL)
    for number in range(250):
        key = b"k%d" % random.randrange(40)
        if random.random() < 0.2:
            member.delete(key)
            model.pop(key, None)
        else:
            member.put(key, b"%d" % number * 9)
            model[key] = b"%d" % number * 9
        if random.random() < 0.4:
            member.work(random.randrange(6))
        if random.random() < 0.03:
            member.crash(random)
        assert member.get(key) == model.get(key)
    assert user_map(member) == model
    assert member.trace.of(Flushed)
    assert member.trace.of(SegmentDropped)
    assert [step.at for step in member.trace] == sorted(step.at for step in member.trace)


def test_a_gauge_counts_what_is_there():
    member = SingleMember(replace(SMALL, stall_memtables=100))  # no write has to wait for a flush
    member.drive([(b"k%d" % n, b"v" * 40) for n in range(90)], slices=0)
    gauge, tree, segments = member.gauge(), member.replica.tree, member.replica.wal.segments
    sizes = {s.name: member.disk.size(s.name) for s in segments}
    assert gauge.log == sum(sizes.values())
    assert gauge.active == sizes[segments[-1].name]
    assert (gauge.writes, gauge.waiting, gauge.tables, gauge.flushed) == (
        90,
        tree.immutable_memtables,
        0,
        0,
    )
    assert gauge.waiting >= 2
    assert gauge.frozen >= gauge.waiting * 2_000
    assert gauge.memtable == tree.memtable_size < 2_000
    member.work()
    after = member.gauge()
    assert (after.frozen, after.waiting) == (0, 0)
    assert after.tables >= 1
    assert after.flushed == tree.flushed.index > 0
    assert after.log < gauge.log


def test_work_is_done_at_the_pace_that_is_asked_for(monkeypatch):
    done = []
    real = Replica.work
    monkeypatch.setattr(Replica, "work", lambda self: (done.append(writes(self)), real(self))[1])

    def writes(replica):
        return replica.tree.applied.index

    pairs = [(b"k%d" % n, b"v" * 40) for n in range(100)]
    for pace, least in ((2, 12), (1, 10), (0.25, 5)):
        done.clear()
        SingleMember(SMALL).drive(pairs, pace)
        assert len(done) >= least
        most = max(done.count(index) for index in done)
        assert most == max(1, int(pace))
        gaps = {after - before for before, after in pairwise(done)}
        assert min(gaps - {0}) == max(1, round(1 / pace))


def test_slices_that_found_nothing_to_do_are_not_saved_up():
    member = SingleMember(SMALL)
    member.drive([(b"k", b"v")] * 5, slices=100)
    member.replica.tree.freeze()
    before = member.replica.tree.counts.slices
    member.drive([(b"k", b"v")], slices=0.5)
    assert member.replica.tree.counts.slices == before
    member.drive([(b"k", b"v")], slices=1)
    assert member.replica.tree.immutable_memtables == 1  # one slice is not enough for a flush
    assert member.work() > 1
