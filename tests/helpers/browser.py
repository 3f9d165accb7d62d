"""A real browser for tests, and axe-core, which finds what people cannot use.

Where there is no Chromium, or no npm, tests that need it are left out and say so.  ``.ci/run``
installs both first.
"""

import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from functools import cache

import pytest

AXE = "4.14.1"
"""The version of axe-core."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NPM = shutil.which("npm")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
needs_npm = pytest.mark.skipif(NPM is None, reason="there is no npm here")


@contextmanager
def chromium():
    """Yield a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@cache
def _axe(place):
    command = [NPM, "pack", f"axe-core@{AXE}", "--silent", "--pack-destination", str(place)]
    subprocess.run(command, cwd=place, capture_output=True, check=True)
    with tarfile.open(next(place.glob("axe-core-*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def serious(page, place):
    """Return what axe-core finds in ``page`` that is serious or worse; ``place`` is a folder.

    One rule does not fit a drawing: that a button's name contains all text in it, word for word.
    A drawn member is a button with its name, term and vote on it, and its accessible name says them
    in a sentence, which begins with what one would call it by.
    """
    page.evaluate(_axe(place))
    found = page.evaluate("axe.run()")
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
        if not (violation["id"] == "label-content-name-mismatch" and node["html"].startswith("<g "))
    ]
