"""The page in a real browser: a cluster runs in it, and nothing is asked of anybody else."""

import threading
import time
from statistics import median

import pytest

from kvraft.sim import Run
from kvraft.viz.playground import build, serve
from kvraft.viz.playground.link import link_of, text_of
from tests.helpers.browser import chromium, needs_chromium, needs_npm, serious

pytestmark = [needs_chromium, needs_npm]
PATIENCE = 200_000
"""How many milliseconds Python may take to start, on a machine that is busy."""
WIDTHS = (390, 900)
"""Of a phone, and of a page beside another, in pixels."""


def recorded():
    """Return a run in which a write was committed."""
    run = Run(3, seed=5)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "bob", "city", "Oslo")
    run.run_for(300)
    return run


class Page:
    """The playground in a browser, opened by a link to a recorded run."""

    def __init__(self, browser, address):
        self.address = address
        self.asked, self.errors = [], []
        context = browser.new_context()
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page = context.new_page()
        began = time.perf_counter()
        self.page.goto(address + link_of(recorded().to_text()))
        self.page.locator("#link:enabled").wait_for(timeout=PATIENCE)
        self.start = time.perf_counter() - began

    def begin(self):
        """Begin a new run."""
        self.page.click("#afresh")
        self.page.locator("#stage").get_by_text("term 1").first.wait_for()

    def did(self, what):
        """Do ``what``, JavaScript; return how many milliseconds later the picture was another."""
        return self.page.evaluate(
            f"""() => new Promise(done => {{
                const stage = document.getElementById("stage");
                const began = performance.now();
                const watch = new MutationObserver(() => {{
                    watch.disconnect();
                    requestAnimationFrame(() => done(performance.now() - began));
                }});
                watch.observe(stage, {{ childList: true, subtree: true }});
                {what};
            }})"""
        )

    def clicked(self, act):
        """Click ``act``; return how many milliseconds later the picture was another."""
        return self.did(f"stage.querySelector('[data-act=\"{act}\"]').click()")

    def run(self):
        """Return the run that is shown, by way of its link: replayed here, to the letter."""
        self.page.click("#link")
        self.page.get_by_text("The link is in the address bar").wait_for()
        return Run.parse(text_of(self.page.evaluate("location.hash")))


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("playground")
    build.build(folder)
    with serve.server(folder, 0) as server, chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Page(browser, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()


@pytest.fixture
def page(opened):
    """The page; a request elsewhere, or an error in it, fails the test that caused it."""
    yield opened
    own = (opened.address, f"blob:{opened.address}")
    assert len(opened.asked) > 10
    assert not [url for url in opened.asked if not url.startswith(own)]
    assert not opened.errors


def test_a_run_from_a_link_is_opened_at_its_end(page):
    assert page.page.inner_text("#status") == ""
    assert page.run().to_text() == recorded().to_text()
    page.did("location.hash = '#run=damaged'")
    assert "damaged" in page.page.inner_text("#status")
    assert page.run().actions == ()


def test_a_put_is_committed_in_the_page_and_the_trace_is_the_same_as_here(page, capsys):
    page.begin()
    times = [page.clicked(act) for act in ("put", "on", "crash", "on", "on", "restart", "on")]
    times += [page.clicked("put") for _ in range(10)]
    run = page.run()
    assert [action.verb for action in run.actions].count("put") == 11
    assert run.world.client("ann").get(b"color")
    with capsys.disabled():
        print(f"\nplayground: starts in {page.start:.1f} s, a click takes {median(times):.0f} ms")


def test_what_cannot_be_done_is_answered_in_a_sentence(page):
    page.begin()
    page.clicked("crash")
    page.page.click("[data-act=crash]")
    page.page.locator("#status").get_by_text("nobody leads right now.").wait_for()
    page.clicked("on")
    assert page.page.inner_text("#status") == ""


def test_nothing_can_be_asked_of_another_server(page, tmp_path):
    with serve.server(tmp_path, 0) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{other.server_port}/"
        ask = f"fetch('{address}', {{mode: 'no-cors'}}).then(() => 'asked', () => 'refused')"
        (worker,) = page.page.workers
        assert [page.page.evaluate(ask), worker.evaluate(ask)] == ["refused", "refused"]
        other.shutdown()


def test_everything_is_reached_by_keyboard(page):
    page.begin()
    acts = page.page.evaluate(
        "[...document.querySelectorAll('[data-act]')].map(e => e.dataset.act)"
    )
    focused = "document.activeElement.dataset.act ?? document.activeElement.id"
    met = []
    for _ in range(len(acts) + 3):  # all of them, the two of the page, and the page itself
        page.page.keyboard.press("Tab")
        met.append(page.page.evaluate(focused))
    assert {*acts, "link", "afresh"} <= set(met)
    page.page.focus("[data-act=put]")
    for key in ("Enter", "Space"):
        before = page.page.inner_text("#stage h2")
        page.page.keyboard.press(key)
        page.page.locator("#stage h2").filter(has_not_text=before).wait_for()
        assert page.page.evaluate(focused) == "put"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_on_a_phone_by_day_and_by_night(page, scheme, tmp_path_factory):
    page.begin()
    page.page.emulate_media(color_scheme=scheme)
    for width in WIDTHS:
        page.page.set_viewport_size({"width": width, "height": 844})
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert not serious(page.page, tmp_path_factory.getbasetemp())
