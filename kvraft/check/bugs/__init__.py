"""The zoo: planted bugs, members and clients that are wrong in one way each, for a check to find.

::

    exhibits         each bug with its story, where it was seen, and what found it how soon
    ├─ zoo.toml      written by hand
    ├─ found.json    measured: kvraft zoo --hunt --json
    ├─ labels        both in words
    └─ registry      find_bug(): all bugs by name, from one module a place:
        ├─ elections     who may stand and vote, and what of it must be saved
        ├─ replication   what a follower takes and answers, what a leader commits
        ├─ membership    who counts while members change
        ├─ reads         as of which index a read is served, and for how long a lease holds
        ├─ log           what is synced, and what a start makes of it
        ├─ tree          flushes, merges, filters
        ├─ applying      when an entry takes effect, and when it may be dropped
        ├─ sessions      which transactions of a client are known
        ├─ snapshots     what is in one, and what it replaces
        ├─ clocks        timestamps
        └─ client        which answer belongs to which request

A check is worth what it catches: each bug is a few lines on the real code, of a kind that papers,
post-mortems and issue trackers report.

Invariants:

- A bug is a subclass that overrides what is public of the class it stands in for, so it runs
  wherever that class runs.
- A checker finds it by its effects; no checker knows what is planted.

The lessons plant the classes exported here by themselves; everything else asks by name.
"""

from kvraft.check.bugs.applying import ChecksBeforeAppending, DiscardsWhatItBegan
from kvraft.check.bugs.clocks import StampsNotRaised
from kvraft.check.bugs.exhibits import (
    FOUND,
    LUCKY,
    USUAL,
    Exhibit,
    Finder,
    Finding,
    catalogue,
    find_exhibit,
    load_findings,
    save_findings,
)
from kvraft.check.bugs.labels import story_lines, zoo_lines
from kvraft.check.bugs.registry import BUGS, Bug, consensus_bug, find_bug
from kvraft.check.bugs.replication import OlderTermsCounted
from kvraft.check.bugs.sessions import AppliesRetries, CountsIncarnations

__all__ = [
    "BUGS",
    "FOUND",
    "LUCKY",
    "USUAL",
    "AppliesRetries",
    "Bug",
    "ChecksBeforeAppending",
    "CountsIncarnations",
    "DiscardsWhatItBegan",
    "Exhibit",
    "Finder",
    "Finding",
    "OlderTermsCounted",
    "StampsNotRaised",
    "catalogue",
    "consensus_bug",
    "find_bug",
    "find_exhibit",
    "load_findings",
    "save_findings",
    "story_lines",
    "zoo_lines",
]
