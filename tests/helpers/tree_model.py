"""What a tree should hold: a plain dict, and writes that are done to both.

A write is a tuple: ``("put", key, value)``, ``("delete", key)``, ``("range", start, stop)`` with
``None`` for no end, or ``("batch", [writes])``.
"""

from hypothesis import strategies as st

from kvraft.disk import table_name, table_number
from kvraft.lsm import Levelled, Tiered, TreeOptions, WriteBatch

KEYS = [b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"m", b"n", b"\xc3", b"\xff", b"\xff\xff"]


def after(model, write):
    """Return what the dict ``model`` is after ``write``."""
    kind, *arguments = write
    if kind == "put":
        key, value = arguments
        return model | {key: value}
    if kind == "delete":
        return {key: value for key, value in model.items() if key != arguments[0]}
    if kind == "range":
        start, stop = arguments
        return {k: v for k, v in model.items() if k < start or (stop is not None and k >= stop)}
    for each in arguments[0]:
        model = after(model, each)
    return model


def batch_of(writes):
    batch = WriteBatch()
    for kind, *arguments in writes:
        {"put": batch.put, "delete": batch.delete, "range": batch.delete_range}[kind](*arguments)
    return batch


def do(tree, write):
    """Do ``write`` to a tree."""
    kind, *arguments = write
    if kind == "batch":
        tree.write(batch_of(arguments[0]))
    else:
        {"put": tree.put, "delete": tree.delete, "range": tree.delete_range}[kind](*arguments)


def between(model, start=b"", stop=None, reverse=False):
    """Return the pairs that a scan should yield."""
    keys = [key for key in model if key >= start and (stop is None or key < stop)]
    return [(key, model[key]) for key in sorted(keys, reverse=reverse)]


def assert_same(reader, model, keys=KEYS):
    """Compare a tree or a view with a dict: every key, and scans both ways."""
    assert {key: reader.get(key) for key in keys} == {key: model.get(key) for key in keys}
    assert list(reader.scan()) == between(model)
    assert list(reader.scan(reverse=True)) == between(model, reverse=True)


def table_files(disk):
    return {name for name in disk.names() if table_number(name) is not None}


def live_files(tree):
    return {table_name(info.number) for info in tree.tables}


# ── by hypothesis ───────────────────────────────────────────────────────────────────────────────

keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"v", b"w" * 40]) | st.binary(max_size=6)
bounds = st.tuples(keys, st.none() | keys).filter(lambda pair: pair[1] is None or pair[0] < pair[1])
puts = st.tuples(st.just("put"), keys, values)
deletes = st.tuples(st.just("delete"), keys)
ranges = bounds.map(lambda pair: ("range", *pair))
batches = st.lists(puts | puts | deletes | ranges, max_size=5).map(lambda each: ("batch", each))
writes = puts | puts | deletes | ranges | batches

strategies = st.one_of(
    st.builds(
        Levelled,
        tables=st.integers(1, 3),
        level_bytes=st.sampled_from([1, 700]),
        fanout=st.just(2),
        table_bytes=st.sampled_from([1, 300, 3000]),
    ),
    st.builds(Tiered, tables=st.integers(2, 3), ratio=st.sampled_from([1.0, 3.0])),
)
options = st.builds(
    TreeOptions,
    memtable_bytes=st.sampled_from([1, 200, 2000]),
    block_bytes=st.sampled_from([1, 60, 4096]),
    bits_per_key=st.sampled_from([0, 1, 10]),
    codec=st.sampled_from(["none", "zstd", "lz4"]),
    cache_bytes=st.sampled_from([0, 700, 1 << 20]),
    strategy=strategies,
    history=st.sampled_from([0, 0, 3, 1000]),
    stall_tables=st.sampled_from([1, 3, 12]),
    stall_memtables=st.integers(1, 2),
)


# ── by a seed, for long or repeated workloads ───────────────────────────────────────────────────


def random_options(random):
    def some_levels():
        return Levelled(
            tables=random.randint(1, 3),
            level_bytes=random.choice([1, 700]),
            fanout=2,
            table_bytes=random.choice([1, 300, 3000]),
        )

    def some_tiers():
        return Tiered(tables=random.randint(2, 3), ratio=random.choice([1.0, 3.0]))

    return TreeOptions(
        memtable_bytes=random.choice([1, 200, 600, 2000]),
        block_bytes=random.choice([1, 60, 300, 4096]),
        bits_per_key=random.choice([0, 1, 10]),
        codec=random.choice(["none", "zstd", "lz4"]),
        cache_bytes=random.choice([0, 700, 1 << 20]),
        strategy=random.choice([some_levels, some_tiers])(),
        history=random.choice([0, 0, 0, 5, 1000]),
        stall_tables=random.choice([1, 3, 12]),
        stall_memtables=random.choice([1, 2]),
    )


def random_write(random, keys=KEYS, fill=30):
    """Return some write; values have up to ``fill`` bytes."""
    key, chance = random.choice(keys), random.random()
    if chance < 0.55:
        return "put", key, random.randbytes(random.randrange(fill))
    if chance < 0.75:
        return "delete", key
    if chance < 0.85:
        stops = [stop for stop in keys if stop > key]
        return "range", key, random.choice([*stops, None])
    parts = [random_write(random, keys, fill) for _ in range(random.randrange(1, 4))]
    return "batch", [part for part in parts if part[0] != "batch"]
