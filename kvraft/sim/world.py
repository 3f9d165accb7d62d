"""The simulated world: members, clients, a network and a clock, stepped event by event.

Time is an integer of microseconds that jumps from one event to the next.  Everything that could
differ between two runs is drawn from random streams that derive from one seed, one for each
concern.  So the same seed and the same calls give the same trace, byte for byte, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from random import Random
from typing import TypeVar

from kvraft import inputs
from kvraft.client import Client
from kvraft.disk import Disk, replacement_name, set_aside
from kvraft.display import counted, html_table
from kvraft.errors import BadInput, Busy, NotLeader, TimedOut
from kvraft.events import EventSink, Marks, ignore
from kvraft.raft import Configuration, Raft, Role
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim.clients import ClientHosts, SimRuntime
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.environment import Environment
from kvraft.sim.network import AnyMessage, Network
from kvraft.sim.seat import Seat
from kvraft.sim.timeline import EPOCH_MILLIS, MILLISECOND

T = TypeVar("T")
_DISTURBED = nullcontext()


class World(Environment):
    """A cluster of ``members`` (a number, or their names) under ``seed``.

    ``disk`` makes the disk of each member, by default a simulated one.  All members start at
    time 0.  Messages take ``fastest`` to ``slowest`` microseconds, in order on each link unless
    ``reorder``.  ``consensus`` and ``replica`` are the classes that every member runs, ``client``
    is that of its clients.  With ``trace`` false no events are kept.

    Raises :class:`~kvraft.errors.BadInput` (or its subclass :class:`~kvraft.errors.WrongType`) for
    invalid arguments, here and in every method.
    """

    seat = Seat
    """The class of the members' seats."""

    def __init__(
        self,
        members: int | Sequence[str] = 3,
        *,
        seed: int = 0,
        options: ReplicaOptions | None = None,
        cluster: str = "kvraft",
        disk: Callable[[str], Disk] = lambda name: SimDisk(),
        fastest: int = 300,
        slowest: int = 2_500,
        reorder: bool = False,
        consensus: type[Raft] = Raft,
        replica: type[Replica] = Replica,
        client: type[Client] = Client,
        trace: bool = True,
    ) -> None:
        names = inputs.members(members)
        self.seed = inputs.whole_number(seed, "a seed")
        network = Network(self.seed, fastest=fastest, slowest=slowest, reorder=reorder)
        super().__init__(network, trace=trace)
        self._configuration = Configuration(names)
        self._cluster = inputs.text(cluster, "the name of a cluster")
        options = ReplicaOptions() if options is None else options
        self._options = inputs.instance(options, ReplicaOptions, "the options of a world")
        self.hosts = ClientHosts(self)
        """The clients, and what they did through verbs."""
        self._consensus = inputs.subclass(consensus, Raft, "consensus")
        self._replica = inputs.subclass(replica, Replica, "replica")
        self.new_client: Callable[..., Client] = inputs.subclass(client, Client, "client")
        """What makes the clients."""
        self._disk = inputs.function(disk, "disk")
        for name in self._configuration.voters:
            self.seats[name] = self.seat(self, name, disk(name))
        for name in self.seats:
            self.restart(name)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def clients(self) -> dict[str, Client]:
        """The clients that were not dismissed, by name."""
        return self.hosts.clients

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members that were ever started, running or not."""
        return tuple(self.seats)

    @property
    def replicas(self) -> dict[str, Replica]:
        """The members that run, by name."""
        return {name: s.replica for name, s in self.seats.items() if s.replica is not None}

    def __repr__(self) -> str:
        up, all_members = len(self.replicas), counted(len(self.seats), "member")
        return (
            f"<World of {all_members}, {up} running, leader {self.leader() or 'unknown'}, "
            f"{self.now / MILLISECOND:,.1f} ms, seed {self.seed}>"
        )

    def _repr_html_(self) -> str:
        """Return a table for a notebook: each member's role, term and five marks."""
        rows: list[tuple[str, ...]] = []
        for name, seat in self.seats.items():
            if seat.replica is None:
                rows.append((name, "down", *("",) * 6))
            else:
                raft, m = seat.replica.raft, seat.replica.marks
                marks = (m.first, m.flushed, m.applied, m.committed, m.last)
                rows.append((name, raft.role.value, str(raft.term), *map(str, marks)))
        return html_table(repr(self), rows, ("member", "role", "term", *Marks.__match_args__))

    def inbox(self, name: str) -> list[AnyMessage]:
        """Return the messages that have reached a member and wait until its disk is idle."""
        return [message for message in self.seat_of(name).inbox if message is not None]

    def leader(self) -> str | None:
        """Return the running member that leads in the highest term, ``None`` if none leads."""
        leaders = [r for r in self.replicas.values() if r.raft.role is Role.LEADER]
        return max(leaders, key=lambda r: r.raft.term).member if leaders else None

    def disk(self, name: str) -> Disk:
        """Return the disk of a member, running or not."""
        return self.seat_of(name).disk

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """Advance to the next event, and execute it."""
        if self.time.next is None:
            raise TimedOut("nothing will ever happen: no member runs and no client waits")
        self.time.step()
        self.stepped()
        self._pass_time()

    def stepped(self) -> None:
        """Have :attr:`watch` look, if there is one; called after each step."""
        if self.watch is not None:
            self.watch()

    def _pass_time(self) -> None:
        """Make all members aware of the time that has passed, before anybody looks at them."""
        for seat in self.seats.values():
            seat.pass_time()

    def run_until(self, condition: Callable[[], bool], *, limit: int = 60_000) -> None:
        """Step until ``condition`` holds; :class:`~kvraft.errors.TimedOut` after ``limit`` ms."""
        inputs.function(condition, "what is waited for")
        until = self.now + inputs.whole_number(limit, "the limit", minimum=0) * MILLISECOND
        while not condition():
            if self.time.next is None or self.time.next > until:
                raise TimedOut(f"what was waited for did not happen within {limit} ms")
            self.step()

    def run_for(self, millis: int) -> None:
        """Step for ``millis`` milliseconds."""
        until = self.now + inputs.whole_number(millis, "a time to run for", minimum=0) * MILLISECOND
        time, stepped = self.time, self.stepped
        while time.has_due(until):
            time.step()
            stepped()
        time.now = until
        self._pass_time()

    def settle(self, *, limit: int = 60_000) -> None:
        """Run until the leader's running members have applied all, and no long work waits."""
        self.run_until(self._settled, limit=limit)

    def _settled(self) -> bool:
        leader = self.leader()
        if leader is None:
            return False
        known = (leader, *self.replicas[leader].raft.configuration.members)
        running = [replica for name, replica in self.replicas.items() if name in known]
        marks = [replica.marks for replica in running]
        same = len({(mark.applied, mark.committed, mark.last) for mark in marks}) == 1
        idle = not any(r.unsaved or r.has_work or r.tree.has_work for r in running)
        return same and idle and marks[0].applied == marks[0].last

    def undisturbed(self, names: Iterable[str] | None = None) -> AbstractContextManager[object]:
        """Suspend the faults of simulated disks in a ``with`` block, for an outside observer.

        They are those of the members with these ``names``, by default of all.

        What members hold is partly on their disks, so observing them reads there.  Planned faults
        are kept for the members' own calls.
        """
        stack = None
        for name in self.seats if names is None else names:
            disk = self.seats[name].disk
            if isinstance(disk, SimDisk) and disk.may_fail:  # few disks, rarely
                stack = stack or ExitStack()
                stack.enter_context(disk.undisturbed())
        return stack or _DISTURBED

    # ── clients ─────────────────────────────────────────────────────────────────────────────────

    def client(self, name: str) -> Client:
        """Return the client called ``name``, made on first use."""
        inputs.text(name, "the name of a client")
        if name in self.seats:
            raise BadInput(f"{name} is a member, so it cannot be a client")
        if name not in self.clients:
            self.clients[name] = self.new_client(
                name,
                self.members,
                runtime=SimRuntime(self.hosts, name),
                random=self.stream(f"client/{name}"),
                report=self._reporter(name),
            )
        return self.clients[name]

    def dismiss(self, name: str) -> None:
        """Remove a client that waits for nothing."""
        inputs.text(name, "the name of a client")
        if name not in self.clients or self.clients[name].busy:
            raise BadInput(f"there is no client called {name} that waits for nothing")
        self.hosts.forget(name)
        self.forget(name)

    def millis(self, name: str = "") -> int:
        """Return the time of ``name``'s clock, in milliseconds since the Unix epoch.

        Without a name, return the true time of this world.
        """
        if name:
            self.check_known(name)
        return self._millis(name)

    def _millis(self, name: str) -> int:
        return EPOCH_MILLIS + self.time.now // MILLISECOND + self.ahead(name)

    # ── members that come and go ────────────────────────────────────────────────────────────────

    def restart(self, name: str) -> bool:
        """Start a member that does not run, from what its disk holds; return whether it runs now.

        It does not if its power is cut meanwhile, which is a crash like any other.  Raises what
        :class:`~kvraft.replica.Replica` raises, and ``OSError`` if the disk fails; then it is down.
        """
        seat = self.seat_of(name)
        if seat.replica is not None:
            raise BadInput(f"{name} runs already")
        return seat.start(self._make)

    def _make(self, seat: Seat, new: bool) -> Replica:
        """Make the replica of a seat."""
        return self._replica(
            seat.name,
            self._configuration,
            seat.disk,
            random=self.stream(f"raft/{seat.name}/{seat.incarnation}"),
            incarnation=seat.incarnation,
            cluster=self._cluster,
            options=self._options,
            consensus=self._consensus,
            new=new,
            millis=partial(self._millis, seat.name),
            report=self._reporter(seat.name),
        )

    def add(self, name: str) -> None:
        """Start a new member with an empty disk, which is not in the configuration yet.

        If its power is cut meanwhile, it must be started again: see :meth:`restart`.
        """
        if inputs.text(name, "the name of a member") in (*self.seats, *self.clients):
            raise BadInput(f"there is a member or client called {name} already")
        self._seat_new(name, self._disk(name))

    def _seat_new(self, name: str, disk: Disk) -> None:
        """Start a new member on ``disk``, and tell the clients its name."""
        self.seats[name] = self.seat(self, name, disk)
        for client in self.clients.values():
            client.add_member(name)
        self.restart(name)

    def rebuild(self, name: str) -> str:
        """Set aside the files of a member that is down, start a new one there, and return its name.

        The new one is not in the configuration yet: see :meth:`replace`.  If the power is cut
        meanwhile, it may have to be started again.
        """
        seat = self.seat_of(name)
        if why := self.rebuild_refusal(name):
            raise BadInput(why)
        try:
            set_aside(seat.disk)
        except PowerCut:  # the power returns, and the operator continues
            seat.cut_power()
            set_aside(seat.disk)
        successor = replacement_name(name)
        self._seat_new(successor, seat.disk)
        return successor

    def rebuild_refusal(self, name: str) -> str:
        """Return why the files of a member cannot be set aside now, ``""`` if they can."""
        if self.seat_of(name).replica is not None:
            return f"{name} runs, so its files are in use"
        successor = replacement_name(name)
        return f"{successor} was started there already" if successor in self.seats else ""

    def replace(self, old: str, new: str, *, limit: int = 60_000) -> None:
        """Replace member ``old`` by ``new``, as an operator does, and return when that is done.

        First ``old`` leaves and ``new`` joins as a learner; once it has everything committed it
        votes (thesis §4.2.1).  Raises :class:`~kvraft.errors.TimedOut` if that is not done within
        ``limit`` milliseconds; without a majority it never is.
        """
        until = self.now + inputs.whole_number(limit, "the limit", minimum=0) * MILLISECOND
        for learns in (True, False):
            while not self._changed(old, new, learns=learns):
                if self.now > until:
                    raise TimedOut(f"{new} could not replace {old} within {limit} ms")
                self.run_for(50)

    def _changed(self, old: str, new: str, *, learns: bool) -> bool:
        """Return whether that step of a replacement is committed; if not, request it."""
        wanted = self.change_to_replace(old, new, learns=learns)
        if wanted:
            with suppress(Busy, NotLeader):
                self.change(*wanted)
        return wanted == ()

    def change_to_replace(
        self, old: str, new: str, *, learns: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]] | tuple[()] | None:
        """Return the voters and learners to ask for in that step of a replacement.

        They are empty once it is committed, and ``None`` while nobody can be asked.  If somebody
        has removed the new member meanwhile, it has to learn again, whatever the step.
        """
        leader = self.leader()
        if leader is None:
            return None
        raft = self.replicas[leader].raft
        now = raft.configuration
        if old not in now.members and (new in now.voters or (learns and new in now.learners)):
            done = not now.joint and raft.configuration_index <= raft.commit_index
            return () if done else None
        learns = learns or new not in now.members
        others = tuple(name for name in now.learners if name not in (old, new))
        voters = tuple(name for name in now.voters if name not in (old, new))
        return (voters, (*others, new)) if learns else ((*voters, new), others)

    def flush(self, name: str) -> None:
        """Have a member freeze its memtable now, and flush it as soon as it has time."""
        seat = self.running_seat(name)
        if why := self.why_no_flush(name):
            raise BadInput(why)
        assert seat.replica is not None
        seat.replica.tree.freeze()
        seat.wake_soon()

    def why_no_flush(self, name: str) -> str:
        """Return why a member that runs has nothing to flush, ``""`` if it has."""
        tree = self.replicas[name].tree
        if tree.immutable_memtables:
            return f"{name} is about to flush"
        return f"{name} has nothing to flush" if tree.applied == tree.flushed else ""

    def change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Ask the leader to change the members to these; return the entry's index.

        Raises what :meth:`~kvraft.raft.Raft.propose_change` raises.
        """
        return self._ask_leader(lambda leader: leader.raft.propose_change(voters, learners))

    def transfer(self, to: str) -> None:
        """Ask the leader to hand over to ``to``; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        self._ask_leader(lambda leader: leader.raft.transfer_leader(to))

    def cancel_transfer(self) -> None:
        """Ask the leader to cancel the transfer; see :meth:`~kvraft.raft.Raft.cancel_transfer`."""
        self._ask_leader(lambda leader: leader.raft.cancel_transfer())

    def _ask_leader(self, what: Callable[[Replica], T]) -> T:
        """Call ``what`` with the leader, plan a drain, and return the result."""
        name = self.leader()
        if name is None:
            raise NotLeader("nobody", None)
        answer = what(self.replicas[name])
        self.seats[name].wake_soon()
        return answer

    def close(self) -> None:
        """Stop all members, cleanly unless their disks fail, and close the disks."""
        for seat in self.seats.values():
            seat.close()

    def is_client(self, name: str) -> bool:
        """Return whether there is a client of that name."""
        return name in self.clients

    def hand_over(self, message: AnyMessage) -> None:
        """Give a message to its receiver, which is there."""
        if message.to in self.seats:
            self.seats[message.to].hand(message)
        else:
            self.clients[message.to].receive(message)  # type: ignore[arg-type]

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _reporter(self, who: str) -> EventSink:
        """Return the sink for the events of ``who``."""
        return partial(self.report, who) if self.traced else ignore

    def stream(self, concern: str) -> Random:
        """Return the stream of random numbers for ``concern``, from its start."""
        return Random(f"{self.seed}/{concern}")
