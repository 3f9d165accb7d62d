"""Names for what ipywidgets leaves without one, and quiet for the notebook around it.

The handle of a slider has no name for a screen reader, and a letter that is typed on any control is
a command to the notebook: ``x`` cuts the cell.  A widget without a picture, next to the others in
their box, gives each handle its name and each control Lumino's sign that keys are not for the
notebook; it has to be on the very element that has the focus.

This needs anywidget (the extra ``lab``).  Without it controls work as ipywidgets made them.
"""

from __future__ import annotations

import ipywidgets as widgets

try:
    import anywidget
except ImportError:  # the extra is missing
    anywidget = None  # type: ignore[assignment]

_ESM = """
function name(box) {
  for (const hot of box.querySelectorAll("button, input, select, [role=slider], [tabindex]")) {
    hot.dataset.lmSuppressShortcuts = "true";
    const label = hot.closest(".jupyter-widgets")?.querySelector("label")?.textContent;
    if (hot.getAttribute("role") === "slider" && label) hot.setAttribute("aria-label", label);
  }
}
export default {
  render({ el }) {
    el.style.display = "none";
    let watch, frame;
    const begin = () => {
      const box = el.isConnected && el.parentElement.closest(".widget-box");
      if (!box) { frame = requestAnimationFrame(begin); return; }
      name(box);
      watch = new MutationObserver(() => name(box));
      watch.observe(box, { childList: true, subtree: true });
    };
    begin();
    return () => { cancelAnimationFrame(frame); watch?.disconnect(); };
  },
};
"""


def names() -> tuple[widgets.Widget, ...]:
    """Return what to put into a box last, so that all in it have names and are quiet."""
    if anywidget is None:
        return ()
    return (type("Names", (anywidget.AnyWidget,), {"_esm": _ESM})(),)
