"""The checks of exercises that ask for code: they run a learner's rule in the real module.

One file a lesson::

    elections      01   who gets a vote; a range of timeouts
    replication    02   when an entry is committed
    safety         03   a schedule that breaks a property; whose log is more up-to-date
    log            04   reading frames; torn or damaged
    crashes        05   what may be found after a crash; the order of a flush
    flush          06   when to freeze a memtable; which versions a flush keeps
    tables         07   bits per key; which block has a key
    compaction     08   what to merge next; which tombstones to drop
    truncation     09   which segments to drop; a budget for followers
    clients        10   what a client reports; timestamps; sessions
    transactions   12   the discard rule; conflicts
    membership     13   when a joint configuration agrees

Each ``check_…`` prints ``Right.`` or ``Not yet.`` with the simplest case that is wrong.
"""
