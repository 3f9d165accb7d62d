"""What a member uses stays within bounds; and whatever does not, a soak of two seconds finds."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter, deque
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check import Violation
from kvraft.check.sweep import Soak, fit_trend, usage_points
from kvraft.check.sweep.soak import SMALL, CountingTrace
from kvraft.check.sweep.usage import DISK, MEMORY, count_items
from kvraft.cli import main
from kvraft.errors import BadInput
from kvraft.record import Kind
from kvraft.replica import Replica, Sessions
from kvraft.sim import World
from kvraft.viz.figures import plot_soak, soak_title, svg, title_of

TINY = replace(
    SMALL,
    memtable_bytes=8 << 10,
    segment_bytes=4 << 10,
    log_bytes=24 << 10,
    retain_bytes=24 << 10,
    session_millis=100,
)
LENGTH = 9_000
"""Transactions of a soak.  That is long enough for two outages, the long one and a short one,
whatever the seed: each begins at most 4,000 transactions after the one before it ended, and the
long one lasts about 500.  And some 80 clients come, far more than there may be sessions."""
LIMITS = {
    "log": 2 * TINY.retain_bytes + 8 * TINY.segment_bytes,
    "tables": 700 << 10,
    "other": 300 << 10,
    "entries": 64 << 10,
    "memtables": (TINY.stall_memtables + 2) * TINY.memtable_bytes,
    "cache": 250 << 10,
    "sessions": 50,
    "items": 5_500,
}
"""What nothing may exceed, however long: between what is measured and what a leak makes."""


def over(soak):
    """Return the names of what exceeds its limit."""
    return [
        kind
        for kind, limit in LIMITS.items()
        if max(y for at in range(3) for _, y in usage_points(soak.samples, at, kind)) > limit
    ]


@pytest.fixture(scope="module")
def soak():
    soak = Soak(LENGTH, every=50, options=TINY)
    for _ in soak.run():
        pass
    return soak


def test_nothing_exceeds_its_bounds(soak):
    assert over(soak) == []


def test_it_comes_by_what_it_is_for(soak):
    rare = ["MemberCrashed", "SnapshotReceived", "SessionExpired", "Compacted", "SegmentDropped"]
    assert [name for name in rare if not soak.tally.get(name)] == []
    assert {outage.long for outage in soak.outages} == {True, False}
    assert soak.applied == soak.samples[-1].transactions == LENGTH
    assert all(usage.up for usage in soak.samples[-1].members)
    assert not all(usage.up for sample in soak.samples for usage in sample.members)


# ── what grows is found ─────────────────────────────────────────────────────────────────────────


class NeverCuts(Replica):
    def may_drop(self, segment):
        return False


class NeverLetsGo(Replica):
    def submit(self, request):
        self.__dict__.setdefault("seen", {})[request.transaction.id] = request
        super().submit(request)


def wrong_method(kind, name, method):
    def plant(monkeypatch):
        monkeypatch.setattr(kind, name, method)
        return Replica

    return plant


PLANTED = {
    "log": lambda monkeypatch: NeverCuts,
    "items": lambda monkeypatch: NeverLetsGo,
    "sessions": wrong_method(Sessions, "expire", lambda self, now: []),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_grows_is_found(kind, monkeypatch):
    soak = Soak(LENGTH, every=50, options=TINY, replica=PLANTED[kind](monkeypatch))
    for _ in soak.run():
        if kind in over(soak):
            return
    pytest.fail(f"{kind} stayed below {LIMITS[kind]}")


class Forgetful(Replica):
    """One member takes a few deletes for something else."""

    def take(self, entry):
        if self.member == "n3" and entry.record.kind is Kind.DELETE and entry.index % 20 == 0:
            entry = entry._replace(record=entry.record._replace(kind=Kind.PUT, value=b"no"))
        super().take(entry)


def test_a_member_that_holds_anything_else_is_found():
    soak = Soak(300, options=TINY, replica=Forgetful)
    with pytest.raises(Violation, match=r"n3 has the wrong value for \d+ keys"):
        list(soak.run())


# ── determinism ─────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_gives_the_same_samples_in_any_process(tmp_path):
    out = tmp_path / "soak.json"
    command = [sys.executable, "-m", "kvraft", "soak", "--transactions", "400", "--seed", "3"]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [*command, "--out", str(out)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    here = Soak(400, 3)
    assert len(list(here.run())) == len(here.samples)
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["digest"] == here.digest
    assert document == json.loads(json.dumps(here.to_dict()))
    assert here.digest in run.stdout


def test_counting_events_changes_nothing_about_what_happens():
    kept, counted = World(seed=5), World(seed=5)
    counted.trace = tally = CountingTrace(counted.trace)
    for world in (kept, counted):
        world.client("c").put(b"k", b"v")
        world.crash(world.leader())
        world.client("c").delete(b"k")
    assert tally.counts == Counter(type(event).__name__ for _, _, event in kept.trace)
    assert (len(counted.trace), counted.now) == (0, kept.now)


# ── trends ──────────────────────────────────────────────────────────────────────────────────────


@given(
    st.integers(0, 10**9),
    st.integers(-1_000, 1_000),
    st.integers(6, 60),
    st.lists(st.integers(0, 10**9), min_size=6),
)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_a_line_is_its_own_trend_whatever_was_before_it(start, slope, count, before):
    """Only the second half counts."""
    start += 1_000 * 1_000 * count
    xs = [1_000 * at for at in range(2 * count)]
    line = [(x, start + slope * x) for x in xs]
    wild = [(x, before[at % len(before)]) for at, x in enumerate(xs) if 2 * x < xs[-1]]
    found = fit_trend(wild + line[len(wild) :])
    assert found.slope == pytest.approx(slope * 1e6, abs=1)
    assert found.noise == pytest.approx(0, abs=1e-6)
    late = [y for _, y in line[len(wild) :]]
    assert found.level == pytest.approx(sum(late) / len(late))
    assert found.change == pytest.approx((late[-1] - late[0]) / found.level, abs=1e-6)
    assert found.peak == max([*late, *(y for _, y in wild)])


def test_what_noise_explains_does_not_grow_and_what_it_does_not_does():
    saw = [100, 300, 200, 50, 400, 150]
    assert not fit_trend([(at, saw[at % 6]) for at in range(600)]).grows
    assert fit_trend([(at, saw[at % 6] + at) for at in range(600)]).grows
    assert not fit_trend([(at, 1_000 + at // 20) for at in range(600)]).grows  # 1.5 %
    assert not fit_trend([(at, 2_000 - at) for at in range(600)]).grows


def test_samples_that_resemble_the_one_before_are_not_taken_for_so_many():
    """Walks about a level, which never go far but take their time: hardly any is said to grow."""
    growing = 0
    for seed in range(200):
        random, at, walk = Random(seed), 0.0, []
        for x in range(500):
            at = 0.95 * at + random.gauss(0, 100)
            walk.append((x, round(10_000 + at)))
        growing += fit_trend(walk).grows
        assert fit_trend([(x, y + 20 * x) for x, y in walk]).grows  # a third in half the time
    assert growing <= 4
    with pytest.raises(BadInput, match="no trend can be seen in 5 samples"):
        fit_trend([(at, 1) for at in range(5)])


def test_what_is_held_is_counted_once_through_cycles_and_slots():
    @dataclass(slots=True)
    class Slotted:
        inside: object
        unset: object = None

    shared = [b"1", b"2", b"3"]
    ring: list[object] = [shared]
    ring.append(ring)
    assert count_items(ring) == 2 + 3
    assert count_items(Slotted({"a": shared, "b": shared})) == 2 + 3
    assert count_items(deque([({1}, {2, 3})])) == 1 + 1 + 2  # a tuple holds, but does not grow


# ── the figure, the command ─────────────────────────────────────────────────────────────────────


def test_the_figure_shows_the_samples_and_says_what_they_amount_to(soak):
    members = soak.world.members
    figure = plot_soak(members, soak.samples, soak.outages)
    log, *_, memory, lanes = figure.axes
    thin = log.lines[0]
    assert list(thin.get_xdata()) == [sample.transactions for sample in soak.samples]
    assert [y * 1024 for y in thin.get_ydata()] == [s.members[0].log for s in soak.samples]
    missing = sum(not sample.members[0].up for sample in soak.samples)
    assert len(memory.lines[0].get_xdata()) == len(soak.samples) - missing
    assert len(lanes.lines) == len(soak.outages)
    assert len(lanes.patches) == sum(outage.long for outage in soak.outages)
    most = max(usage.disk for sample in soak.samples for usage in sample.members)
    assert soak_title(members, soak.samples).startswith(
        f"{LENGTH:,} transactions: no disk ever holds more"
    )
    assert f"more than {-(-most // 1024):,} KiB" in title_of(figure)
    picture = svg(figure)
    assert ET.fromstring(picture).tag.endswith("svg")
    assert svg(plot_soak(members, soak.samples, soak.outages)) == picture


def test_the_report_names_everything_that_is_measured(soak):
    text = "\n".join(soak.lines())
    assert set(LIMITS) | {"disk"} == {*DISK, *MEMORY}
    for (kind, name), found in soak.trends().items():
        (line,) = [line for line in text.splitlines() if line.split()[:2] == [kind, name]]
        assert f"{found.peak:,}" in line
        assert ("it grows" in line) is found.grows


def test_too_few_transactions_to_see_anything_are_refused(capsys):
    assert main(["soak", "--transactions", "99"]) == 2
    assert capsys.readouterr().err.startswith("kvraft: 99 transactions show no trend")


def test_the_command_draws(tmp_path, capsys):
    assert main(["soak", "--transactions", "200", "--figure", str(tmp_path / "soak.png")]) == 0
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert "All members hold what a dict with the same writes holds" in capsys.readouterr().out
