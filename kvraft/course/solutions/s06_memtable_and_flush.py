"""Answers to notebooks/06_memtable_and_flush.ipynb."""

MEMTABLE, LOG = 8 * 1024, 16 * 1024


def should_freeze(memtable_bytes, log_bytes, waiting):
    """Full, or too much log waits for it while nothing else is on its way."""
    return memtable_bytes >= MEMTABLE or (log_bytes > LOG and waiting == 0)


def when_full(memtable_bytes, log_bytes, waiting):
    """Forgets the log: one key written again and again holds all of it."""
    return memtable_bytes >= MEMTABLE


def when_the_log_is_long(memtable_bytes, log_bytes, waiting):
    """Forgets memory."""
    return log_bytes > LOG and waiting == 0


def whatever_waits(memtable_bytes, log_bytes, waiting):
    """Forgets that a memtable on its way releases the log by itself."""
    return memtable_bytes >= MEMTABLE or log_bytes > LOG


def one_at_a_time(memtable_bytes, log_bytes, waiting):
    """Lets the memtable grow while another waits."""
    return waiting == 0 and (memtable_bytes >= MEMTABLE or log_bytes > LOG)


def both(memtable_bytes, log_bytes, waiting):
    """As if memory and log had to be full."""
    return memtable_bytes >= MEMTABLE and log_bytes > LOG


def always(memtable_bytes, log_bytes, waiting):
    """A table for every write."""
    return True


def never(memtable_bytes, log_bytes, waiting):
    """Nothing is ever flushed."""
    return False


def early(memtable_bytes, log_bytes, waiting):
    """Half-full memtables: twice as many tables as needed."""
    return memtable_bytes >= MEMTABLE // 2 or (log_bytes > LOG // 2 and waiting == 0)


def forgets_to_return(memtable_bytes, log_bytes, waiting):
    """Works it out, and keeps it."""
    _ = memtable_bytes >= MEMTABLE or log_bytes > LOG


def wrong_name(memtable_bytes, log_bytes, waiting):
    """Takes a number for a list."""
    return memtable_bytes >= MEMTABLE or len(waiting) == 0


def kept(versions, views):
    """The newest, and for each view the newest that is not above it."""
    wanted = {versions[-1]}
    for view in views:
        wanted.update([version for version in versions if version[0] <= view][-1:])
    return sorted(wanted)


def newest(versions, views):
    """Forgets the views."""
    return versions[-1:]


def everything(versions, views):
    """Safe, and never gets smaller."""
    return versions


def up_to_the_last_view(versions, views):
    """What a memtable keeps while a view is open: more than a flush must write."""
    last = max(views, default=0)
    return [version for version in versions if version[0] <= last or version == versions[-1]]


def at_the_views(versions, views):
    """As if a view saw only what was written at its very moment."""
    return [version for version in versions if version[0] in views or version == versions[-1]]


def before_the_views(versions, views):
    """Takes the newest strictly before a view: off by one."""
    wanted = {versions[-1]}
    for view in views:
        wanted.update([version for version in versions if version[0] < view][-1:])
    return sorted(wanted)


def without_the_newest(versions, views):
    """Serves the views, and forgets those who read now."""
    return [version for version in kept(versions, views) if any(version[0] <= at for at in views)]


def without_tombstones(versions, views):
    """Throws away what hides older tables."""
    return [version for version in kept(versions, views) if version[1] is not None]


def newest_first(versions, views):
    """Right, in the wrong order."""
    return kept(versions, views)[::-1]


def timestamps(versions, views):
    """Gives times, not versions."""
    return [timestamp for timestamp, _ in kept(versions, views)]


def nothing(versions, views):
    """Forgets to return."""


def raises(versions, views):
    """Takes a pair for an object."""
    return [version for version in versions if version.timestamp in views]


RIGHT = {"prediction": [1, 2, 2, 4, 1, 3], "should_freeze": should_freeze, "kept": kept}
WRONG = {
    "prediction": [
        [1, 2, 4, 2, 3, 2],  # as if both memtables were in tables
        [1, 3, 2, 4, 1, 3],  # keys of a frozen memtable are not in the new one
        [1, 2, 2, 4, 6, 3],  # nothing of the memtable survives
        [1, 2, 2, 4, 1, 2],  # a tombstone is a row, too
        [0, 2, 2, 4, 1, 3],
        [1, 2, 2, 6, 1, 3],  # what is in tables is not replayed
        [],
        None,
    ],
    "should_freeze": [
        when_full,
        when_the_log_is_long,
        whatever_waits,
        one_at_a_time,
        both,
        always,
        never,
        early,
        forgets_to_return,
        wrong_name,
    ],
    "kept": [
        newest,
        everything,
        up_to_the_last_view,
        at_the_views,
        before_the_views,
        without_the_newest,
        without_tombstones,
        newest_first,
        timestamps,
        nothing,
        raises,
    ],
}
