"""The figures of lesson 02: their titles are computed from the numbers, and so are their lines."""

import pytest

from kvraft.errors import BadInput
from kvraft.viz.figures import (
    BackUpSample,
    MatchSample,
    plot_back_up,
    plot_matches,
    plot_windows,
    title_of,
)


def test_the_rank_of_the_commit_index_is_counted_not_claimed():
    match = {"n1": 9, "n2": 4, "n3": 7, "n4": 7, "n5": 2}
    moments = [MatchSample(0, match, 7), MatchSample(10, match, 7)]
    title = title_of(plot_matches(moments))
    assert title == "At all 2 moments the commit index is the third highest of 5 match indexes"
    title = title_of(plot_matches([*moments, MatchSample(20, match, 4)]))
    assert title == "At 2 of 3 moments the commit index is the third highest of 5 match indexes"
    four = {"n1": 4, "n2": 4, "n3": 3, "n4": 1}
    assert "At all 1 moments" in title_of(plot_matches([MatchSample(0, four, 3)]))


def test_backing_up_and_windows_are_titled_by_what_was_measured():
    rows = [BackUpSample(8, 2, 8), BackUpSample(4, 1, 4)]
    figure = plot_back_up(rows)
    assert title_of(figure) == "To back up over 8 entries costs 2 refusals with hints, 8 without"
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[8, 4], [2, 1]]
    figure = plot_windows({16: [100, 100], 1: [100, 1200]}, round_trip=100)
    assert title_of(figure) == (
        "2 entries over a round trip of 100 ms: 1,200 ms with a window of 1, 100 ms with 16"
    )
    assert [line.get_label() for line in figure.axes[0].lines] == ["window 1", "window 16"]


@pytest.mark.parametrize("draw", [plot_matches, plot_back_up])
def test_nothing_measured_is_nothing_to_draw(draw):
    with pytest.raises(BadInput, match="nothing was measured"):
        draw([])
    with pytest.raises(BadInput, match="nothing was measured"):
        plot_windows({}, round_trip=1)
