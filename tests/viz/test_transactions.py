"""Figures and the slider of transactions: what they show is what became of them."""

import re

import pytest

from kvraft.check.bugs import DiscardsWhatItBegan
from kvraft.check.storage import CopyEnd, kill_leader_at, kill_leader_everywhere
from kvraft.errors import BadInput
from kvraft.sim import ContentionResult
from kvraft.viz.figures import data_of, plot_conflicts, plot_deaths, plot_totals, title_of
from kvraft.viz.widgets import DeathSlider


@pytest.fixture(scope="module")
def deaths():
    return kill_leader_everywhere(range(0, 31, 2))


def test_the_figure_of_deaths_says_if_any_was_seen_in_part(deaths):
    discarded = sum(death.end is CopyEnd.DISCARDED for death in deaths)
    done = sum(death.end is CopyEnd.COMPLETED for death in deaths)
    title = title_of(plot_deaths(deaths))
    told = f"Killed 16 times, at as many steps: {discarded} discarded, {done} completed"
    assert title == f"{told}, none in part"
    bad = [kill_leader_at(death.step, replica=DiscardsWhatItBegan) for death in deaths]
    assert title_of(plot_deaths(bad)).endswith(f"{discarded} there in part")
    assert data_of(deaths) != data_of(bad)
    shown = [text.get_text() for text in plot_deaths(deaths).axes[0].texts]
    lanes = ["entries on n1 (dies)", "entries on n2", "entries on n3", "what they came to"]
    assert [text for text in shown if text in lanes] == lanes
    assert shown[-1] == "✓"  # one cell: all or none, whenever it died
    assert shown[:2] == [lanes[0], str(deaths[0].held[0][1])]


def test_the_slider_shows_the_run_that_it_names(deaths):
    torn = next(death for death in deaths if death.end is CopyEnd.DISCARDED)
    slider = DeathSlider(deaths)
    assert slider.death is torn
    slider.slider.value = deaths[-1].step
    assert slider.death is deaths[-1]
    assert f"step {deaths[-1].step}: " in slider._picture.value
    bundle = slider._repr_mimebundle_()
    assert bundle["text/html"] in slider._picture.value
    then, now = re.findall(r'<img alt="([^"]*)"', bundle["text/html"])
    assert then.startswith("When it dies")
    assert now.startswith("In the end")
    assert len(bundle["text/plain"]) > 40
    with pytest.raises(BadInput, match=r"after 1 step$"):
        DeathSlider(deaths, start=1)
    with pytest.raises(BadInput, match="nothing to show"):
        DeathSlider([])


def test_other_figures_are_titled_by_what_they_show():
    contests = [ContentionResult(c, k, 100, c * 64 // k) for k in (4, 64) for c in (2, 5)]
    title = "5 clients at once: 80 % conflict on 4 accounts, 5 % on 64"
    assert title_of(plot_conflicts(contests)) == title
    figure = plot_totals({"one": [400, 400], "two": [400, 399, 412]})
    assert title_of(figure) == "one: the sum stays 400; two: 400 becomes 412"
    for plot, empty in ((plot_conflicts, []), (plot_totals, {}), (plot_deaths, [])):
        with pytest.raises(BadInput, match="nothing to draw"):
            plot(empty)
