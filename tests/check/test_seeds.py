"""The fixed seeds of the swarm: nothing is found in them, and they reach all that can be reached.

They are run as ``kvraft swarm`` runs them, on all cores.  A stored run of the zoo that has another
seed runs here, too, without its bug: with it, in ``test_zoo.py``, something is found.
"""

import os

import pytest

from kvraft.check.bugs import Finder, catalogue
from kvraft.check.sweep import Summary, SwarmSettings, processes, run_seeds

FIXED = range(1, 301)
FOUND = [each.found for each in catalogue().values() if each.found is not None]
SEEDS = sorted({*FIXED, *(found.seed for found in FOUND if found.by is Finder.SWARM)})


@pytest.mark.timeout(3600)
def test_nothing_is_found_in_runs_in_which_everything_happens():
    """Runs in which nothing happens would find nothing, too."""
    summary = Summary()
    with processes(os.cpu_count() or 1) as executor:
        for result in run_seeds(SEEDS, SwarmSettings(), executor):
            summary.add(result)
    assert [summary.finding(each) for each in summary.findings] == []
    assert summary.missing == []
