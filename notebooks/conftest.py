"""``pytest --nbval notebooks`` compares all that a lesson shows but pixels: see ``nbval.cfg``."""

from pathlib import Path


def pytest_configure(config):
    """Let nbval clean outputs as the file beside this one says, unless another is named."""
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(Path(__file__).with_name("nbval.cfg"))
