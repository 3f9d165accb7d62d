"""The page in a real browser: a cluster runs in it, and nothing is asked of anybody else."""

import threading
import time
from pathlib import Path
from statistics import median

import pytest

from kvraft.events import TableWritten
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
        """Begin a new run, and select its leader, which is there from the start."""
        self.did("document.getElementById('afresh').click()")
        heading = self.page.inner_text(".kv-title")
        self.leader = next(word.strip(".,") for word in heading.split() if word.startswith("n"))
        self.pressed(f"member {self.leader}")

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
                watch.observe(stage, {{ attributeFilter: ["data-seq"], subtree: true }});
                {what};
            }})"""
        )

    def pressed(self, act):
        """Press what sends ``act``; return how many milliseconds later the picture was another."""
        press = "dispatchEvent(new MouseEvent('click', { bubbles: true }))"
        return self.did(f"stage.querySelector('[data-act=\"{act}\"]').{press}")

    def chosen(self, label):
        """Press the button of this ``label``; return as :meth:`pressed` does."""
        buttons = self.page.locator(".kv-menu button")
        acts = buttons.evaluate_all("all => all.map(e => [e.textContent, e.dataset.act])")
        return self.pressed(dict(acts)[label])

    def linked(self):
        """Return the link to what is shown."""
        self.page.click("#link")
        self.page.get_by_text("The link is in the address bar").wait_for()
        return self.page.evaluate("location.hash")

    def run(self):
        """Return the run that is shown, by way of its link: replayed here, to the letter."""
        return Run.parse(text_of(self.linked()))


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
    times = [page.chosen(f"crash {page.leader}"), page.pressed("next election")]
    times += [page.pressed(f"member {page.leader}"), page.chosen("put alice")]
    times += [page.pressed(act) for act in ("next commit", "run 1000", "go back", "next flush")]
    times += [page.pressed("run 10") for _ in range(10)]
    other = next(name for name in ("n1", "n2") if name != page.leader)
    times += [page.pressed(f"member {other}"), page.chosen(f"flush {other}")]
    times += [page.pressed("run 1000")]
    run = page.run()
    with page.page.expect_download() as saved:
        page.page.click("#save")
    assert Path(saved.value.path()).read_text(encoding="ascii") == run.to_text()
    page.did("document.getElementById('afresh').click()")
    with page.page.expect_file_chooser() as chooser:
        page.page.click("#choose")
    path = saved.value.path()
    chooser.value.set_files(
        {"name": "run.jsonl", "mimeType": "text/plain", "buffer": Path(path).read_bytes()}
    )
    page.page.wait_for_function("() => stage.querySelector('[data-seq]')")
    page.page.wait_for_timeout(1_000)
    assert page.run().to_text() == run.to_text()
    assert [action.verb for action in run.actions] == ["crash", "put", "flush"]
    assert any(isinstance(step.event, TableWritten) for step in run.trace)  # hashed in Python there
    assert run.world.client("alice").get(b"city") == b"Oslo"
    with capsys.disabled():
        print(f"\nplayground: starts in {page.start:.1f} s, a click takes {median(times):.0f} ms")


def test_what_cannot_be_done_is_grey_and_says_why(page):
    page.begin()
    grey = page.page.locator(".kv-menu form").filter(has_text=f"restart {page.leader}")
    assert grey.locator("button").get_attribute("aria-disabled") == "true"
    assert grey.locator(".kv-why").inner_text()
    page.pressed("next truncation")
    assert page.page.inner_text(".kv-notice")


def test_a_mission_is_played_to_its_end(page):
    page.begin()
    page.pressed("missions")
    page.pressed("mission two-leaders")
    assert "Have two members believe" in page.page.inner_text(".kv-goal")
    page.pressed("hint")
    assert page.page.locator(".kv-hints li").count() == 1
    page.pressed("member n1")
    page.chosen("pause n1")
    assert "1 action so far" in page.page.inner_text(".kv-verdict")
    page.pressed("next election")
    assert "Reached with 1 action: the best known way." in page.page.inner_text(".kv-verdict")
    link = page.linked()
    page.pressed("missions")
    page.pressed("mission two-leaders-one-term")
    page.pressed("give up")
    assert "a member votes once a term" in page.page.inner_text(".kv-verdict")
    page.did("document.getElementById('afresh').click()")
    assert page.page.locator(".kv-goal").count() == 0
    page.did(f"location.hash = '{link}'")
    assert "Reached with 1 action" in page.page.inner_text(".kv-verdict")


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
    hot = "[...document.querySelectorAll('[data-act]')]"
    acts = page.page.evaluate(f"{hot}.map(e => e.dataset.act)")
    focused = "document.activeElement.dataset.act ?? document.activeElement.id"
    met = set()
    for _ in range(2 * len(acts)):  # there are fields to type in, too
        page.page.keyboard.press("Tab")
        met.add(page.page.evaluate(focused))
    assert met >= {*acts, "link", "save", "afresh"}
    page.page.focus("[data-act='run 10']")
    for key in ("Enter", "Space"):
        before = page.page.get_attribute("[data-seq]", "data-seq")
        page.page.keyboard.press(key)
        page.page.locator(f"[data-seq]:not([data-seq='{before}'])").wait_for()
        assert page.page.evaluate(focused) == "run 10"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_on_a_phone_by_day_and_by_night(page, scheme, tmp_path_factory):
    page.begin()
    page.page.emulate_media(color_scheme=scheme)
    for width in WIDTHS:
        page.page.set_viewport_size({"width": width, "height": 844})
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert not serious(page.page, tmp_path_factory.getbasetemp())
