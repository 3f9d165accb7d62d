"""Pictures of transactions: what they show is what the members hold, at every moment."""

import re
import xml.etree.ElementTree as ET

import pytest

from kvraft.check.bugs import DiscardsWhatItBegan
from kvraft.check.storage import CopyEnd, kill_leader_at, kill_leader_everywhere
from kvraft.errors import BadInput
from kvraft.events import EntriesAppended, MemberStarted, Trace, TraceStep, TransactionDiscarded
from kvraft.sim import ContentionResult
from kvraft.viz.figures import data_of, plot_conflicts, plot_deaths, plot_totals, title_of
from kvraft.viz.panels import colours_of, lanes_view, lanes_words, runs_of
from kvraft.viz.shown import svg_image
from kvraft.viz.trace import EntryState, TraceHistory
from kvraft.viz.widgets import DeathSlider

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def deaths():
    return kill_leader_everywhere(range(0, 31, 2))


@pytest.fixture(scope="module")
def torn(deaths):
    return next(death for death in deaths if death.end is CopyEnd.DISCARDED)


def titles(svg):
    return [e.text for e in ET.fromstring(svg).iter(f"{SVG}title")][1:]


def test_a_cell_for_each_entry_and_a_stroke_for_each_that_was_discarded(torn):
    history = TraceHistory(torn.world.trace)
    prefix = torn.world.trace.of(TransactionDiscarded)[0].event
    for step in range(0, len(history.trace), 7):
        svg, state = lanes_view(history, step), history.at(step)
        cells = [cell for member in state.members.values() for cell in member.log]
        assert len(titles(svg)) == len(cells)
        struck = svg.count('stroke="#D55E00" stroke-width="3"')
        assert struck == sum(title.endswith(", discarded") for title in titles(svg))
        assert struck <= 3 * (prefix.last - prefix.first + 1)
    last = lanes_view(history, len(history.trace) - 1)
    assert last.count('stroke-width="3"') == 3 * (prefix.last - prefix.first + 1)
    assert "SENT (" in last
    assert "APPLIED" in last


def test_thick_is_what_the_member_holds(torn):
    """At the death nobody holds any of it, in the end all five records are in effect on all."""
    history = TraceHistory(torn.world.trace)
    thick = re.compile(r'stroke-width="2\.6"[^>]*><title>[^<]* of ann\.4#1')
    assert not thick.findall(lanes_view(history, torn.moment))
    assert len(thick.findall(lanes_view(history, len(history.trace) - 1))) == 15


def test_a_member_that_restarted_does_not_know_yet_what_was_discarded(torn):
    world = kill_leader_at(torn.step).world
    name = next(name for name in ("n2", "n3") if name != world.leader())
    world.crash(name)
    world.restart(name)
    history = TraceHistory(world.trace)
    now = history.at(len(world.trace) - 1).members[name]
    assert any(cell.discarded for cell in now.log)
    prefix = torn.world.trace.of(TransactionDiscarded)[0].event
    count = prefix.last - prefix.first + 1
    assert (
        f"{name}, follower of term 2: registration of ann, {count} of ann.4#1 open"
        in lanes_words(history, len(world.trace) - 1)
    )
    svg = lanes_view(history, len(world.trace) - 1)
    assert svg.count('stroke-width="3"') == 2 * count


def test_a_picture_tells_itself_in_words_and_is_the_same_each_time(torn):
    history = TraceHistory(torn.world.trace)
    for step in (0, torn.moment, len(history.trace) - 1):
        svg = lanes_view(history, step)
        assert svg == lanes_view(TraceHistory(torn.world.trace), step)
        assert ET.fromstring(svg).get("aria-label") == lanes_words(history, step)
    assert "n1, down" in lanes_words(history, torn.moment)
    assert "No ticket" in lanes_words(history, 0)


def test_names_and_keys_from_outside_do_not_break_the_picture():
    event = EntriesAppended(
        1, 1, (1, 1), ('<k>&"', "\x00long key"), ("<a>&#1", "<a>&#1"), (False, True)
    )
    trace = Trace([TraceStep(0, "n1", MemberStarted(1, 1, 0, 0)), TraceStep(1, "n1", event)])
    svg = lanes_view(TraceHistory(trace), 1)
    assert len(titles(svg)) == 2
    assert "lon" in svg or "\ufffd" in svg


def test_a_copy_that_comes_again_is_a_run_of_its_own_in_the_same_colour(torn):
    log = [EntryState(1, 1, "k", "a#1", end=False), EntryState(2, 2, "", "", end=False)]
    log += [EntryState(3, 2, "k", "a#1", end=True), EntryState(4, 2, "k", "a#1", end=True)]
    assert [[c.index for c in run] for run in runs_of(log)] == [[1], [2], [3], [4]]
    assert list(colours_of(torn.world.trace)) == ["bob.2#1", "ann.4#1"]
    assert len(set(colours_of(torn.world.trace).values())) == 2


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


def test_the_slider_shows_the_life_it_says(deaths, torn):
    slider = DeathSlider(deaths)
    assert slider.death is torn
    slider.slider.value = deaths[-1].step
    assert slider.death is deaths[-1]
    assert f"step {deaths[-1].step}: " in slider._picture.value
    then, now = slider.pictures()
    assert then != now
    bundle = slider._repr_mimebundle_()
    assert bundle["text/html"] == svg_image(now)
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
