"""The panel of transactions: what it shows is what the members hold, at every moment."""

import re

import pytest

from kvraft.check.storage import CopyEnd, kill_leader_at, kill_leader_everywhere
from kvraft.events import EntriesAppended, MemberStarted, Trace, TraceStep, TransactionDiscarded
from kvraft.viz.sandbox import transactions_panel
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.transactions import fate_of, runs_of
from kvraft.viz.trace import EntryState
from tests.viz.sandbox.drawn import faults


@pytest.fixture(scope="module")
def torn():
    deaths = kill_leader_everywhere(range(0, 31, 4))
    return next(death for death in deaths if death.end is CopyEnd.DISCARDED)


@pytest.fixture(scope="module")
def film(torn):
    return Film(torn.world.trace)


def cells(picture):
    return re.findall(r"<title>(entry \d+, term \d+: [^<]*)</title>", picture)


def strokes(picture):
    """Return how many entries are struck out: one more is in the legend."""
    return picture.count('stroke="#A3002B" stroke-width="2.5"') - 1


def test_a_cell_for_each_entry_and_a_stroke_for_each_that_was_discarded(torn, film):
    prefix = torn.world.trace.of(TransactionDiscarded)[0].event
    length = prefix.last - prefix.first + 1
    for step in range(30, len(film), 7):
        picture, state = transactions_panel(film, step), film.at(step)
        logs = [entry for member in state.members.values() for entry in member.log]
        last = max((entry.index for entry in logs), default=0)
        assert len(cells(picture)) == sum(entry.index > last - 12 for entry in logs)
        struck = sum(title.endswith(", discarded") for title in cells(picture))
        assert max(strokes(picture), 0) == struck <= 3 * length
        assert not faults(picture)
    last = transactions_panel(film, len(film) - 1)
    assert strokes(last) == 3 * length
    assert ">ann.4#1: APPLIED, sent 2 times<" in last


def test_thick_is_what_the_member_holds(torn, film):
    """At the death nobody holds any of it, in the end all five records are in effect on all."""
    thick = re.compile(r'stroke-width="3\.2"[^>]*><title>[^<]* of ann\.4#1')
    assert not thick.findall(transactions_panel(film, torn.moment))
    assert len(thick.findall(transactions_panel(film, len(film) - 1))) == 15


def test_a_member_that_restarted_does_not_know_yet_what_was_discarded(torn):
    world = kill_leader_at(torn.step).world
    name = next(name for name in ("n2", "n3") if name != world.leader())
    world.crash(name)
    world.restart(name)
    film = Film(world.trace)
    member = film.at(len(film) - 1).members[name]
    run = next(run for run in runs_of(member.log) if run[0].discarded)
    assert fate_of(run, member) == "open"
    picture = transactions_panel(film, len(film) - 1)
    assert re.search(rf"{name}: [^;]*{len(run)} of ann\.4#1 open", picture)
    assert strokes(picture) == 2 * len(run)


def test_names_and_keys_from_outside_do_not_break_the_picture():
    event = EntriesAppended(
        1, 1, (1, 1), ('<k>&"', "\x00long key"), ("<a>&#1", "<a>&#1"), (False, True)
    )
    trace = Trace([TraceStep(0, "n1", MemberStarted(1, 1, 0, 0)), TraceStep(1, "n1", event)])
    picture = transactions_panel(Film(trace), 1)
    assert len(cells(picture)) == 2
    assert not faults(picture)


def test_a_copy_that_comes_again_is_a_run_of_its_own():
    log = [EntryState(1, 1, "k", "a#1", end=False), EntryState(2, 2, "", "", end=False)]
    log += [EntryState(3, 2, "k", "a#1", end=True), EntryState(4, 2, "k", "a#1", end=True)]
    assert [[entry.index for entry in run] for run in runs_of(log)] == [[1], [2], [3], [4]]
