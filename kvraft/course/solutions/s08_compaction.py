"""Answers to notebooks/08_compaction.ipynb."""

from kvraft.lsm import CompactionTask, Levelled

ONE_TABLE = 1 << 62


def pick(tables):
    """Four neighbours in age of about the same size become one."""
    for first in range(len(tables) - 3):
        group = tables[first : first + 4]
        sizes = [table.size for table in group]
        if max(sizes) <= 2 * min(sizes):
            return CompactionTask(tuple(group), 0, ONE_TABLE)
    return None


def levelled(tables):
    """The strategy of the lesson, with levels that suit the load."""
    return Levelled(tables=4, level_bytes=16 << 10, fanout=10, table_bytes=8 << 10).pick(tables)


def nothing(tables):
    """Never merges."""


def everything(tables):
    """Merges all tables whenever there is more than one."""
    return CompactionTask(tuple(tables), 0, ONE_TABLE) if len(tables) > 1 else None


def newest(tables):
    """Merges the newest two, into a table that grows and grows."""
    return CompactionTask(tuple(tables[:2]), 0, ONE_TABLE) if len(tables) > 4 else None


def oldest(tables):
    """Merges the oldest four, the largest of them each time."""
    return CompactionTask(tuple(tables[-4:]), 0, ONE_TABLE) if len(tables) >= 4 else None


def newest_four(tables):
    """Merges the newest four, with what came of them before."""
    return CompactionTask(tuple(tables[:4]), 0, ONE_TABLE) if len(tables) >= 8 else None


def for_ever(tables):
    """Takes a single table for work."""
    return CompactionTask(tuple(tables[:1]), 0, ONE_TABLE) if tables else None


def overlapping(tables):
    """Merges level 0 into level 1, and forgets what lies there."""
    full = [table for table in tables if table.level == 0]
    return CompactionTask(tuple(full), 1, ONE_TABLE) if len(full) >= 4 else None


def returns_tables(tables):
    """Gives the tables instead of a task."""
    return tables[:4] if len(tables) >= 4 else None


def empty_task(tables):
    """Merges nothing into one."""
    return CompactionTask((), 0, ONE_TABLE)


def raises(tables):
    """Asks for the first table where there is none."""
    return CompactionTask((tables[0], tables[1]), 0, ONE_TABLE)


def bottomless(tables):
    """A level that nobody can count to."""
    return CompactionTask(tuple(tables), 1 << 40, ONE_TABLE) if len(tables) >= 4 else None


def crumbs(tables):
    """Tables of a byte each."""
    return CompactionTask(tuple(tables), 1, 1) if len(tables) >= 4 else None


def may_drop(key, timestamp, others):
    """Nothing older of the key can be anywhere else."""
    return not any(other.covers(key) and other.min_timestamp < timestamp for other in others)


def always(key, timestamp, others):
    """The key is deleted, is it not?"""
    return True


def never(key, timestamp, others):
    """Safe, and they pile up."""
    return False


def alone(key, timestamp, others):
    """Only if the merge takes all tables."""
    return not others


def whatever_its_age(key, timestamp, others):
    """Forgets that what is newer hides nothing."""
    return not any(other.covers(key) for other in others)


def wholly_older(key, timestamp, others):
    """Overlooks a table with older and newer rows."""
    return not any(other.covers(key) and other.max_timestamp < timestamp for other in others)


def deeper_only(key, timestamp, others):
    """As if old rows lay on deep levels only."""
    return not any(
        other.covers(key) and other.level > 0 and other.min_timestamp < timestamp
        for other in others
    )


def stop_included(key, timestamp, others):
    """A span does not hold the key that it stops at."""
    return not any(
        other.start <= key <= other.stop and other.min_timestamp < timestamp for other in others
    )


def endless_forgotten(key, timestamp, others):
    """A span may have no end."""
    return not any(
        other.start <= key < other.stop and other.min_timestamp < timestamp for other in others
    )


def first_only(key, timestamp, others):
    """Looks at one table."""
    return not others or may_drop(key, timestamp, others[:1])


def returns_nothing(key, timestamp, others):
    """Forgets to return."""


def wrong_name(key, timestamp, others):
    """Asks for a name that a table does not have."""
    return all(other.timestamp > timestamp for other in others)


RIGHT = {"picked": [[2, 3, 6, 7, 8, 9], [2, 12], [23]], "pick": pick, "may_drop": may_drop}
WRONG = {
    "picked": [
        [[6, 7, 8, 9], [2, 12], [23]],  # level 1 is overlapped, too
        [[1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 12], [23]],  # all of it is not
        [[2, 3, 6, 7, 8, 9], [5, 14], [23]],  # fewest bytes, but not for each of its own
        [[2, 3, 6, 7, 8, 9], [11, 12, 13, 14, 17, 18, 19], [23]],  # level 1 is fuller
        [[2, 3, 6, 7, 8, 9], [2, 12], [21, 22, 23, 24, 26, 27, 28, 29]],
        [[2, 3, 6, 7, 8, 9], [2, 12], []],
        None,
    ],
    "pick": [
        nothing,
        everything,
        newest,
        oldest,
        newest_four,
        for_ever,
        overlapping,
        returns_tables,
        empty_task,
        raises,
        bottomless,
        crumbs,
        7,
    ],
    "may_drop": [
        always,
        never,
        alone,
        whatever_its_age,
        wholly_older,
        deeper_only,
        stop_included,
        endless_forgotten,
        first_only,
        returns_nothing,
        wrong_name,
        7,
    ],
}
