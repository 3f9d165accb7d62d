"""Show and save a figure.  Tests compare its data, not its pixels.

Pixels differ between versions of matplotlib and of fonts, so a stored notebook cannot be checked by
them.  :func:`show` therefore prints a digest of the numbers that were drawn, and that line is
compared strictly.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kvraft.viz.figures.style import SHOWN, title_of
from kvraft.viz.shown import png_image

DPI = 200
"""Twice what most screens have: a figure is shown larger on a stage."""


def digest(data: Any) -> str:
    """Return 12 hexadecimal digits that change whenever ``data`` does.

    ``data`` is anything made of numbers, strings, lists, tuples and dicts; floats are rounded to 9
    digits, because the last bits may differ between machines.
    """
    text = json.dumps(_plain(data), separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(data: Any) -> Any:
    if isinstance(data, float):
        return float(f"{data:.9g}")
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if hasattr(data, "__dataclass_fields__"):
        return [_plain(getattr(data, name)) for name in data.__dataclass_fields__]
    return data


def show(figure: Figure, data: Any) -> None:
    """Display ``figure`` in a notebook, once, and print the digest of the ``data`` it draws."""
    from IPython.display import display

    title = title_of(figure)
    bundle = {"text/html": png_image(png(figure), title, SHOWN), "text/plain": title}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]
    print(f"figure data sha256:{digest(data)}")


def png(figure: Figure, **says: str) -> bytes:
    """Return ``figure`` as the bytes of a PNG file; ``says`` is metadata, such as ``Title``."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None} | says)
    return buffer.getvalue()


def svg(figure: Figure, **says: str) -> bytes:
    """Return ``figure`` as the bytes of an SVG file, without the date; ``says`` is metadata."""
    import io

    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "kvraft"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None} | says)
    return buffer.getvalue()


def save(figure: Figure, path: Path, text: str = "") -> None:
    """Write ``figure`` to ``path``: as SVG if its name ends so, else as PNG.

    ``text`` says in words what it shows: the file has that as its description, and the figure's
    title as its own, for those who do not see it.
    """
    draw = svg if path.suffix == ".svg" else png
    title = " ".join(title_of(figure).split())
    path.write_bytes(draw(figure, Title=title, Description=text) if text else draw(figure))
