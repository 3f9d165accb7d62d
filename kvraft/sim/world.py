"""The simulated world: members, clients, a network and a clock, stepped event by event.

Time is an integer of microseconds that jumps from one event to the next.  Everything that could
differ between two runs comes from random streams derived from one seed, one stream a concern, so
the same seed and the same calls give the same trace, byte for byte, on every machine.

What is simulated, and how:

- A member that is busy syncing its disk takes no input; what arrives meanwhile waits and is taken
  together afterwards: group commit comes by itself.
- Ticks that a member missed, since it was busy or its process stood still (:meth:`World.pause`),
  are caught up before it takes anything else.
- A crash loses a member's memory and whatever its disk had not synced
  (:class:`~kvraft.sim.disk.SimDisk`); what it sent before is still on its way.
- Slices of long work (flushes) are done between messages, one at a time.

Events of the world's queue are ordered by time, then by the order in which they were planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

from kvraft import inputs
from kvraft.client import Client
from kvraft.disk import Disk
from kvraft.display import counted, html_table
from kvraft.errors import BadInput, Busy, NotLeader, Stopped, TimedOut
from kvraft.events import (
    Crashed,
    Delivered,
    Event,
    Failed,
    Healed,
    Lost,
    Marks,
    Partitioned,
    Sent,
    Trace,
    ignore,
)
from kvraft.identity import MEMBER, own_files, set_aside, successor
from kvraft.membership import Configuration
from kvraft.raft import Raft, Role
from kvraft.replica import Options, Replica
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.network import AnyMessage, Envelope, Network, describe
from kvraft.transaction import (
    Answer,
    Later,
    Page,
    Read,
    ReadAnswer,
    Redirect,
    Refusal,
    Register,
    Registered,
    Request,
    Scan,
    Submit,
)

MILLI = 1_000
TICK = 10 * MILLI
SYNC = 500
"""Microseconds that a sync of a member's disk takes."""
SLICE = 300
"""Microseconds between two slices of long work."""
EPOCH_MILLIS = 1_517_356_800_000
"""The wall time at which every world begins: 31 January 2018, 00:00 UTC."""


@dataclass(slots=True)
class _Seat:
    """A member's place in the world: its disk stays, its replica comes and goes."""

    name: str
    disk: Disk
    replica: Replica | None = None
    new: bool = True  # until it was started for the first time, on a disk that nobody had used
    incarnation: int = 0
    inbox: list[AnyMessage | None] = field(default_factory=list)  # None is a tick
    waking: bool = False
    working: bool = False
    busy_until: int = 0
    paused_until: int = 0


class World:
    """A cluster of ``members`` (a number, or their names) under ``seed``.

    ``disk`` makes the disk of each member, a simulated one unless told otherwise.  All members
    are started at once, at time 0.  Messages take ``fastest`` to ``slowest`` microseconds, in order
    on each link unless ``reorder``.  ``consensus`` is the module that every member runs, and
    ``replica`` what joins it to log and tree.  With ``trace`` false no events are kept.

    Raises :class:`~kvraft.errors.BadInput` here and everywhere for what makes no sense, of which
    :class:`~kvraft.errors.WrongType` is a kind.
    """

    def __init__(
        self,
        members: int | Sequence[str] = 3,
        *,
        seed: int = 0,
        options: Options | None = None,
        cluster: str = "kvraft",
        disk: Callable[[str], Disk] = lambda name: SimDisk(),
        fastest: int = 300,
        slowest: int = 2_500,
        reorder: bool = False,
        consensus: type[Raft] = Raft,
        replica: type[Replica] = Replica,
        trace: bool = True,
    ) -> None:
        names = inputs.members(members)
        self.seed = inputs.whole(seed, "a seed")
        self.now = 0
        """Microseconds since the world began."""
        self.trace = Trace()
        """Everything that happened; empty if no trace was asked for, which saves much."""
        self._traced = inputs.flag(trace, "trace")
        self.network = Network(
            self._stream("network"), fastest=fastest, slowest=slowest, reorder=reorder
        )
        self._configuration = Configuration(names)
        self._cluster = inputs.text(cluster, "the name of a cluster")
        options = Options() if options is None else options
        self._options = inputs.instance(options, Options, "the options of a world")
        self._clients: dict[str, Client] = {}
        self._ticking: dict[str, bool] = {}
        self._ahead: dict[str, int] = {}  # milliseconds, by member or client
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self._consensus = inputs.subclass(consensus, Raft, "consensus")
        self._replica = inputs.subclass(replica, Replica, "replica")
        self._disk = inputs.function(disk, "disk")
        self._requests = 0  # the numbers given to clients
        self._seats = {name: _Seat(name, disk(name)) for name in self._configuration.voters}
        for name in self._seats:
            self.restart(name)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members there ever were, running or not."""
        return tuple(self._seats)

    @property
    def replicas(self) -> dict[str, Replica]:
        """The members that run, by name."""
        return {name: s.replica for name, s in self._seats.items() if s.replica is not None}

    @property
    def in_flight(self) -> list[Envelope]:
        """The messages on their way, in the order in which they were sent."""
        return list(self.network.in_flight.values())

    def __repr__(self) -> str:
        up, all_members = len(self.replicas), counted(len(self._seats), "member")
        return (
            f"<World of {all_members}, {up} running, leader {self.leader() or 'unknown'}, "
            f"{self.now / MILLI:,.1f} ms, seed {self.seed}>"
        )

    def _repr_html_(self) -> str:
        """Return a small table for a notebook: what each member is, and its five marks."""
        rows: list[tuple[str, ...]] = []
        for name, seat in self._seats.items():
            if seat.replica is None:
                rows.append((name, "down", *("",) * 6))
            else:
                raft, m = seat.replica.raft, seat.replica.marks
                marks = (m.first, m.flushed, m.applied, m.committed, m.last)
                rows.append((name, raft.role.value, str(raft.term), *map(str, marks)))
        return html_table(repr(self), rows, ("member", "role", "term", *Marks.__match_args__))

    def inbox(self, name: str) -> list[AnyMessage]:
        """What has reached a member and waits until its disk is idle."""
        return [message for message in self._seat(name).inbox if message is not None]

    def leader(self) -> str | None:
        """Return the running member that leads in the highest term, if any does."""
        leaders = [r for r in self.replicas.values() if r.raft.role is Role.LEADER]
        return max(leaders, key=lambda r: r.raft.term).member if leaders else None

    def disk(self, name: str) -> Disk:
        """Return the disk of a member, running or not."""
        return self._seat(name).disk

    # ── making time pass ────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """Let the next event of the world happen."""
        if not self._queue:
            raise TimedOut("nothing will ever happen: no member runs and no client waits")
        self.now, _, action = heapq.heappop(self._queue)
        action()

    def run_until(self, condition: Callable[[], bool], *, limit: int = 60_000) -> None:
        """Step until ``condition`` holds; :class:`~kvraft.errors.TimedOut` after ``limit`` ms."""
        inputs.function(condition, "what is waited for")
        until = self.now + inputs.whole(limit, "the limit", least=0) * MILLI
        while not condition():
            if not self._queue or self._queue[0][0] > until:
                raise TimedOut(f"what was waited for did not happen within {limit} ms")
            self.step()

    def run_for(self, millis: int) -> None:
        """Let ``millis`` milliseconds pass."""
        until = self.now + inputs.whole(millis, "a time to run for", least=0) * MILLI
        while self._queue and self._queue[0][0] <= until:
            self.step()
        self.now = until

    def settle(self, *, limit: int = 60_000) -> None:
        """Run until all running members the leader knows have applied all, and no flush waits."""
        self.run_until(self._settled, limit=limit)

    def _settled(self) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        known = (leader, *self.replicas[leader].raft.configuration.members)
        running = [replica for name, replica in self.replicas.items() if name in known]
        marks = [replica.marks for replica in running]
        same = len({(mark.applied, mark.committed, mark.last) for mark in marks}) == 1
        idle = not any(replica.has_work or replica.tree.has_work for replica in running)
        return same and idle and marks[0].applied == marks[0].last

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let no simulated disk fail in a ``with`` block: it is for one who looks from outside.

        What members hold is partly on their disks, so whoever asks them reads there.  The faults
        that were ordered are kept for the members' own calls.
        """
        with ExitStack() as stack:
            for seat in self._seats.values():
                if isinstance(seat.disk, SimDisk) and seat.disk.may_fail:  # few disks, seldom
                    stack.enter_context(seat.disk.undisturbed())
            yield

    # ── clients ─────────────────────────────────────────────────────────────────────────────────

    def client(self, name: str) -> Client:
        """Return the client called ``name``, made on first use."""
        inputs.text(name, "the name of a client")
        if name in self._seats:
            raise BadInput(f"{name} is a member, so it cannot be a client")
        if name not in self._clients:
            self._clients[name] = Client(
                name,
                self.members,
                host=_Host(self, name),
                random=self._stream(f"client/{name}"),
                report=partial(self._report, name) if self._traced else ignore,
            )
        return self._clients[name]

    def dismiss(self, name: str) -> None:
        """Let a client go that waits for nothing any more: the world forgets it."""
        inputs.text(name, "the name of a client")
        if name not in self._clients or self._clients[name].busy:
            raise BadInput(f"there is no client called {name} that waits for nothing")
        del self._clients[name]
        self._ticking.pop(name, None)
        self._ahead.pop(name, None)
        self.network.forget(name)

    def millis(self, name: str = "") -> int:
        """Return the wall time in milliseconds since the Unix epoch, as ``name``'s clock tells it.

        Without a name, the time of this world.
        """
        if name:
            self._known(name)
        return EPOCH_MILLIS + self.now // MILLI + self._ahead.get(name, 0)

    def set_clock(self, name: str, ahead: int) -> None:
        """Set the wall clock of a member or client ``ahead`` milliseconds of the world's time.

        It may lie behind, too.  No clock but this one goes wrong: all run at one speed.
        """
        self._known(name)
        self._ahead[name] = inputs.whole(ahead, "how far a clock is ahead")

    def _keep_ticking(self, name: str) -> None:
        if not self._ticking.get(name):
            self._ticking[name] = True
            self._plan(self.now + TICK, partial(self._tick_client, name))

    def _tick_client(self, name: str) -> None:
        client = self._clients.get(name)
        if client is None:
            return  # it was dismissed
        self._ticking[name] = client.busy
        if client.busy:
            client.tick()
            self._plan(self.now + TICK, partial(self._tick_client, name))

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def crash(self, name: str) -> None:
        """Cut the power of a member: its memory and its unsynced bytes are gone."""
        seat = self._seat(name)
        if seat.replica is None:
            raise BadInput(f"{name} does not run")
        self._cut_power(seat)

    def pause(self, name: str, millis: int) -> None:
        """Let a member's process stand still for ``millis`` milliseconds: it does nothing at all.

        What arrives meanwhile waits for it.  Then it first catches up on the ticks that it missed,
        as everybody who owns a consensus module must (contract.py).
        """
        seat = self._seat(name)
        if seat.replica is None:
            raise BadInput(f"{name} does not run")
        until = self.now + inputs.whole(millis, "the length of a pause", least=0) * MILLI
        seat.paused_until = max(seat.paused_until, until)
        seat.busy_until = max(seat.busy_until, until)

    def restart(self, name: str) -> bool:
        """Start a member that does not run, from what its disk holds; return whether it runs now.

        It does not if the power goes meanwhile: that is a crash like any other.  Raises what
        :class:`~kvraft.replica.Replica` raises, and ``OSError`` if the disk fails; it is down then.
        """
        seat = self._seat(name)
        if seat.replica is not None:
            raise BadInput(f"{name} runs already")
        files = own_files(seat.disk)
        if seat.incarnation == 0:
            seat.new = MEMBER not in files
        seat.incarnation += 1
        try:
            seat.replica = self._replica(
                name,
                self._configuration,
                seat.disk,
                random=self._stream(f"raft/{name}/{seat.incarnation}"),
                incarnation=seat.incarnation,
                cluster=self._cluster,
                options=self._options,
                consensus=self._consensus,
                new=seat.new and files in ([], [MEMBER]),  # else a first start came further
                millis=partial(self.millis, name),
                report=partial(self._report, name) if self._traced else ignore,
            )
        except PowerCut:
            self._cut_power(seat)
            return False
        seat.new = False
        self._plan(self.now + TICK, partial(self._tick, seat, seat.incarnation))
        return True

    def add(self, name: str) -> None:
        """Start a new member with an empty disk, which belongs to no configuration yet.

        Should its power go at that, it is to be started again: see :meth:`restart`.
        """
        if inputs.text(name, "the name of a member") in (*self._seats, *self._clients):
            raise BadInput(f"there is somebody called {name} already")
        self._seats[name] = _Seat(name, self._disk(name))
        self.restart(name)
        for client in self._clients.values():
            client.meet(name)

    def rebuild(self, name: str) -> str:
        """Set aside the files of a member that is down, and start a new one there; return its name.

        It belongs to no configuration yet: see :meth:`replace`.  Should the power go meanwhile,
        only the new member may have to be started again.
        """
        seat = self._seat(name)
        if seat.replica is not None:
            raise BadInput(f"{name} runs: what it promised is not forgotten")
        try:
            set_aside(seat.disk)
        except PowerCut:  # it comes back, and the operator goes on
            self._cut_power(seat)
            set_aside(seat.disk)
        heir = successor(name)
        self._seats[heir] = _Seat(heir, seat.disk)
        self.restart(heir)
        for client in self._clients.values():
            client.meet(heir)
        return heir

    def replace(self, old: str, new: str, *, limit: int = 60_000) -> None:
        """Make ``new`` a member in the place of ``old``, as an operator does.

        First ``old`` leaves and ``new`` comes as a learner; once it holds everything committed it
        votes (thesis §4.2.1).  Returns when that is so; raises :class:`~kvraft.errors.TimedOut` if
        it does not come to pass within ``limit`` milliseconds, as without a majority it cannot.
        """
        until = self.now + inputs.whole(limit, "the limit", least=0) * MILLI
        for learns in (True, False):
            while not self._changed(old, new, learns=learns):
                if self.now > until:
                    raise TimedOut(f"{new} could not take the place of {old} in {limit} ms")
                self.run_for(50)

    def _changed(self, old: str, new: str, *, learns: bool) -> bool:
        """Return whether that step of a replacement is committed; if not, ask for it."""
        leader = self.leader()
        if leader is None:
            return False
        raft = self.replicas[leader].raft
        now = raft.configuration
        if old not in now.members and (new in now.voters or (learns and new in now.learners)):
            return not now.joint and raft.configuration_index <= raft.commit_index
        others = tuple(name for name in now.learners if name not in (old, new))
        voters = tuple(name for name in now.voters if name not in (old, new))
        with suppress(Busy, NotLeader):
            if learns:
                self.change(voters, (*others, new))
            else:
                self.change((*voters, new), others)
        return False

    def change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Ask the leader to make these the members; return the entry's index.

        Raises what :meth:`~kvraft.raft.Raft.propose_change` raises.
        """
        seat = self._leader_seat()
        assert seat.replica is not None
        index = seat.replica.change(voters, learners)
        self._plan(max(self.now, seat.busy_until), partial(self._wake, seat, seat.incarnation))
        return index

    def transfer(self, to: str) -> None:
        """Ask the leader to hand over to ``to``; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        seat = self._leader_seat()
        assert seat.replica is not None
        seat.replica.transfer(to)
        self._plan(max(self.now, seat.busy_until), partial(self._wake, seat, seat.incarnation))

    def cancel_transfer(self) -> None:
        """Ask the leader to keep leadership; see :meth:`~kvraft.raft.Raft.cancel_transfer`."""
        seat = self._leader_seat()
        assert seat.replica is not None
        seat.replica.cancel_transfer()
        self._plan(max(self.now, seat.busy_until), partial(self._wake, seat, seat.incarnation))

    def partition(self, *groups: Sequence[str]) -> None:
        """Cut the network into ``groups``; members in none of them form one more group.

        Clients that are in no group reach everybody.
        """
        named = [name for group in inputs.groups(groups, self._known) for name in group]
        rest = [name for name in self.members if name not in named]
        whole = [sorted(group) for group in groups] + ([rest] if rest else [])
        self.network.partition(whole)
        self._report("", Partitioned(tuple(" ".join(group) for group in whole)))

    def heal(self) -> None:
        """Make the network whole again."""
        self.network.heal()
        self._report("", Healed())

    def drop(self, which: Callable[[AnyMessage], bool] | int) -> int:
        """Lose messages in flight: one by its id, or all that ``which`` says.  Return how many."""
        if not isinstance(which, int):
            inputs.function(which, "what is to be lost, if not the number of a message,")
        doomed = [
            envelope.id
            for envelope in self.in_flight
            if (envelope.id == which if isinstance(which, int) else which(envelope.message))
        ]
        for id in doomed:
            self._lose(self.network.in_flight.pop(id), "dropped")
        return len(doomed)

    def close(self) -> None:
        """Stop all members, in good order if their disks let them, and let go of the disks."""
        for seat in self._seats.values():
            if seat.replica is not None:
                try:
                    seat.replica.close()
                except (OSError, PowerCut) as error:
                    self._fail(seat, error)
                seat.replica = None
            seat.disk.close()

    # ── members at work ─────────────────────────────────────────────────────────────────────────

    def _tick(self, seat: _Seat, incarnation: int) -> None:
        if seat.replica is not None and seat.incarnation == incarnation:
            self._hand(seat, None)
            self._plan(self.now + TICK, partial(self._tick, seat, incarnation))

    def _hand(self, seat: _Seat, message: AnyMessage | None) -> None:
        """Put a message or a tick before a member, which takes it when its disk is idle."""
        seat.inbox.append(message)
        if seat.busy_until <= self.now:
            self._wake(seat, seat.incarnation)
        elif not seat.waking:
            seat.waking = True
            self._plan(seat.busy_until, partial(self._wake, seat, seat.incarnation))

    def _wake(self, seat: _Seat, incarnation: int) -> None:
        """Let a member take its inbox, do what follows from it, and send."""
        if seat.replica is None or seat.incarnation != incarnation:
            return
        if self.now < seat.paused_until:
            self._plan(seat.paused_until, partial(self._wake, seat, incarnation))
            return
        seat.waking = False
        replica = seat.replica
        # Ticks first: what it knows of the time must be true before it acts on anything (a lease).
        inbox = sorted(seat.inbox, key=lambda message: message is not None)
        seat.inbox = []
        try:
            for message in inbox:
                _give(replica, message)
            drained = replica.drain()
        except (Stopped, PowerCut) as error:
            self._fail(seat, error)
            return
        if drained.synced:
            seat.busy_until = self.now + SYNC
        for early in drained.early:  # these did not wait for the disk
            self._send(early)
        for out in (*drained.messages, *drained.replies):
            self._send(out, after=SYNC if drained.synced else 0)
        self._plan_work(seat)

    def _plan_work(self, seat: _Seat) -> None:
        if seat.replica is not None and seat.replica.has_work and not seat.working:
            seat.working = True
            self._plan(self.now + SLICE, partial(self._work, seat, seat.incarnation))

    def _work(self, seat: _Seat, incarnation: int) -> None:
        if seat.replica is None or seat.incarnation != incarnation:
            return
        if self.now < seat.paused_until:
            self._plan(seat.paused_until, partial(self._work, seat, incarnation))
            return
        seat.working = False
        try:
            seat.replica.work()
        except (Stopped, PowerCut) as error:
            self._fail(seat, error)
            return
        self._plan_work(seat)

    def _fail(self, seat: _Seat, error: Exception) -> None:
        if isinstance(error, PowerCut):
            self._cut_power(seat)
        else:
            self._take_down(seat)
            self._report(seat.name, Failed(str(error)))

    def _cut_power(self, seat: _Seat) -> None:
        self._take_down(seat)
        lost = 0
        if isinstance(seat.disk, SimDisk):
            lost = seat.disk.crash(self._stream(f"crash/{seat.name}/{seat.incarnation}"))
        self._report(seat.name, Crashed(lost))

    def _take_down(self, seat: _Seat) -> None:
        seat.replica = None
        seat.inbox = []
        seat.waking = seat.working = False
        seat.busy_until = seat.paused_until = 0

    # ── messages on their way ───────────────────────────────────────────────────────────────────

    def _send(self, message: AnyMessage, after: int = 0) -> None:
        envelope = self.network.post(message, self.now + after)
        if self._traced:
            term, first, last, note = describe(message)
            sent = Sent(envelope.id, type(message).__name__, message.to, term, first, last, note)
            self._report(message.sender, sent)
        why = self.network.why_lost(message)
        if why:
            self._lose(self.network.in_flight.pop(envelope.id), why)
        else:
            self._plan(envelope.arrives, partial(self._arrive, envelope.id))

    def _arrive(self, id: int) -> None:
        envelope = self.network.in_flight.pop(id, None)
        if envelope is None:
            return  # dropped on its way
        message = envelope.message
        if self.network.cut(message):
            self._lose(envelope, "partition")
            return
        seat, client = self._seats.get(message.to), self._clients.get(message.to)
        if seat is None and client is None:
            self._lose(envelope, f"{message.to} is gone")
        elif seat is None:
            self._report(message.to, Delivered(id))
            assert client is not None
            client.receive(message)  # type: ignore[arg-type]
        elif seat.replica is None:
            self._lose(envelope, f"{seat.name} is down")
        else:
            self._report(message.to, Delivered(id))
            self._hand(seat, message)

    def _lose(self, envelope: Envelope, why: str) -> None:
        self._report(envelope.message.to, Lost(envelope.id, why))

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _plan(self, at: int, action: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._queue, (at, self._planned, action))

    def _report(self, who: str, event: Event) -> None:
        if self._traced:
            self.trace.file(self.now, who, event)

    def _stream(self, concern: str) -> Random:
        return Random(f"{self.seed}/{concern}")

    def _known(self, name: str) -> None:
        """Check that there is somebody of that name."""
        if inputs.text(name, "a name") not in (*self._seats, *self._clients):
            raise BadInput(f"there is neither a member nor a client called {name}")

    def _seat(self, name: str) -> _Seat:
        if inputs.text(name, "the name of a member") not in self._seats:
            raise BadInput(f"there is no member called {name}: {', '.join(self.members)}")
        return self._seats[name]

    def _leader_seat(self) -> _Seat:
        name = self.leader()
        if name is None:
            raise NotLeader("nobody", None)
        return self._seats[name]


class _Host:
    """The world as one of its clients sees it."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self.millis = world.millis
        self.wall_millis = partial(world.millis, name)

    def number(self) -> int:
        self._world._requests += 1
        return self._world._requests

    def send(self, request: Request) -> None:
        self._world._send(request)
        self._world._keep_ticking(self._name)

    def wait(self, condition: Callable[[], bool]) -> None:
        self._world.run_until(condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        self._world.run_until(condition)


def _give(replica: Replica, message: AnyMessage | None) -> None:
    match message:
        case None:
            replica.tick()
        case Register():
            replica.register(message)
        case Submit():
            replica.submit(message)
        case Read() | Scan():
            replica.read(message)
        case Registered() | Answer() | Redirect() | Later() | Refusal() | ReadAnswer() | Page():
            raise BadInput(f"{message} is for a client, not for a member")
        case _:
            replica.receive(message)
