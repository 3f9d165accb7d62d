"""The benchmarks run, and measure what they say; their figures are not tested."""

import re

import pytest

from kvraft.bench import consensus, engines, replica, storage
from kvraft.cli import cli


def test_the_consensus_benchmark_reports_every_size_beside_its_floor(monkeypatch, capsys):
    monkeypatch.setattr(consensus, "ENTRIES", 512)
    monkeypatch.setattr(consensus, "LONG_LOG", 4_000)
    assert cli.main(["bench", "consensus", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if re.match(r" +[35] ", line)]
    assert [(row[0], row[1]) for row in rows] == [
        (members, batch) for members in "35" for batch in ("1", "16", "256")
    ]
    assert all(float(row[-1]) > 0 for row in rows)
    assert "after 4,000 entries" in out


def test_what_is_measured_is_committed_by_every_member():
    mesh = consensus.Mesh(3)
    mesh.commit([consensus._record(n) for n in range(16)], 4)
    mesh.leader.timeout()
    mesh.settle()
    assert {raft.commit_index for raft in mesh.members.values()} == {1 + 4 * 16}


def test_the_floor_is_given_every_entry():
    kept = consensus.Mesh(3, keep=True)
    kept.commit([consensus._record(n) for n in range(16)], 4)
    sent = sum(len(getattr(message, "entries", ())) for message in kept.messages)
    assert sent == 2 * (1 + 4 * 16)
    assert consensus.floor(kept.messages, tuple(kept.members)) > 0


def test_the_replica_benchmark_reports_every_batch(monkeypatch, capsys):
    monkeypatch.setattr(replica, "PUTS", 256)
    assert cli.main(["bench", "replica", "--rounds", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [int(row[0]) for row in rows] == list(replica.BATCHES)
    assert all(0 < float(row[2]) <= float(row[1]) <= float(row[3]) for row in rows)


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


def test_the_storage_benchmark_measures_every_workload_of_every_engine(capsys):
    assert cli.main(["bench", "storage", "--rounds", "1", "--records", "300"]) == 0
    out = capsys.readouterr().out
    rows = {line[:14].strip(): line[14:].split() for line in out.splitlines() if line[:1].isalpha()}
    names = [engine.name for engine in engines.installed()]
    assert names[:2] == ["kvraft", "buffered"]
    for workload in ("fillseq", "fillrandom", "overwrite", "recover ms", "put p99 µs"):
        # A rate may round to 0 on a busy machine.
        assert all(float(cell.replace(",", "")) >= 0 for cell in rows[workload]), workload
    for workload in ("fillsync", "readrandom", "readmissing", "readseq", "seek and 50", "disk MB"):
        assert rows[workload][1] == "-", workload  # only the log is another
        assert float(rows[workload][0].replace(",", "")) >= 0


OURS = [engines.Kvraft, engines.KvraftBuffered, engines.Sqlite]


@pytest.mark.parametrize("engine", [*OURS, *engines.PEERS], ids=lambda engine: engine.name)
def test_every_engine_does_what_is_measured(engine, tmp_path):
    if module := engines.PEERS.get(engine):
        pytest.importorskip(module, reason=f"{engine.name} is left out: {module} has no wheel here")
    db = engine(tmp_path / "db")
    db.put_all([(b"%03d" % n, b"v%d" % n) for n in range(100)])
    db.put(b"000", b"new")
    db.put_sync(b"001", b"synced")
    db.delete(b"002")
    assert (db.get(b"000"), db.get(b"001"), db.get(b"002")) == (b"new", b"synced", None)
    db.settle()
    assert db.scan(None, None) == db.scan(None, None, reverse=True) == 99
    assert (db.scan(b"090", 50), db.scan(b"010", 50)) == (10, 50)
    db.close()
    again = engine(tmp_path / "db")
    assert (again.get(b"000"), again.get(b"099")) == (b"new", b"v99")
    again.close()


def test_ratios_say_how_much_better_we_are():
    medians = {
        "kvraft": {"fillseq": 300.0, "recover ms": 10.0},
        "LevelDB": {"fillseq": 100.0, "recover ms": 40.0},
    }
    _, fill, recover = storage.table(medians)
    assert fill.split()[-1] == "3.00"
    assert recover.split()[-1] == "4.00"
