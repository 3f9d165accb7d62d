"""Every example in a docstring of kvraft does what it says."""

import doctest
import importlib
import pkgutil

import pytest

import kvraft

NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages(kvraft.__path__, "kvraft.")
    if not module.name.endswith("__main__")  # it runs as it is imported
)
OPTIONAL = ("matplotlib", "ipywidgets", "IPython", "plyvel", "rocksdict", "rocksdb", "jupyterlab")
"""What a module may need that not every installation has."""


@pytest.mark.parametrize("name", ["kvraft", *NAMES])
def test_the_examples_of_a_module_do_what_they_say(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{missing.name} is not installed")
    assert doctest.testmod(module).failed == 0


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder()
    found = {
        name: sum(len(test.examples) for test in finder.find(importlib.import_module(name)))
        for name in ("kvraft.sim", "kvraft.clock", "kvraft.store", "kvraft.sim.cluster")
    }
    assert all(found.values()), found
