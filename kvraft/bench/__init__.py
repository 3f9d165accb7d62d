"""Benchmarks: how fast a part is, as a ratio to a peer measured in the same run.

A figure of speed means little on a machine that others use at the same time.  So every benchmark
runs something well known beside what it measures, round by round, and prints medians and ratios.
"""
