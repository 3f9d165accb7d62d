"""The benchmarks run, and measure what they say; their figures are not tested."""

import re

from kvraft import cli
from kvraft.bench import consensus


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
    assert "behind 4,000 entries" in out


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


def test_no_rounds_are_no_benchmark(capsys):
    assert cli.main(["bench", "consensus", "--rounds", "0"]) == 1
    assert "at least one round" in capsys.readouterr().err
