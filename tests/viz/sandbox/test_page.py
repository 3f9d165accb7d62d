"""A page that plays a run: what is in it, and that equal runs give equal pages."""

import base64
import gzip
import json
from itertools import pairwise

import pytest

from kvraft.errors import BadInput
from kvraft.events import Trace
from kvraft.viz.sandbox import Film, conclusion, page
from kvraft.viz.sandbox.page import MOST, stops_of
from tests.helpers.browser import NPM, serious
from tests.viz.sandbox import jupyter
from tests.viz.sandbox.runs import random_film


@pytest.fixture(scope="module")
def film() -> Film:
    return random_film(3, 8)[1]


def content(html: str) -> dict:
    packed = html.partition('id="film">')[2].partition("<")[0]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_each_distinct_picture_is_stored_once(film):
    last = len(film) - 1
    found = content(page(film, stops=[0, 5, last], captions={5: "five"}, panels=("ring", "lights")))
    assert found["names"] == ["ring", "lights"]
    assert len(found["frames"]) == 3
    assert len(found["pictures"]) == len(set(found["pictures"])) < 6
    assert found["captions"] == ["", "five", ""]
    assert found["titles"][-1] == conclusion(film, last)
    assert not any("data-act" in picture for picture in found["pictures"])


def test_equal_films_give_equal_pages(film):
    steps = stops_of(film)[:8]
    assert page(film, stops=steps) == page(film.fork(film.trace), stops=steps)


def test_a_long_run_is_thinned_but_keeps_its_moments():
    film = random_film(3, 9, acts=40)[1]
    stops = stops_of(film)
    assert len(stops) <= 2 * MOST
    assert stops[-1] == len(film) - 1
    assert {film.settled(step) for step in film.moments["election"]} <= set(stops)


def test_what_cannot_be_shown_is_refused(film):
    with pytest.raises(BadInput, match="nothing has happened"):
        page(Film(Trace()))
    with pytest.raises(BadInput, match="no panel 'x'"):
        page(film, panels=("x",))
    with pytest.raises(BadInput, match="steps 0 to"):
        page(film, stops=[10**6])
    with pytest.raises(BadInput, match="steps 0 to"):
        page(film, captions={-1: "before"})


@pytest.mark.skipif(bool(jupyter.left_out()), reason=jupyter.left_out())
@pytest.mark.parametrize("width", [390, 900])
def test_a_saved_page_plays_without_kernel_and_network(width, tmp_path):
    path = tmp_path / "run.html"
    film = random_film(5, 2)[1]
    last = len(film) - 1
    path.write_text(page(film, captions={last: "This is where it ends."}), encoding="utf-8")
    with jupyter.browser(width) as tab:
        asked, problems = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda message: problems.append(message.text))
        tab.goto(path.as_uri())
        tab.wait_for_selector("svg")
        place = tab.locator("#place")
        assert place.inner_text().startswith("1 of ")
        tab.keyboard.press("End")
        assert tab.locator("#caption").inner_text() == "This is where it ends."
        assert tab.locator("#title").inner_text() == conclusion(film, last)
        end = place.inner_text()
        tab.keyboard.press("ArrowLeft")
        assert place.inner_text() != end
        tab.keyboard.press("Home")
        tab.locator("#on").click()
        assert place.inner_text().startswith("2 of ")
        assert asked == [path.as_uri()]
        assert not problems
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        smallest = tab.evaluate(
            "Math.min(...[...document.querySelectorAll('svg text')].map((text) =>"
            " parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"
        )
        assert smallest >= 14
        if NPM is not None:
            assert not serious(tab, tmp_path)
            levels = tab.locator("h1,h2,h3,h4").evaluate_all("all => all.map(e => +e.tagName[1])")
            assert levels[0] == 1
            assert all(b <= a + 1 for a, b in pairwise(levels))
