"""Benchmarks: how fast a part is, as a ratio to a peer that is measured in the same run.

An absolute speed means little on a machine that others use at the same time.  So each benchmark
runs something well known next to what it measures, round by round, and prints medians and ratios::

    consensus   entries and messages a second, next to a plain loop over the same messages
    replica     a put through three members and back, in CPU time
    storage     db_bench's workloads, for each engine in turn
    │ engines     kvraft, LevelDB, RocksDB and SQLite with the same few calls

Source: LevelDB db_bench.
"""

from kvraft.bench import consensus, engines, replica, storage

__all__ = ["consensus", "engines", "replica", "storage"]
