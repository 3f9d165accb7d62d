"""What the benchmarks measure is what they say; their figures are not tested."""

import os
from itertools import pairwise
from types import SimpleNamespace

import pytest

from kvraft import check, sim
from kvraft.bench import consensus, engines, judge, measure, python, replica, storage, world
from kvraft.check import history, sweep
from kvraft.errors import BadInput
from kvraft.sstable import codec


@pytest.fixture(scope="module", autouse=True)
def _in_no_hurry():
    """Nothing here depends on how exactly a time is taken, and these would take most of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure.gc, "collect", lambda: 0)
        patch.setattr(measure, "PAUSE", 1e-4)
        yield


def rows_of(part, peer, place, records=256):
    return [sample and sample.row for sample in part.PART.samples(peer, 1, records, place)]


# ── consensus ───────────────────────────────────────────────────────────────────────────────────


def test_consensus_measures_every_size_and_its_loop_the_same_messages(tmp_path):
    ours = rows_of(consensus, "", tmp_path)
    loop = rows_of(consensus, consensus.LOOP, tmp_path)
    assert [row.name for row in ours] == [
        *(
            f"{members} members, batch {batch}: {what}"
            for members in (3, 5)
            for batch in (1, 16, 256)
            for what in ("an entry", "a message")
        ),
        "an entry at the start of a log",
        "an entry after 1,536 entries",
    ]
    assert len(loop) == len(ours)  # they stay in step
    assert [row for row in loop if row] == [row for row in ours if row.name.endswith("message")]


def test_what_is_measured_is_committed_by_every_member():
    mesh = consensus.Mesh(3)
    mesh.commit(consensus.batch_of(16), 4)
    mesh.leader.timeout()
    mesh.settle()
    assert {raft.commit_index for raft in mesh.members.values()} == {1 + 4 * 16}


def test_the_loop_is_given_every_entry():
    mesh = consensus.Mesh(3, keep=True)
    mesh.commit(consensus.batch_of(16), 4)
    logs = consensus.loop(mesh.messages, tuple(mesh.members))
    assert {name: len(log) for name, log in logs.items()} == {
        "n1": 0,  # a leader sends itself nothing
        "n2": 1 + 4 * 16,
        "n3": 1 + 4 * 16,
    }


# ── python ──────────────────────────────────────────────────────────────────────────────────────


def test_what_python_costs_is_measured_statement_by_statement(tmp_path):
    rows = rows_of(python, "", tmp_path)
    names = [n for n, _ in python.STATEMENTS if hasattr(os, "pread") or "4 KiB" not in n]
    assert [row.name for row in rows] == [*names, python.SYNC.name]
    assert (tmp_path / "file").stat().st_size == 256 * 140 + 4096


# ── replica ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("peer", ["", replica.STORE])
def test_a_put_is_measured_for_every_batch(tmp_path, peer, monkeypatch):
    monkeypatch.setattr(replica, "WARM", 256)
    names = [row.name for row in rows_of(replica, peer, tmp_path)]
    assert names == [f"batch {batch}" for batch in replica.BATCHES]


def test_what_is_put_reaches_the_tree_of_every_member():
    trio = replica.Trio()
    for _ in range(9):
        trio.put(16)
    trio.put(1)  # tells the followers that the last batch is committed
    assert trio.applied == 9 * 16 + 1
    kept = [list(member.tree.scan(b"0")) for member in trio.members.values()]
    assert kept[1] == kept[2]
    assert len(kept[1]) == 9 * 16
    assert set(kept[1]) < set(kept[0])


# ── world ───────────────────────────────────────────────────────────────────────────────────────


def test_worlds_are_measured_idle_loaded_and_checked(tmp_path):
    ours = rows_of(world, "", tmp_path, 20)
    heap = rows_of(world, world.HEAP, tmp_path, 20)
    assert ours == [
        world.IDLE,
        world.LOADED,
        world.TRACED,
        world.CHECKED,
        world.EVENTS,
        *judge.FAMILIES.values(),
        judge.ORDER,
        world.SWARM,
        world.FORK,
    ]
    assert heap == [world.IDLE, world.LOADED, *[None] * (len(ours) - 2)]


def test_a_loaded_run_can_be_forked_anywhere_in_its_past(monkeypatch):
    monkeypatch.setattr(world, "LOADED_FOR", 1)
    run = world.loaded_run(1)
    assert len(run.actions) == 50
    before = run.trace.digest()
    world.fork_often(run)
    assert run.trace.digest() == before


def test_a_loaded_world_applies_its_puts_whether_it_is_traced_and_checked_or_not():
    found = []
    for trace in (False, True):
        one = world.loaded_world(7, trace=trace)
        checkers = judge.Checkers(one)
        world.run_loaded(one, 1, checkers.look if trace else None)
        assert set(checkers.spent) == (set(judge.FAMILIES) if trace else set())
        one.settle()
        found.append([list(replica.tree.scan(b"0")) for replica in one.replicas.values()])
    assert found[0] == found[1]
    assert [len(rows) for rows in found[0]] == [world.PUTS + 1] * 3


def test_calls_are_put_in_order_without_many_a_wrong_way():
    """Each situation takes some 40 µs: ten thousand calls are to be judged in two seconds."""
    calls = list(judge.calls_at_once(1))
    assert len(calls) == 10_000
    assert sum(call.called < before.returned for before, call in pairwise(calls)) > 9_000
    assert history.judge(calls, most=len(calls)).linearizable


def test_a_run_in_which_something_is_found_is_an_error(monkeypatch):
    found = SimpleNamespace(found="a lost write")
    monkeypatch.setattr(sweep, "run_seed", lambda seed, settings: found)
    with pytest.raises(RuntimeError, match="seed 1000: a lost write"):
        world.run_swarm(1)


def test_the_world_of_an_older_version_can_be_measured(monkeypatch):
    """It has no settings of a sweep, no runs to fork, no news for checkers, and no search."""
    ended, nothing = [], SimpleNamespace(found=None)
    monkeypatch.delattr(sweep, "SwarmSettings")
    monkeypatch.setattr(sweep, "run_seed", lambda seed: ended.append(seed) or nothing)
    monkeypatch.delattr(sim, "Run")
    monkeypatch.delattr(check, "News")
    monkeypatch.delattr(history, "judge")
    rows = [sample and sample.row for sample in world.samples("", 1, 10, None)]
    assert rows[-5:] == [None, None, None, world.SWARM, None]
    assert ended == [world.FIRST_RUN]


# ── storage ─────────────────────────────────────────────────────────────────────────────────────

LIBRARIES = engines.peers()


def need(peer):
    if missing := LIBRARIES.get(peer):
        pytest.skip(f"{peer} is left out: {missing} has no wheel here")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """What is measured of kvraft itself."""
    return rows_of(storage, "", tmp_path_factory.mktemp("ours"))


@pytest.mark.parametrize("peer", engines.PEERS)
def test_every_engine_measures_what_ours_does(tmp_path, peer, ours):
    need(peer)
    rows = rows_of(storage, peer, tmp_path)
    assert len(rows) == len(ours)  # they stay in step
    for row, mine in zip(rows, ours, strict=True):
        if row is not None:
            assert row == mine
        elif mine is not None:
            assert mine in storage.BUFFERED.values()  # only our log is another
            assert mine.peer_row in [each.name for each in rows if each]
    for row in (storage.FILLSYNC, storage.READRANDOM, storage.RECOVERY, storage.DISK):
        assert row in rows


def test_slices_of_long_work_are_measured_where_there_are_any(tmp_path):
    db = engines.KvraftTimed(tmp_path / "db")
    for number in range(1000):
        db.put(b"%d" % number, b"v")
    assert db.slices == []
    db.settle()
    assert db.slices
    assert all(spent.cpu >= 0 and spent.wall > 0 for spent in db.slices)
    assert db.scan(None, None) == 1000
    db.close()


@pytest.mark.parametrize(
    "engine",
    [engines.Kvraft, engines.KvraftBuffered, *engines.PEERS],
    ids=lambda engine: engine if isinstance(engine, str) else engine.__name__,
)
def test_every_engine_does_what_is_measured(engine, tmp_path):
    if isinstance(engine, str):
        need(engine)
        engine = engines.engine_of(engine)
    for compress in (None, False, True):
        place = tmp_path / str(compress)
        db = engine(place, compress=compress)
        db.put_all([(b"%03d" % n, b"v%d" % n) for n in range(100)])
        db.put(b"000", b"new")
        db.put_sync(b"001", b"synced")
        db.delete(b"002")
        assert (db.get(b"000"), db.get(b"001"), db.get(b"002")) == (b"new", b"synced", None)
        db.settle()
        assert db.scan(None, None) == db.scan(None, None, reverse=True) == 99
        assert (db.scan(b"090", 50), db.scan(b"010", 50)) == (10, 50)
        db.close()
        again = engine(place, compress=compress, cache_bytes=1 << 16)
        assert (again.get(b"000"), again.get(b"099")) == (b"new", b"v99")
        again.close()


def test_a_crash_leaves_every_put_in_the_log(tmp_path):
    work = storage.Work(1, 300)
    storage._recovery(engines.Kvraft, tmp_path, work)
    again = engines.Kvraft(tmp_path / "crashed")
    assert again.store.tables == ()
    assert again.scan(None, None) == len(set(work.shuffled))
    again.close()


def test_a_codec_that_is_missing_is_named_at_once(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(codec.importlib, "import_module", missing)
    codec.load.cache_clear()
    try:
        with pytest.raises(BadInput, match=r"pip install 'kvraft\[codecs\]'"):
            next(storage.PART.samples("", 1, 100, tmp_path))
    finally:
        codec.load.cache_clear()
