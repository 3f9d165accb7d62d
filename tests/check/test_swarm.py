"""Random runs of clusters: what a seed draws, and what counts as a finding in its run."""

import copy
from contextlib import suppress

import pytest

from kvraft.check import Violation
from kvraft.check.bugs import find_bug
from kvraft.check.sweep import KINDS, SwarmRun, result_of
from kvraft.check.sweep.rows import ACCOUNTS, LARGE, check_rows


def test_who_loses_its_disk_while_its_power_was_to_be_cut_gets_a_whole_one():
    run = SwarmRun(3)
    run.start()
    name = next(each for each in run.world.members if each != run.world.leader())
    run.judged.do("crash", name)
    run.judged.do("cut_power", name, 1)
    run.faults.losses, run.faults.may_lose = 1, lambda each: each == name
    KINDS["lost-disk"](run.faults)
    run.faults.do_waiting()
    assert run.faults.gone == [name]
    assert run.tally["losses noticed"] == 1
    assert f"{name}.2" in run.world.replicas


def test_the_same_seed_is_the_same_run():
    one, two = (SwarmRun(5, acts=30) for _ in range(2))
    for run in (one, two):
        run.run()
    assert one.trace.digest() == two.trace.digest()
    assert one.tally == two.tally


def drawn_acts(**options):
    """The first number that each act of a run draws."""
    first = []

    class Noted(SwarmRun):
        def _act(self):
            first.append(self._random.random())
            super()._act()

    Noted(7, **options).run()
    return first


def test_an_act_is_the_same_when_others_are_left_out():
    """Unless a fault that was planned before it draws first: so the run begins quietly."""
    every = drawn_acts(acts=12)
    assert len(set(every)) == 12
    assert drawn_acts(only=range(12)) == every
    assert drawn_acts(only=(2, 3, 9)) == [every[number] for number in (2, 3, 9)]


def test_what_needs_no_model_is_found_in_rows():
    accounts = dict.fromkeys(ACCOUNTS, b"100")
    check_rows("n1", {})
    check_rows("n1", accounts | {ACCOUNTS[0]: b"90", ACCOUNTS[1]: b"110"})
    check_rows("n1", dict.fromkeys(LARGE, b"7"))
    for rows in (
        accounts | {ACCOUNTS[0]: b"90"},
        {ACCOUNTS[0]: b"400"},
        dict.fromkeys(LARGE, b"7") | {LARGE[3]: b"8"},
        dict.fromkeys(LARGE[1:], b"7"),
    ):
        with pytest.raises(Violation, match="n1"):
            check_rows("n1", rows)


def test_a_run_that_breaks_down_is_a_finding():
    class Broken(find_bug("apply on append").replica):
        def tick(self):
            raise ZeroDivisionError("in the middle")

    assert result_of(SwarmRun(1, replica=Broken)).found == "ZeroDivisionError: in the middle"


@pytest.mark.parametrize("seed", [3, 9])
def test_a_run_that_is_copied_in_the_middle_goes_on_like_the_original(seed):
    class Stopped(Exception):
        pass

    class Halted(SwarmRun):
        done = 0

        def _act(self):
            self.done += 1
            if self.done == 60:
                raise Stopped
            super()._act()

        def _count(self):
            self.world.close = lambda: None  # so that it can go on

    run = Halted(seed)
    with suppress(Stopped):
        run.run()
    del run.world.close
    twin = copy.deepcopy(run)
    for each in (run, twin):
        each.world.run_for(1_500)  # with the faults that were planned, and their ends
        each.faults.end_all()
        each.world.run_for(500)
    assert len(run.trace) > 1_000
    assert list(run.trace.lines()) == list(twin.trace.lines())
