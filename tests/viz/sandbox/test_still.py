"""Stills: what a cell shows of a run, to those who see it and to those who do not."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from kvraft.errors import BadInput
from kvraft.sim import Cluster, Run
from kvraft.viz import svg
from kvraft.viz.sandbox import PANELS, Film, conclusion, still
from kvraft.viz.sandbox.still import shown

IMAGE = re.compile(r'<img alt="([^"]+)"[^>]* src="data:image/svg\+xml,([^"]+)">')


def elected() -> Cluster:
    cluster = Cluster(3, seed=1)
    cluster.run_until(lambda: cluster.leader() is not None)
    return cluster


def test_each_panel_is_a_picture_with_words_in_place_of_it():
    trace = elected().trace
    film = Film(trace)
    html = still(trace, *PANELS)._repr_html_()
    found = IMAGE.findall(html)
    assert len(found) == html.count("<img") == len(PANELS)
    for alt, source in found:
        assert alt.startswith(conclusion(film, len(film) - 1))
        assert (
            "data-act" not in ElementTree.tostring(ElementTree.fromstring(unquote(source))).decode()
        )
    assert html.count("<figcaption") == 1


def test_a_still_does_not_change_when_its_trace_goes_on():
    cluster = elected()
    before = still(cluster.trace, "ring", "space-time", "logs")
    html, last = before._repr_html_(), len(cluster.trace) - 1
    cluster.crash("n1")
    cluster.run(100)
    assert before._repr_html_() == html != still(cluster.trace, "ring")._repr_html_()
    assert (
        still(cluster.trace, "logs", step=last)._repr_html_()
        == still(Film(cluster.trace), "logs", step=last)._repr_html_()
    )


def test_a_name_stands_before_what_is_the_case():
    trace = elected().trace
    film = Film(trace)
    case = conclusion(film, len(film) - 1)
    assert [g.caption for g in still(trace, "ring", "logs", name="(a)").groups] == [f"(a) {case}"]
    assert still(trace, "ring", "logs").groups[0].caption == case


def test_timers_are_known_of_a_world_as_it_is():
    run = Run(3, seed=1)
    run.run_for(100)
    drawn = still(run, "ring").groups[0].pictures[0].svg
    assert drawn == still(run.world, "ring").groups[0].pictures[0].svg
    assert drawn != still(run.trace, "ring").groups[0].pictures[0].svg


def test_moments_stand_next_to_each_other_in_their_order():
    cluster = elected()
    one = still(cluster.trace, "ring", says="first")
    both = one.next_to(still(cluster.trace, "logs", says="second"), still(cluster.trace, "ring"))
    assert [group.caption for group in both.groups][:2] == ["first", "second"]
    assert repr(both).splitlines()[1].startswith("second. Logs.")


def test_space_and_time_show_all_messages_since_a_step():
    cluster = elected()
    begin = len(cluster.trace)
    cluster.run(20)
    film = Film(cluster.trace)
    sent = sum(one.step >= begin for one in film.sent.values())
    assert sent > 16
    assert f"The {sent} messages" in repr(still(film, "space-time", since=begin))
    assert "The last 16 messages" in repr(still(film, "space-time"))


def test_a_run_and_any_drawing_can_be_shown():
    run = Run(3, seed=1)
    assert IMAGE.findall(still(run, "ring")._repr_html_())
    drawn = svg.drawing(20, "a % of <all> & more", [svg.text(2, 12, "100 % 'é' #1")])
    ((alt, source),) = IMAGE.findall(shown(drawn)._repr_html_())
    assert alt == "a % of &lt;all&gt; &amp; more"
    assert "100 % " in "".join(ElementTree.fromstring(unquote(source)).itertext())
    assert repr(shown(drawn)) == "a % of <all> & more"


@pytest.mark.parametrize(
    ("panels", "options", "why"),
    [
        (("rings",), {}, "there is no panel 'rings'"),
        (("ring",), {"step": 10_000}, "has steps 0 to"),
        (("space-time",), {"since": -1}, "has steps 0 to"),
    ],
)
def test_what_is_not_there_is_refused(panels, options, why):
    with pytest.raises(BadInput, match=why):
        still(elected().trace, *panels, **options)
