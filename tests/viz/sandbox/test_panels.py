"""The panels of the sandbox over random runs: readable, whole, and functions of film and step."""

from random import Random

import pytest

from kvraft.check import scenario
from kvraft.events import Trace
from kvraft.raft import RaftOptions, RequestVote, RequestVoteReply
from kvraft.sim import Cluster
from kvraft.viz.sandbox.canvas import cold
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.lights import lights_panel
from kvraft.viz.sandbox.ring import ring_panel
from kvraft.viz.sandbox.session import PANELS as ALL
from kvraft.viz.sandbox.title import conclusion
from tests.viz.sandbox.drawn import faults, inked, read
from tests.viz.sandbox.runs import random_film

PANELS = tuple(ALL.values())
SIZES = ((3, 1), (5, 2), (7, 3), (1, 4), (9, 5), (2, 6), (4, 7))


@pytest.fixture(scope="module", params=SIZES, ids=lambda pair: f"{pair[0]} members")
def film(request) -> Film:
    return random_film(*request.param)[1]


def steps_of(film: Film, count: int = 20) -> list[int]:
    return sorted(Random(1).sample(range(len(film)), min(count, len(film))))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
def test_words_are_large_and_free_at_any_step(film, panel):
    found = {f"step {s}: {fault}" for s in steps_of(film) for fault in faults(panel(film, s))}
    assert not found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
def test_a_panel_is_as_wide_as_all_and_says_what_it_shows(film, panel):
    picture = panel(film, len(film) - 1)
    assert read(picture).size[0] == 440
    assert len(picture) < 60_000
    label = picture.partition('aria-label="')[2].partition('"')[0]
    assert label
    if panel is not lights_panel and not label.startswith("No member"):
        assert all(name in label for name in film.at(len(film) - 1).members)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
def test_no_panel_is_mostly_white(film, panel):
    for step in (*steps_of(film, 6), len(film) - 1):
        assert inked(panel(film, step)) >= 0.4, step


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
def test_a_look_back_shows_the_past(film, panel):
    """A picture of a step is the same whether the trace went on or not, and when it is drawn."""
    last = len(film) - 1
    step = film.settled(last // 2)
    before = panel(film, step)
    panel(film, last)
    assert panel(film, step) == before
    short = film.fork(Trace(list(film.trace)[: step + 1]))
    if not short.flights(step):  # what is under way is placed by when it will arrive
        assert panel(short, step) == before


@pytest.mark.parametrize("panel", [*PANELS, conclusion])
def test_an_empty_trace_is_a_sentence(panel):
    assert "othing has happened" in panel(Film(Trace()), 0)


def test_where_nobody_listens_nothing_looks_as_if_it_did(film):
    still = cold(ring_panel(film, len(film) - 1))
    assert "data-act" not in still
    assert "tabindex" not in still
    assert 'role="button"' not in still
    assert not faults(still)


@pytest.mark.parametrize("name", scenario.names())
def test_a_scenario_opens_in_it_to_its_end(name):
    film = Film(scenario.load(name).play().cluster.trace)
    last = len(film) - 1
    for panel in PANELS:
        assert not faults(panel(film, last))
    broken = [light for light, what in film.lights.at(last).items() if what]
    for light in broken:
        assert f"{light} is broken" in conclusion(film, last).lower()


def test_the_title_counts_copies_entry_by_entry():
    """As in Figure 8: the older entry is on a majority, the newest is not."""
    hand = RaftOptions(pre_vote=False, check_quorum=False, max_batch_bytes=1)
    logs = {"s1": [1, 2, 4], "s2": [1, 2], "s3": [1, 2], "s4": [1], "s5": [1, 3]}
    cluster = Cluster(list(logs), options=hand, logs=logs)

    def words() -> str:
        film = Film(cluster.trace)
        return conclusion(film, len(film) - 1)

    assert "entries 1\u20133 are on 1 to 5 of 5 disks: not committed" in words()
    cluster.timeout("s1")
    cluster.deliver(kind=RequestVote)
    cluster.deliver(kind=RequestVoteReply)
    assert "entry 2 of s5 will be overwritten" in words()
    two = Cluster(3, options=hand, logs={"n1": [1, 2], "n2": [1], "n3": []})
    assert "entry 1 is on 2 of 3 disks, entry 2 on 1: not committed" in conclusion(
        Film(two.trace), len(two.trace) - 1
    )
