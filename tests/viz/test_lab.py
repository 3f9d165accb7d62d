"""Pictures and sliders in a real page: each has a name, and no letter acts on the notebook."""

import pytest

from tests.viz.sandbox import jupyter

why = jupyter.left_out()
pytestmark = pytest.mark.skipif(bool(why), reason=why)

CELLS = [
    """
from matplotlib.figure import Figure
from IPython.display import HTML
from kvraft.sim import SimDisk, World
from kvraft.viz import SVG
from kvraft.viz.figures import show
from kvraft.viz.figures.style import one_panel, titled
from kvraft.viz.panels import measure, segments_of, strip
from kvraft.viz.widgets import ByteStepper, FilterSlider
world = World(3, seed=1)
world.run_for(400)
disk = world.disk("n1")
figure, axes = one_panel(2)
axes.plot([0, 1], [0, 1])
show(titled(figure, "A line that rises"), [0, 1])
""",
    "SVG(strip(disk, 'n1'))",
    "FilterSlider([b'a', b'b'], [measure(100, bits, 100) for bits in (5, 10)], start=5)",
    "ByteStepper(disk, 'n1', segments_of(disk)[-1])",
    'HTML(\'<b class="kv-title" data-seq="1">all ran</b>\')',
]
LETTERS = ("x", "b", "a", "d", "d", "c", "v", "z", "m", "y", "0", "0")


@pytest.fixture(scope="module", params=["lab", "notebook"])
def page(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    jupyter.write_notebook(folder / "t.ipynb", CELLS)
    with jupyter.server(request.param, folder) as address, jupyter.browser(1500) as page:
        jupyter.open_notebook(page, address, request.param, "t.ipynb")
        page.get_by_role("button", name="next frame").wait_for(timeout=60_000)
        yield page


def test_each_picture_has_its_words_in_the_accessibility_tree(page):
    page.get_by_role("img", name="A line that rises").wait_for()
    images = page.locator(".jp-OutputArea img")
    assert images.count() >= 2
    for image in images.all():
        assert len(image.get_attribute("alt")) > 10
        assert image.evaluate("image => image.naturalWidth") > 100


def test_each_control_has_a_name(page):
    for name in ("bits a key", "offset"):
        page.get_by_role("slider", name=name).wait_for()
    for name in ("byte back", "byte on", "next field"):
        page.get_by_role("button", name=name, exact=True).wait_for()
    nameless = page.locator(".jupyter-widgets button").evaluate_all(
        "all => all.filter(e => !(e.textContent.trim() || e.ariaLabel)).map(e => e.outerHTML)"
    )
    assert not nameless


@pytest.mark.parametrize("role", ["slider", "button"])
def test_a_letter_on_a_control_never_acts_on_the_notebook(page, role):
    cells = page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    hot = page.locator(".jupyter-widgets [role=slider], .jupyter-widgets button")
    chosen = [
        each for each in hot.all() if (each.get_attribute("role") == "slider") == (role == "slider")
    ]
    assert len(chosen) >= 2
    for control in chosen:
        control.focus()
        for letter in LETTERS:
            page.keyboard.press(letter)
            assert cells.count() == before, f"{letter} on {control.get_attribute('aria-label')}"


def test_an_arrow_moves_a_slider(page):
    slider = page.get_by_role("slider", name="offset")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("offset 1:").first.wait_for()
