"""One member by itself: a cluster of one, driven write by write.

A :class:`~kvraft.sim.World` lets time decide what happens next.  Here *you* decide: each write is
in the log, committed and applied when :meth:`SingleMember.write` returns, and long work is done
only when :meth:`SingleMember.work` is called::

    write ──► log ──► memtable      at once
    work ───► tables, manifest, truncation of the log    slice by slice, when you ask for it

It is a whole :class:`~kvraft.replica.Replica`, consensus included, whose majority is itself.  A
write takes a millisecond of its time, so traces and the pictures made of them count writes.

>>> member = SingleMember()
>>> member.put(b"k", b"v")
>>> member.crash()
>>> member.get(b"k")
b'v'
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from kvraft import inputs
from kvraft.disk import Disk
from kvraft.events import Event, MemberCrashed, Trace
from kvraft.raft import Configuration, Role
from kvraft.record import TxnId
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim.disk import SimDisk
from kvraft.sim.timeline import MILLISECOND
from kvraft.transaction import (
    Register,
    Registered,
    Stage,
    Submit,
    WriteReply,
    Writes,
    build_transaction,
)


class Gauge(NamedTuple):
    """The sizes of a member after ``writes`` writes.

    In bytes: its ``memtable``, the ``frozen`` ones, and the ``sealed`` and ``active`` segments of
    its log.
    """

    writes: int
    memtable: int
    frozen: int
    sealed: int
    active: int
    waiting: int  # frozen memtables
    tables: int  # tables
    flushed: int  # the flushed mark

    @property
    def log(self) -> int:
        """The bytes of its log."""
        return self.sealed + self.active


def gauge(replica: Replica, writes: int) -> Gauge:
    """Return the sizes of ``replica`` now."""
    tree, segments = replica.tree, replica.wal.segments
    memtable = tree.memtable_size
    return Gauge(
        writes,
        memtable,
        tree.stats().memtable_bytes - memtable,
        sum(segment.size for segment in segments if segment.sealed),
        segments[-1].size,
        tree.immutable_memtables,
        len(tree.tables),
        tree.flushed.index,
    )


class SingleMember:
    """The only member of its cluster, ``n1``, elected and ready.

    ``writes`` counts the writes, all by one client; ``trace`` holds all events.  ``replica`` is the
    class of the member, a subclass to try another rule.
    """

    def __init__(
        self,
        options: ReplicaOptions | None = None,
        *,
        disk: Disk | None = None,
        replica: type[Replica] = Replica,
    ) -> None:
        if options is not None:
            inputs.instance(options, ReplicaOptions, "the options of a member")
        self.disk = SimDisk() if disk is None else disk
        self.trace = Trace()
        self.writes = 0
        self._options = options
        self._class = inputs.subclass(replica, Replica, "replica")
        self._starts = 0
        self.start()
        self._incarnation = self.register("c")

    def start(self) -> None:
        """Open what the disk holds, and tick until the member has elected itself."""
        self._starts += 1
        self.replica = self._class(
            "n1",
            Configuration(("n1",)),
            self.disk,
            random=Random(self._starts),
            incarnation=self._starts,
            options=self._options,
            new=self._starts == 1,
            report=self._report,
        )
        while self.replica.raft.role is not Role.LEADER:
            self.replica.tick()
        self.replica.drain()

    def register(self, client: str) -> int:
        """Register ``client`` with the member and return its incarnation."""
        self.replica.register(Register(client, "n1", 1, 1))
        (registered,) = self.replica.drain().replies
        assert isinstance(registered, Registered)
        return registered.incarnation

    def put(self, key: bytes, value: bytes) -> None:
        """Set ``key`` to ``value``."""
        self.write({key: value})

    def delete(self, key: bytes) -> None:
        """Delete ``key``."""
        self.write({key: None})

    def write(self, writes: Writes) -> None:
        """Write one transaction, which is applied on return.

        If the member is overloaded, it does a slice of long work and is asked again.
        """
        self.writes += 1
        transaction = build_transaction(
            TxnId("c", self._incarnation, self.writes), writes, self.writes
        )
        stages: list[Stage] = []
        while Stage.APPLIED not in stages:
            self.replica.submit(Submit("c", "n1", transaction, 1))
            replies = self.replica.drain().replies
            stages = [reply.stage for reply in replies if isinstance(reply, WriteReply)]
            if not stages:
                self.replica.work()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, ``None`` if it has none."""
        return self.replica.tree.get(key)

    def work(self, slices: int | None = None) -> int:
        """Do up to ``slices`` slices of long work, all if ``None``; return how many were done."""
        if slices is not None:
            inputs.whole_number(slices, "a number of slices", minimum=0)
        done = 0
        while self.replica.has_work and done != slices:
            self.replica.work()
            done += 1
        return done

    def drive(
        self, pairs: Iterable[tuple[bytes, bytes | None]], slices: float = 1.0
    ) -> list[Gauge]:
        """Write ``pairs``, each followed by ``slices`` slices of work; return a gauge after each.

        With a quarter of a slice, one is done after every fourth write.  Slices that find nothing
        to do are not saved up.
        """
        gauges: list[Gauge] = []
        credit, slices = 0.0, inputs.number(slices, "slices of work after each write", minimum=0)
        for pair in pairs:
            self.write([pair])
            credit += slices
            while credit >= 1:
                self.work(1)
                credit -= 1
            gauges.append(self.gauge())
        return gauges

    def gauge(self) -> Gauge:
        """Return the sizes of the member now."""
        return gauge(self.replica, self.writes)

    def crash(self, random: Random | None = None) -> None:
        """Lose memory and unsynced bytes, as ``random`` decides, and start again."""
        lost = 0
        if isinstance(self.disk, SimDisk):
            lost = self.disk.crash(random or Random(self.writes))
        self._report(MemberCrashed(lost))
        self.start()

    def _report(self, event: Event) -> None:
        self.trace.file(self.writes * MILLISECOND, "n1", event)
