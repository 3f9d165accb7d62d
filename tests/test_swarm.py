"""Random lives of clusters: nothing may be found in them, and every planted mistake must be."""

from collections import Counter

import pytest

from kvraft.check.planted_storage import PLANTED_STORAGE, planted_storage
from kvraft.check.swarm import (
    Life,
    live,
)

SEEDS = range(1, 17)
TOTAL = Counter()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_in_a_life(seed):
    result = live(seed, millis=3_000)
    assert result.found is None, result.again
    TOTAL.update(result.tally)


def test_the_same_seed_is_the_same_life():
    lives = [Life(5, millis=800) for _ in range(2)]
    for life in lives:
        life.run()
    one, two = lives
    assert one.trace.digest() == two.trace.digest()
    assert one.tally == two.tally


@pytest.mark.parametrize("name", PLANTED_STORAGE)
def test_a_planted_mistake_is_found(name):
    """Within a few lives; and it is what was planted that is found, not the harness that breaks."""
    found = next(
        (r.found for seed in range(1, 9) if (r := live(seed, replica=planted_storage(name))).found),
        None,
    )
    assert found is not None
    assert found.startswith(("Violation: ", "Damage: ")), found
