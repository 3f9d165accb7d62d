"""Figures of what was measured or what a run did (needs matplotlib).

::

    plots         the tour's four: leaders, marks, segments, sizes
    bands         a log over time, by what pins it           crashes       what came back
    clients       one write, many writes                     durability    damage, group commit
    compaction    what a strategy costs                      elections     time without a leader
    filters       false positives                            flush         memory and log, in turns
    replication   match, backing up, windows                 safety        bugs found by chance
    soak          what a long run uses                       transactions  torn, in conflict, sums
    ratios        how much better a benchmark is             history       calls, ordered or not
        │
      style       width, letters, panels     picture    to show and save one; a digest of its data
      cells       lanes of cells

Invariants:

- A figure is titled by its conclusion, with numbers computed from the data that it draws.
- A label, a hatch or a line's style repeats what colour shows.
- No clock and no chance: equal data gives an equal figure, and :func:`show` prints its digest.
"""

from kvraft.viz.figures import plots
from kvraft.viz.figures.bands import (
    bands,
    last_pins,
    plot_bands,
    plot_catching_up,
    plot_log_bytes,
)
from kvraft.viz.figures.clients import (
    DONE,
    DOWN,
    LOG,
    outage_story,
    plot_lost_updates,
    plot_outages,
    plot_pauses,
    plot_transaction,
    spans_of,
)
from kvraft.viz.figures.compaction import plot_timeline, plot_triangle
from kvraft.viz.figures.crashes import plot_careless, plot_levels, plot_matrix
from kvraft.viz.figures.durability import (
    OUTCOME_COLOURS,
    FileOutcome,
    flips,
    group_commits,
    plot_flips,
    plot_group_commits,
    plot_truncations,
    truncations,
)
from kvraft.viz.figures.elections import plot_failed, plot_terms, plot_trials
from kvraft.viz.figures.filters import plot_k, plot_rates
from kvraft.viz.figures.flush import plot_calls, plot_paces, plot_pressure, plot_saw_tooth
from kvraft.viz.figures.history import plot_history
from kvraft.viz.figures.picture import digest, png, save, show, svg
from kvraft.viz.figures.ratios import plot_ratios, ratios_text, ratios_title
from kvraft.viz.figures.replication import (
    BackUpSample,
    MatchSample,
    plot_back_up,
    plot_matches,
    plot_windows,
)
from kvraft.viz.figures.safety import plot_hunts
from kvraft.viz.figures.soak import plot_soak, soak_title
from kvraft.viz.figures.style import title_of
from kvraft.viz.figures.transactions import data_of, plot_conflicts, plot_deaths, plot_totals

__all__ = [
    "DONE",
    "DOWN",
    "LOG",
    "OUTCOME_COLOURS",
    "BackUpSample",
    "FileOutcome",
    "MatchSample",
    "bands",
    "data_of",
    "digest",
    "flips",
    "group_commits",
    "last_pins",
    "outage_story",
    "plot_back_up",
    "plot_bands",
    "plot_calls",
    "plot_careless",
    "plot_catching_up",
    "plot_conflicts",
    "plot_deaths",
    "plot_failed",
    "plot_flips",
    "plot_group_commits",
    "plot_history",
    "plot_hunts",
    "plot_k",
    "plot_levels",
    "plot_log_bytes",
    "plot_lost_updates",
    "plot_matches",
    "plot_matrix",
    "plot_outages",
    "plot_paces",
    "plot_pauses",
    "plot_pressure",
    "plot_rates",
    "plot_ratios",
    "plot_saw_tooth",
    "plot_soak",
    "plot_terms",
    "plot_timeline",
    "plot_totals",
    "plot_transaction",
    "plot_trials",
    "plot_triangle",
    "plot_truncations",
    "plot_windows",
    "plots",
    "png",
    "ratios_text",
    "ratios_title",
    "save",
    "show",
    "soak_title",
    "spans_of",
    "svg",
    "title_of",
    "truncations",
]
