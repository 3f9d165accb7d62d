"""A short soak: disk and memory stay within bounds, and nothing is lost on the way."""

import pytest

from kvraft.cli import main
from kvraft.errors import BadInput
from kvraft.sim import World
from kvraft.sim.soak import OPTIONS, Sample, Soak, SoakFailed, trend
from kvraft.viz.picture import title_of
from kvraft.viz.soak import plot_soak


@pytest.fixture(scope="module")
def soak():
    soak = Soak(14_000, seed=2, samples=140)
    for _ in soak.run():
        pass
    return soak


def test_what_is_kept_stays_bounded(soak):
    log, entries, sessions = (trend(soak.samples, what) for what in ("log", "entries", "sessions"))
    # The budget, what the tree holds in its memtables, and the segment being written.
    assert log.highest < OPTIONS.retain_bytes + 6 * OPTIONS.memtable_bytes
    assert entries.highest < 2_000
    assert sessions.highest < 40
    assert trend(soak.samples, "memory").highest < 6 * OPTIONS.memtable_bytes
    assert trend(soak.samples, "tables").highest < 600_000


def test_it_came_by_what_it_is_for(soak):
    assert soak.applied >= 14_000
    assert soak.crashes >= 6
    assert soak.snapshots >= 1
    assert soak.world.trace[:] == [] or len(soak.world.trace) == 0


def test_the_same_seed_gives_the_same_samples():
    one, two, three = (Soak(1_500, seed=seed, samples=15) for seed in (4, 4, 5))
    for each in (one, two, three):
        list(each.run())
    assert one.digest() == two.digest() != three.digest()


def test_a_member_that_lost_a_write_is_found_in_the_end():
    soak = Soak(500)
    for _ in soak.run():
        key = next(iter(soak.model))
        soak.model[key] = (1 << 40, b"never written")
        break
    with pytest.raises(SoakFailed, match="differs from the dict in 1 keys"):
        list(soak.run())


def test_a_trend_is_that_of_the_second_half():
    def of(values):
        return trend([Sample(n, v, 0, 0, 0, 0, 0, 0) for n, v in enumerate(values)], "log")

    assert of([5] * 10) == (5, 5.0, 0.0, 0.0)
    assert of([0, 9, 0, 9, 1, 1, 1, 1, 1, 1]).growth == 0.0
    assert of([0] * 10 + list(range(1, 11))).growth == pytest.approx(10 / 5.5)
    noise = of([1, 9] * 20)
    assert abs(noise.growth) < noise.error


def test_the_command_says_what_it_measured_and_draws_it(capsys, tmp_path):
    main(["soak", "--transactions", "600", "--figure", str(tmp_path / "soak.png")])
    out = capsys.readouterr().out
    assert "All members hold" in out
    assert "growth" in out
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_is_titled_by_what_was_measured(soak):
    title = title_of(plot_soak(soak.samples))
    assert f"{soak.samples[-1].applied:,} transactions" in title
    assert "growth" in title


def test_a_client_is_dismissed_when_it_waits_for_nothing():
    world = World(3, seed=1, trace=False)
    client = world.client("c")
    client.submit({b"k": b"v"})
    with pytest.raises(BadInput, match="waits for nothing"):
        world.dismiss("c")
    world.run_until(lambda: not client.busy)
    world.dismiss("c")
    with pytest.raises(BadInput, match="no client called c"):
        world.dismiss("c")
    assert world.client("c") is not client
    assert len(world.trace) == 0
    with pytest.raises(BadInput, match="transactions to carry out"):
        Soak(0)
