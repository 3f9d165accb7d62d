"""Long work on tables of usual size: slices are bounded, and a copy goes on from any of them."""

from copy import deepcopy

from kvraft.lsm import Tree, TreeOptions
from kvraft.sim import SimDisk

VALUE = bytes(120)
ROWS = 9000
"""So many keys, and so large a table, are more than one slice takes."""


def stages(job):
    """Return the names of the stages that a job is in, its own and those of the work in it."""
    names = []
    while job is not None and job.stage is not None:
        names.append(job.stage.__name__)
        inner = {"_finish_table": "_ending", "_open_table": "_opening"}
        job = getattr(job, inner.get(names[-1], "_reading"), None)
    return tuple(names)


def contents(tree):
    disk = tree._disk
    return {name: disk.read(name) for name in disk.names()}


def test_a_large_flush_can_be_copied_at_every_stage_and_frees_its_rows_bit_by_bit():
    tree = Tree.open(SimDisk(), options=TreeOptions(memtable_bytes=1 << 30))
    for n in range(ROWS):
        tree.put(b"%06d" % (n * 7919 % ROWS), VALUE)
    tree.freeze()
    copies, seen, most = [], set(), ROWS
    while tree.has_work:
        dropped = len(tree.memtables.dropped)
        at = (stages(tree.long_work._flushing), dropped)
        if at not in seen:
            seen.add(at)
            copies.append(deepcopy(tree))
        tree.work()
        assert dropped - len(tree.memtables.dropped) <= 4096, "too many rows are freed at once"
        most = max(most, dropped)
    assert most == ROWS
    assert not tree.memtables.dropped
    names = {name for names, _ in seen for name in names}
    assert {"_add_keys", "_fold_filter", "_write_packed", "_unpack_filter", "_read_part"} <= names
    for copy in copies:
        while copy.work():
            pass
        assert contents(copy) == contents(tree)
        assert copy.get(b"000007") == VALUE
