"""Figures can be read where they are shown, on a phone and on a stage.

Those of lessons are tried while nbval runs them: ``tests/helpers/lessons.py``.
"""

import IPython.display
from matplotlib.figure import Figure

from kvraft.viz.figures import picture, style
from tests.viz.figure_faults import faults


def a_line(**options) -> Figure:
    figure, axes = style.one_panel(2)
    axes.plot([0, 1], [0, 1], label="a line", **options)
    style.named(axes, "what goes up", "what goes right")
    style.legend(figure)
    return style.titled(figure, "A line rises")


def test_what_is_wrong_with_a_figure_is_found():
    assert not faults(a_line())
    for wrong, what in (
        (lambda axes: axes.text(0.4, 0.5, "struck by it", ha="center"), "struck"),
        (lambda axes: axes.text(0.1, 0.9, "small", fontsize=8), "pixels high"),
        (lambda axes: [axes.text(0.1, 0.8, "twice") for _ in "ab"], "lies on"),
        (lambda axes: axes.text(0.8, 0.1, "over the edge").set_in_layout(False), "outside"),
        (lambda axes: axes.axvline(0.2) and axes.text(0.15, 0.7, "a label"), "struck"),
        (lambda axes: axes.plot([0.2], [0.8], "o") and axes.text(0.17, 0.77, "mark"), "struck"),
        (lambda axes: axes.set_ylim(0, 50) and axes.figure.set_figheight(9), "white"),
    ):
        figure = a_line()
        wrong(figure.axes[0])
        assert any(what in fault for fault in faults(figure)), what


def test_a_title_is_folded_and_said_in_one_line():
    says = "A conclusion that is much longer than a phone is wide, as most of them are"
    figure = style.titled(a_line(), says)
    assert figure.get_suptitle().count("\n") >= 2
    assert style.title_of(figure) == says


def test_a_figure_in_a_notebook_has_words_and_keeps_its_size(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    picture.show(a_line(), [1, 2])
    html = shown[0]["text/html"]
    assert '<img alt="A line rises"' in html
    assert f"min-width:{style.SHOWN[0]}px" in html
    assert shown[0]["text/plain"] == "A line rises"
    assert capsys.readouterr().out.startswith("figure data sha256:")
