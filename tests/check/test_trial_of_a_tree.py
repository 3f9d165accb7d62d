"""A tree on trial: what is right comes out clean, what is wrong is found, in few calls."""

import json

import pytest

from kvraft.check.trial import TREE, Promise, Report, TreePromise, judge_tree
from kvraft.lsm import Tree
from tests.helpers.minimal_tree import WRONG, MinimalTree

FINDS = {
    "ForgetsToSync": {TreePromise.OPENS, TreePromise.DURABLE},
    "ForgetsTheDirectory": {TreePromise.DURABLE},
    "OverwritesInPlace": {TreePromise.OPENS, TreePromise.DURABLE},
    "EmptyIsDeleted": {TreePromise.READS},
    "ScansUnsorted": {TreePromise.SCANS},
    "DropsEmptyKeys": {TreePromise.READS},
    "RaisesOnUnknown": {Promise.ANSWERS},
}
"""What is broken by each variant, among other things: one of these at least."""


@pytest.mark.parametrize("make", [MinimalTree, Tree.open], ids=["minimal", "kvraft"])
def test_a_right_one_comes_out_clean(make):
    report = judge_tree(make, title="right", runs=25)
    assert not report.broken
    assert [verdict.name for verdict in report.verdicts] == list(TREE)


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_each_wrong_variant_is_found_in_few_calls(kind):
    report = judge_tree(kind, title=f"mine:{kind.__name__}", runs=25)
    assert FINDS[kind.__name__] & {verdict.name for verdict in report.broken}
    for verdict in report.broken:
        assert len(verdict.lines) <= 8, verdict.lines
        assert verdict.lines[0][0] == f"tree = {kind.__name__}(disk)"
    assert Report.from_json(json.loads(json.dumps(report.to_json()))).to_json() == report.to_json()
