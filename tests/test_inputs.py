"""What makes no sense to a simulated world is refused at the door, in one sentence."""

import pytest

from kvraft import inputs
from kvraft.errors import BadInput, WrongType
from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions
from kvraft.raft import Configuration, Raft, RaftOptions
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import (
    Cluster,
    SimDisk,
    SingleMember,
    TreeLoad,
    World,
    lost_updates,
    measure_catch_up,
    measure_conflicts,
    measure_write_outage,
    random_writes,
    retry_pauses,
    run_load,
    write_values,
)
from kvraft.sim.network import Network
from kvraft.store import Store
from kvraft.wal import Wal

WORLD = World(3, seed=1)
WORLD.client("c")
CLUSTER = Cluster(3)


def disk_with_a_file():
    disk = SimDisk()
    disk.create("file")
    disk.append("file", b"abc")
    return disk


DISK = disk_with_a_file()

WRONG_TYPE = {
    "members are text": lambda: World("3"),
    "members are bytes": lambda: World(b"abc"),
    "members are true": lambda: World(True),
    "members are a fraction": lambda: World(2.5),
    "members are nothing": lambda: World(None),
    "members are numbers": lambda: World([1, 2, 3]),
    "members have no order": lambda: World({"a", "b", "c"}),
    "a seed": lambda: World(3, seed="x"),
    "options": lambda: World(3, options=RaftOptions()),
    "options are falsy": lambda: World(3, options=0),
    "a cluster": lambda: World(3, cluster=7),
    "a disk": lambda: World(3, disk=SimDisk()),
    "a delay": lambda: World(3, fastest=0.5),
    "another delay": lambda: World(3, slowest="1"),
    "reorder": lambda: World(3, reorder="no"),
    "consensus": lambda: World(3, consensus=Replica),
    "a replica": lambda: World(3, replica="Replica"),
    "trace": lambda: World(3, trace=None),
    "half a millisecond": lambda: WORLD.run_for(0.5),
    "a condition": lambda: WORLD.run_until(True),
    "a limit": lambda: WORLD.run_until(lambda: True, limit="1"),
    "settle": lambda: WORLD.settle(limit=1.5),
    "a clock": lambda: WORLD.set_clock("n2", "x"),
    "a clock in fractions": lambda: WORLD.set_clock("n2", 0.5),
    "whose clock": lambda: WORLD.set_clock(2, 1),
    "whose time": lambda: WORLD.millis(2),
    "loss": lambda: setattr(WORLD.network, "loss", "7"),
    "a client": lambda: WORLD.client(3),
    "no client": lambda: WORLD.client(None),
    "a guest": lambda: WORLD.dismiss(["c"]),
    "to crash": lambda: WORLD.crash(1),
    "to restart": lambda: WORLD.restart(["n1"]),
    "to add": lambda: WORLD.add(4),
    "a disk of": lambda: WORLD.disk(1),
    "to rebuild": lambda: WORLD.rebuild(None),
    "to replace": lambda: WORLD.replace("n1", "n2", limit=None),
    "a group is a name": lambda: WORLD.partition("n1"),
    "a group is a number": lambda: WORLD.partition(1),
    "a group of numbers": lambda: WORLD.partition([1]),
    "which to drop": lambda: WORLD.drop("all"),
    "a timeout": lambda: WORLD.client("c").get(b"k", timeout="1"),
    "no timeout": lambda: WORLD.client("c").submit({b"k": b"v"}, timeout=None),
    "network": lambda: Network(1, fastest=None, slowest=2),
    "cluster of text": lambda: Cluster("abc"),
    "cluster of numbers": lambda: Cluster([1, 2]),
    "cluster options": lambda: Cluster(3, options=ReplicaOptions()),
    "cluster consensus": lambda: Cluster(3, consensus=object),
    "latency": lambda: Cluster(3, latency=2),
    "latency in fractions": lambda: Cluster(3, latency=(1, 1.5)),
    "cluster loss": lambda: setattr(CLUSTER, "loss", None),
    "ticks": lambda: CLUSTER.run(1.5),
    "until": lambda: CLUSTER.run_until(None),
    "until when": lambda: CLUSTER.run_until(lambda: True, limit="1"),
    "a member": lambda: CLUSTER.tick(1),
    "a new member": lambda: CLUSTER.add(["n4"]),
    "voters": lambda: CLUSTER.add("n4", voters="n1"),
    "cluster group": lambda: CLUSTER.partition("n1"),
    "where to cut": lambda: CLUSTER.truncate_log("n1", "1"),
    "alone options": lambda: SingleMember(RaftOptions()),
    "alone replica": lambda: SingleMember(replica=Raft),
    "slices": lambda: SingleMember().work("all"),
    "a pace": lambda: SingleMember().drive([], "fast"),
    "load options": lambda: TreeLoad(ReplicaOptions()),
    "load slices": lambda: TreeLoad().write(b"k", b"v", 0.5),
    "a table": lambda: TreeLoad().merge(["1"], 1),
    "writes": lambda: list(random_writes(1, "3", 2)),
    "every": lambda: run_load(TreeOptions(), [], every="write"),
    "a call": lambda: SimDisk().fail_at("1"),
    "a kind of call": lambda: SimDisk().break_at(1, kinds="read"),
    "an error": lambda: SimDisk().break_at(1, error=OSError),
    "a capacity": lambda: setattr(SimDisk(), "capacity", 1e6),
    "an offset": lambda: DISK.corrupt("file", "0"),
    "away": lambda: measure_catch_up("1", ReplicaOptions()),
    "a step": lambda: measure_write_outage(1.5),
    "a batch": lambda: Tree.open(SimDisk()).write([(b"a", b"1")]),
    "a batch of a store": lambda: Store.open(SimDisk()).write({}),
    "a position": lambda: Tree.open(SimDisk()).apply((), (4, 1)),
    "a time of a tree": lambda: Tree.open(SimDisk()).get(b"k", at="2"),
    "a time of a scan": lambda: Tree.open(SimDisk()).scan(at=1.5),
    "a time of a view": lambda: Tree.open(SimDisk()).view(at=True),
    "a time of a client": lambda: WORLD.client("c").get(b"k", at=2.0),
    "durability": lambda: Store.open(SimDisk(), durability="sync"),
    "options of a tree": lambda: Tree.open(SimDisk(), options={}),
    "options of a store": lambda: Store.open(SimDisk(), options=ReplicaOptions()),
    "a size of the log": lambda: Store.open(SimDisk(), log_bytes="1 MB"),
    "a size of segments": lambda: Store.open(SimDisk(), segment_bytes=1e6),
    "a place": lambda: Store.open(3),
    "a place in the log": lambda: Wal.open(SimDisk(), "a/b").reset((3, 0)),
    "a floor": lambda: Wal.open(SimDisk(), "a/b").drop_below("1"),
    "a ticket": lambda: WORLD.client("c").retry("c#1"),
    "a codec": lambda: TreeOptions(codec=["zstd"]),
    "a size": lambda: TreeOptions(memtable_bytes=1e6),
    "a strategy": lambda: TreeOptions(strategy="levelled"),
    "a strategy of a member": lambda: ReplicaOptions(strategy=Levelled),
    "a fanout": lambda: Levelled(fanout="10"),
    "a ratio": lambda: Tiered(ratio="2"),
    "a size of a member": lambda: ReplicaOptions(retain_bytes="1 MB"),
    "raft": lambda: ReplicaOptions(raft=ReplicaOptions()),
    "clients": lambda: measure_conflicts("2", 2, 1),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_TYPE)
def test_a_wrong_type_is_refused_in_one_sentence(what):
    before = WORLD.now, CLUSTER.now, len(WORLD.trace)
    with pytest.raises(WrongType, match=r"^[^.].*( must be |should be |is a ).*[^.]$") as refused:
        WRONG_TYPE[what]()
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, TypeError)
    assert (WORLD.now, CLUSTER.now, len(WORLD.trace)) == before


WRONG_VALUE = {
    "a cluster needs at least one": lambda: World(0),
    "needs at least one": lambda: Cluster(-3),
    "at least one": lambda: World([]),
    "at least one voting member": lambda: Cluster(()),
    "a member is named twice: a, a": lambda: World(["a", "a"]),
    "a name in members must not be empty": lambda: World(["a", ""]),
    "the name of a cluster must not be empty": lambda: World(3, cluster=""),
    "a delay of 3 to 2": lambda: World(3, fastest=3, slowest=2),
    "a delay of -1 to 2500": lambda: World(3, fastest=-1),
    "a time to run for must be at least 0, not -5": lambda: WORLD.run_for(-5),
    "the limit must be at least 0, not -1": lambda: WORLD.run_until(lambda: True, limit=-1),
    "neither a member nor a client called n7": lambda: WORLD.set_clock("n7", 1),
    "neither a member nor a client called n8": lambda: WORLD.millis("n8"),
    "a loss must be from 0 to 1, not 7": lambda: setattr(WORLD.network, "loss", 7),
    "a loss must be from 0 to 1, not -0.1": lambda: setattr(CLUSTER, "loss", -0.1),
    "a loss must be from 0 to 1, not nan": lambda: setattr(CLUSTER, "loss", float("nan")),
    "the name of a client must not be empty": lambda: WORLD.client(""),
    "n1 is a member": lambda: WORLD.client("n1"),
    "n1 cannot be in two groups": lambda: WORLD.partition(["n1"], ["n1"]),
    "n2 cannot be in two groups": lambda: CLUSTER.partition(["n1", "n2"], ["n2"]),
    "n3 cannot be in two groups": lambda: WORLD.partition(["n3", "n3"]),
    "a partition needs at least one group": lambda: WORLD.partition(),
    "a partition needs at least one group that is not empty": lambda: CLUSTER.partition([], []),
    "a timeout must be at least 0, not -1": lambda: WORLD.client("c").get(b"k", timeout=-1),
    "a timeout must be at least 0, not -2": lambda: WORLD.client("c").submit({b"k": b""}, timeout=-2),  # noqa: E501
    "a latency of 2 to 1": lambda: Cluster(3, latency=(2, 1)),
    "a latency of 1 ticks": lambda: Cluster(3, latency=(1,)),
    "a latency of 1 to 2 to 3": lambda: Cluster(3, latency=(1, 2, 3)),
    "a number of ticks must be at least 0": lambda: CLUSTER.run(-1),
    "picked by id, sender, to, kind, not by receiver": lambda: CLUSTER.deliver(receiver="n1"),
    "a number of slices must be at least 0": lambda: SingleMember().work(-1),
    "slices of work after each write must be at least 0": lambda: SingleMember().drive([], -0.5),
    "not inf": lambda: SingleMember().drive([], float("inf")),
    "the number of keys must be at least 1": lambda: list(random_writes(1, 1, 0)),
    "the share of deletes must be from 0 to 1": lambda: list(random_writes(1, 1, 1, deletes=2)),
    "how often a sample is taken, in writes, must be at least 1": lambda: run_load(TreeOptions(), [], every=0),  # noqa: E501
    "there is no operation 0": lambda: SimDisk().fail_at(0),
    "there is no call 0": lambda: SimDisk().break_at(0),
    "there are no calls": lambda: SimDisk().break_at(1, kinds=["reed"]),
    "a capacity must be at least 0": lambda: setattr(SimDisk(), "capacity", -1),
    "file has 3 bytes, and none at 3": lambda: DISK.corrupt("file", 3),
    "file has 3 bytes, and none at -1": lambda: DISK.corrupt("file", -1),
    "a mask of 256 flips no bit": lambda: DISK.corrupt("file", 0, 256),
    "a follower cannot be away for -1 ms": lambda: measure_catch_up(-1, ReplicaOptions()),
    "a number of writes must be at least 0": lambda: write_values(WORLD, -1),
    "a leader cannot die -1 steps": lambda: measure_write_outage(-1),
    "a number of pauses must be at least 0": lambda: retry_pauses(-1),
    "a number of rounds must be at least 0": lambda: lost_updates(0, rounds=-1),
}  # fmt: skip


@pytest.mark.parametrize("says", WRONG_VALUE)
def test_a_wrong_value_is_refused_in_one_sentence(says):
    before = WORLD.now, CLUSTER.now, len(WORLD.trace)
    with pytest.raises(BadInput) as refused:
        WRONG_VALUE[says]()
    assert says in str(refused.value)
    assert not isinstance(refused.value, TypeError)
    assert (WORLD.now, CLUSTER.now, len(WORLD.trace)) == before


def test_what_makes_sense_is_taken_in_every_form():
    assert World(("b", "a")).members == ("b", "a")
    assert World(1).members == ("n1",)
    assert tuple(Cluster(Configuration(("x",))).members) == ("x",)
    world = World(3, seed=2, trace=False)
    world.run_for(0)
    world.network.loss = 1
    world.partition({"n2", "n1"}, ("n3",))
    world.set_clock("n1", -5)
    assert world.millis("n1") == world.millis() - 5
    assert inputs.names({"b", "a"}, "them") == ("a", "b")
