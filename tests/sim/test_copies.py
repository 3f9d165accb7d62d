"""A world that is copied at any moment goes on like the original, and neither disturbs the other.

The world lives under load, with flushes, compactions, a member that is away until it must be sent a
snapshot, and a client that scans.  It is copied whenever something is under way that was not seen
before: each stage of each job, a snapshot half sent.
"""

import gc
import hashlib
from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from random import Random
from types import FunctionType, ModuleType

import pytest

from kvraft.copying import immutable
from kvraft.errors import BadInput
from kvraft.lsm import Levelled
from kvraft.memtable import Drain
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import Cluster, SimDisk, World
from kvraft.slices import SlicedWork
from kvraft.sstable import Block, Table
from kvraft.store import Store

OPTIONS = ReplicaOptions(
    memtable_bytes=2_000,
    segment_bytes=1_500,
    log_bytes=6_000,
    retain_bytes=4_000,
    strategy=Levelled(tables=2, level_bytes=6_000, table_bytes=3_000),
    raft=RaftOptions(max_batch_bytes=400),
)
SPOOL = "snapshot.part"
STEP = 10_000  # µs
AFTER = 12  # steps that a copy goes on


def submit(world, n):
    """Do what the world is asked for in step ``n``: the same for the original and for a copy."""
    random = Random(n)
    client = world.client(f"c{n % 3}")
    keys = [b"key %02d" % random.randrange(60) for _ in range(1 + n % 4)]
    client.submit({key: None if random.random() < 0.2 else b"%d" % n * 20 for key in keys})
    if n == 40:
        world.crash(next(name for name in world.members if name != world.leader()))
    if n == 170:
        world.restart(next(name for name in world.members if name not in world.replicas))


def digests(world):
    """Return a digest of all bytes on each disk."""
    found = []
    for name in world.members:
        disk, digest = world.disk(name), hashlib.sha256()
        for file in disk.names():
            digest.update(file.encode() + disk.read(file))
        found.append(digest.hexdigest())
    return found


def stages(job):
    """Return the stage of a job and of what it waits for, as names."""
    inner = [each for each in vars(job).values() if isinstance(each, SlicedWork)]
    name = job.stage.__name__ if job.stage else "done"
    return (type(job).__name__, name, *(stages(each) for each in inner if each.stage))


def under_way(world):
    """Return what is under way in the world."""
    found = set()
    for replica in world.replicas.values():
        work = replica.tree.long_work
        found |= {stages(job) for job in (work._flushing, work.compacting) if job is not None}
        if leads := replica.raft._leader:
            known = leads._replication.progress.values()
            found |= {"snapshot sent" for each in known if each.snapshot is not None}
    found |= {"snapshot comes" for name in world.members if SPOOL in world.disk(name).names()}
    return found


def run(world, until, on_step=lambda: None):
    while world.time.next is not None and world.time.next <= until:
        world.step()
        on_step()
    world.time.now = until


def test_a_copy_of_a_world_goes_on_like_the_original_whatever_is_under_way():
    world = World(3, seed=3, options=OPTIONS)
    world.run_until(lambda: world.leader() is not None)
    began, seen, copies, marks = world.now, set(), [], []
    for n in range(230):
        submit(world, n)
        until = began + (n + 1) * STEP

        def copy_if_new(n=n, until=until):
            new = under_way(world) - seen
            if new or world.time.now % 250_000 < 200:
                seen.update(new)
                copies.append((n, until, deepcopy(world)))

        run(world, until, copy_if_new)
        marks.append((len(world.trace), digests(world)))
    for n, until, copy in copies:
        run(copy, until)
        last = min(n + AFTER, len(marks) - 1)
        for later in range(n + 1, last + 1):
            submit(copy, later)
            run(copy, began + (later + 1) * STEP)
        size, disks = marks[last]
        assert digests(copy) == disks
        assert list(copy.trace) == list(world.trace[:size])
    assert digests(world) == marks[-1][1]
    assert {name for stage in seen for name in str(stage).split("'") if name[:1] == "_"} == {
        *("_write_rows", "_finish_table", "_read_back", "_read", "_commit", "_merge"),
        *("_begin_filter", "_fold_filter", "_write_parts", "_sync", "_drop_cached", "_read_footer"),
        "_read_parts",
    }
    assert {"snapshot sent", "snapshot comes"} <= seen


# ── what is in it ───────────────────────────────────────────────────────────────────────────────

PLAIN = (type, ModuleType, FunctionType, str, bytes, int, float, Enum, type(None))
"""What cannot change, and refers to nothing that can."""


@immutable
class Marked:
    """To know the mark."""


def reachable(root):
    """Return all that ``root`` refers to, by id, except what is plain or marked immutable."""
    found, left = {}, [root]
    while left:
        thing = left.pop()
        marked = getattr(type(thing), "__deepcopy__", None) is Marked.__deepcopy__
        if id(thing) in found or marked or (isinstance(thing, PLAIN) and not closes_over(thing)):
            continue
        found[id(thing)] = thing
        left += [] if closes_over(thing) else gc.get_referents(thing)
    return found


def closes_over(thing):
    return isinstance(thing, FunctionType) and thing.__closure__ is not None


def shareable(whole):
    """Return the ids of what a copy may share although its type could change."""
    kept = []
    for thing in whole.values():
        if isinstance(thing, Table):
            kept += [thing.bloom, thing.range_tombstones, thing.properties]
            kept += [thing.last_keys, thing._starts]
        if isinstance(thing, Block):
            kept += [thing._key_offsets, thing._value_offsets]
            kept += [thing._keys, thing._values, thing._stamps]
        if isinstance(thing, Drain):
            kept += [thing._fresh, thing._edges, *thing._runs]
    return {id(thing) for part in kept for thing in reachable(part).values()}


def test_nothing_in_a_world_is_an_open_generator_or_a_closure_and_copies_share_no_state():
    world = World(3, seed=4, options=OPTIONS)
    world.run_until(lambda: world.leader() is not None)
    began = world.now
    for n in range(60):
        submit(world, n)
        run(world, began + (n + 1) * STEP)
        if n > 30 and under_way(world):
            break
    assert under_way(world)
    whole = reachable(world)
    for thing in whole.values():
        own = type(thing).__module__.startswith("kvraft.")
        assert own or not isinstance(thing, Iterator), thing
        assert not closes_over(thing), thing
    copied = deepcopy(world)
    both = reachable(copied).keys() & whole.keys() - shareable(whole)
    states = [whole[at] for at in both if not isinstance(whole[at], tuple | frozenset)]
    assert [thing for thing in states if type(thing).__name__ not in FIXED] == []


FIXED = ("RaftOptions", "ReplicaOptions", "Levelled", "builtin_function_or_method")
"""Types of instances that never change."""


# ── not only worlds ─────────────────────────────────────────────────────────────────────────────


def test_a_copied_cluster_goes_on_by_itself():
    cluster = Cluster(3)
    cluster.timeout("n1")
    cluster.settle()
    cluster.propose("n1", "x")
    copied = deepcopy(cluster)
    assert str(copied.rafts["n1"].status()) == str(cluster.rafts["n1"].status())
    copied.settle()
    committed = [each.rafts["n1"].commit_index for each in (cluster, copied)]
    assert committed[0] < committed[1]
    cluster.settle()
    assert list(copied.trace) == list(cluster.trace)


def test_a_store_is_copied_with_its_disk_and_an_open_view_sees_the_same():
    store = Store.open(SimDisk())
    store.put(b"k", b"1")
    view = store.view()
    store.put(b"k", b"2")
    copied, seen = deepcopy((store, view))
    copied.put(b"k", b"3")
    copied.flush()
    assert (view.get(b"k"), seen.get(b"k")) == (b"1", b"1")
    assert (store.get(b"k"), copied.get(b"k")) == (b"2", b"3")
    assert not store.tables
    seen.close()
    assert store.readers.keep(9).times == (view.timestamp,)


def test_what_is_on_a_real_disk_is_not_copied_in_memory(tmp_path):
    with Store.open(tmp_path) as store, pytest.raises(BadInput, match="checkpoint"):
        deepcopy(store)
