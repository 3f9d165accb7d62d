"""Merging runs against a plain dict."""

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import merge as module
from kvraft.merge import merge
from kvraft.record import Version

versions = st.builds(Version, st.integers(0, 5), st.none() | st.binary(max_size=1))
runs = st.lists(st.dictionaries(st.binary(max_size=1), versions, max_size=8), max_size=5)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(runs)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_the_highest_timestamp_wins_and_of_equal_ones_the_newer_run(newest_first):
    model: dict[bytes, Version] = {}
    for run in reversed(newest_first):
        for key, version in run.items():
            if key not in model or model[key].timestamp <= version.timestamp:
                model[key] = version
    merged = list(merge([sorted(run.items()) for run in newest_first]))
    assert merged == sorted(model.items())
