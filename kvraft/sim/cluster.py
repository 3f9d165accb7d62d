"""Consensus modules alone, with their durable state in memory: a cluster to drive by hand.

A :class:`~kvraft.sim.World` runs complete members, and time decides what happens next.  A
:class:`Cluster` runs only :class:`~kvraft.raft.Raft`, and *you* decide which message arrives, is
lost or comes twice, whose timer runs out, and who crashes.  Or a clock decides::

    by hand      deliver  drop  duplicate  delay  settle      tick  timeout  crash  restart
                 propose  propose_change  read      transfer  cancel_transfer  pause  resume
                 partition  cut_link  repair_link  heal
    by clock     run(ticks)  run_until(condition)

After each input, and before the call returns, the member does all that its Ready asks for
(raft/interface.py); disks are instant.  What a member made durable is in its
:class:`~kvraft.sim.Member`, with what it applied and answered.

``trace`` has the same events as a world's, so that the same pictures draw it.  By clock, a tick is
as long as a world's; by hand, each input takes a moment, so that no two have the same time.

Invariant: the same seed and the same calls give the same trace.

>>> from kvraft.raft import RaftOptions, RequestVote
>>> cluster = Cluster(3, options=RaftOptions(pre_vote=False))
>>> cluster.timeout("n1")
>>> cluster.drop(kind=RequestVote, to="n3")
1
>>> cluster.settle()
>>> cluster.leader(), cluster.members["n3"].hard_state
('n1', HardState(term=1, vote=None))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Unpack

from kvraft import inputs
from kvraft.display import counted, html_table
from kvraft.errors import BadInput, TimedOut
from kvraft.events import (
    Event,
    LogReset,
    Marks,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStarted,
    MessageDelivered,
    Trace,
    ignore,
)
from kvraft.raft import Configuration, Log, Message, Raft, RaftOptions, Role
from kvraft.record import Entry, HardState, Record
from kvraft.sim.mail import InFlightMessage, MessageFilter, MessagesInFlight, check_latency
from kvraft.sim.member import Member, Watcher, appended, entry_of_term, proposed
from kvraft.sim.network import summarize_message
from kvraft.sim.seat import DrainStep
from kvraft.sim.timeline import TICK

MOMENT = 1_000
"""Microseconds that each input by hand takes."""


class Cluster:
    """Members that run the consensus module, and the messages between them.

    ``members`` is the number of voters at first, or their names, or a configuration.  ``logs`` are
    the members' first logs, as entries or as the entries' terms; ``hard_states`` are their first
    terms and votes, by default the terms of their logs.  ``consensus`` is the class that all
    members run.  ``latency`` is the least and the most ticks that a message takes by clock.  With
    ``trace`` false the trace stays empty, which saves time.

    Raises :class:`~kvraft.errors.BadInput` for invalid arguments, here and in every method.
    """

    def __init__(
        self,
        members: int | Sequence[str] | Configuration = 3,
        *,
        seed: int = 0,
        options: RaftOptions | None = None,
        consensus: type[Raft] = Raft,
        logs: Mapping[str, Sequence[int | Entry]] | None = None,
        hard_states: Mapping[str, HardState] | None = None,
        latency: tuple[int, int] = (1, 1),
        trace: bool = True,
    ) -> None:
        check_latency(latency)
        if not isinstance(members, Configuration):
            members = Configuration(inputs.members(members))
        self.seed = inputs.whole_number(seed, "a seed")
        options = RaftOptions() if options is None else options
        self.options = inputs.instance(options, RaftOptions, "the options of a cluster")
        self.now = 0
        """Microseconds since the start of the cluster."""
        self.trace = Trace()
        self.watchers: list[Watcher] = []
        self.members = {name: Member(name, members) for name in members.members}
        """All members that were ever started, by name, running or not."""
        self._first_configuration = members
        self._consensus = inputs.subclass(consensus, Raft, "consensus")
        self._traced = inputs.flag(trace, "trace")
        self._mail = MessagesInFlight(
            self.seed, latency, report=self._file if self._traced else None
        )
        self._proposals = 0
        self._reported: dict[str, Marks] = {}
        for name, log in (logs or {}).items():
            member = self._member(name)
            member.log.append([entry_of_term(entry, index) for index, entry in enumerate(log, 1)])
            member.hard_state = HardState(member.log.last_term)
        for name, hard_state in (hard_states or {}).items():
            self._member(name).hard_state = hard_state
        for member in self.members.values():
            self._start(member)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def rafts(self) -> dict[str, Raft]:
        """The consensus modules of the members that run, by name."""
        return {name: m.raft for name, m in self.members.items() if m.raft is not None}

    @property
    def loss(self) -> float:
        """The probability with which a message is lost as it is sent."""
        return self._mail.loss

    @loss.setter
    def loss(self, share: float) -> None:
        self._mail.loss = inputs.probability(share, "the probability of a loss")

    @property
    def in_flight(self) -> list[InFlightMessage]:
        """The messages on their way, in the order in which they were sent."""
        return list(self._mail.in_flight.values())

    def leader(self) -> str | None:
        """Return the running member that leads in the highest term, ``None`` if none leads."""
        leaders = [raft for raft in self.rafts.values() if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.term).member if leaders else None

    def __repr__(self) -> str:
        members = counted(len(self.members), "member")
        mail = counted(len(self._mail.in_flight), "message")
        return (
            f"<Cluster of {members}, {len(self.rafts)} running, leader "
            f"{self.leader() or 'unknown'}, {mail} in flight, seed {self.seed}>"
        )

    def _repr_html_(self) -> str:
        """Return a table for a notebook: each member's role, term, vote and log."""
        rows = [member.row for member in self.members.values()]
        columns = ("member", "role", "term", "vote", "committed", "last")
        return html_table(repr(self), rows, columns)

    def __str__(self) -> str:
        """Return a line for each member, and one for each message in flight."""
        lines = [str(member) for member in self.members.values()]
        for id, _, message in self.in_flight:
            kind, note = type(message).__name__, summarize_message(message)[3]
            lines.append(f"  {id}: {message.sender} → {message.to} {kind} ({note})")
        return "\n".join(lines)

    # ── by hand: messages ───────────────────────────────────────────────────────────────────────

    def deliver(self, **pick: Unpack[MessageFilter]) -> int:
        """Deliver messages in the order sent: all that are in flight, or those picked.

        They are picked by ``id``, ``sender``, ``to`` and ``kind`` (a class).  The messages that
        they cause are in flight afterwards.  Returns how many were delivered; raises ``BadInput``
        if there is none.
        """
        return self._do_to_each(self._deliver, pick)

    def _deliver(self, letter: InFlightMessage) -> None:
        self.now += MOMENT
        self.arrive(letter)

    def find(self, **pick: Unpack[MessageFilter]) -> list[InFlightMessage]:
        """Return the messages in flight that :meth:`deliver` would pick, if any."""
        return self._mail.find(**pick)

    def drop(self, **pick: Unpack[MessageFilter]) -> int:
        """Lose messages, picked as :meth:`deliver` picks them."""
        return self._do_to_each(lambda letter: self._mail.lose(letter, "dropped"), pick)

    def duplicate(self, **pick: Unpack[MessageFilter]) -> int:
        """Send messages once more, picked as :meth:`deliver` picks them."""
        return self._do_to_each(lambda letter: self._mail.post(letter.message, self.now), pick)

    def delay(self, ticks: int, **pick: Unpack[MessageFilter]) -> int:
        """Have a clock deliver messages so many ticks later, picked as :meth:`deliver` does."""
        inputs.whole_number(ticks, "the ticks of a delay", minimum=1)
        return self._do_to_each(lambda letter: self._mail.delay(letter, ticks), pick)

    def _do_to_each(self, do: Callable[[InFlightMessage], object], pick: MessageFilter) -> int:
        found = self._mail.some(**pick)
        for letter in found:
            do(letter)
        return len(found)

    def settle(self) -> None:
        """Deliver messages until none is in flight."""
        while self._mail.in_flight:
            self.deliver()

    # ── by hand: members ────────────────────────────────────────────────────────────────────────

    def tick(self, name: str) -> None:
        """Advance the time of one member by one tick."""
        self._input(name).tick()
        self.work(name)

    def timeout(self, name: str) -> None:
        """Make the timer of a member run out: an election, or a leader's heartbeats."""
        self._input(name).timeout()
        self.work(name)

    def propose(self, name: str, *what: str | bytes | Record) -> tuple[int, int]:
        """Propose keys, put in one transaction, or records; return the first and the last index.

        Raises what :meth:`~kvraft.raft.Raft.propose` raises.
        """
        raft = self._input(name)
        self._proposals += 1
        place = raft.propose(proposed(what, self._proposals))
        self.work(name)
        return place

    def propose_change(self, name: str, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Start a change of members; see :meth:`~kvraft.raft.Raft.propose_change`."""
        index = self._input(name).propose_change(voters, learners)
        self.work(name)
        return index

    def transfer(self, name: str, to: str) -> None:
        """Start a transfer of leadership; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        self._input(name).transfer_leader(to)
        self.work(name)

    def cancel_transfer(self, name: str) -> None:
        """Cancel a transfer of leadership; see :meth:`~kvraft.raft.Raft.cancel_transfer`."""
        self._input(name).cancel_transfer()
        self.work(name)

    def read(self, name: str, token: int) -> None:
        """Request a read index; see :meth:`~kvraft.raft.Raft.read_index`."""
        raft = self._input(name)
        for watcher in self.watchers:
            watcher.asked(name, token)
        raft.read_index(token)
        self.work(name)

    def truncate_log(self, name: str, index: int) -> None:
        """Replace a member's log through ``index`` by a snapshot of what it applied."""
        inputs.whole_number(index, "where a log is truncated")
        self._member(name).truncate_log(self._input(name), index)
        self.work(name)

    def crash(self, name: str, *, after: str = "") -> None:
        """Stop a member, whose memory is lost.  What it has sent is still in flight.

        With ``after``, "begin" or "save", that happens after this step of its next work with
        something to save: once its early messages have left, or before the others leave.
        """
        if not self._member(name).paused:
            self._input(name)
        if after:
            self.members[name].cut_after = DrainStep.named(after)
        else:
            self._lose_memory(name)

    def _lose_memory(self, name: str) -> None:
        self.members[name].forget()
        self._file(name, MemberCrashed(0))

    def pause(self, name: str, *, ticks: bool = True) -> None:
        """Have a member do nothing until :meth:`resume`, or until it crashes.

        What arrives is put off, and so are its ticks; without ``ticks`` they never come.
        """
        self._input(name)
        self.members[name].paused, self.members[name].misses_ticks = True, not ticks
        self._file(name, MemberPaused(ticks))

    def resume(self, name: str) -> None:
        """End a pause: the member does what was put off, in order."""
        member = self._member(name)
        if not member.paused:
            raise BadInput(f"{name} is not paused")
        self.now += MOMENT
        member.paused = False
        self._file(name, MemberResumed())
        while member.put_off:
            self._take(name, member.put_off.pop(0))

    def restart(self, name: str) -> None:
        """Start a member that does not run, from what is on its disk."""
        member = self._member(name)
        if member.raft is not None:
            raise BadInput(f"{name} runs already")
        self.now += MOMENT
        self._start(member)

    def add(self, name: str, voters: Sequence[str] | None = None) -> None:
        """Start a new, empty member that knows ``voters``, by default the first ones."""
        if inputs.text(name, "the name of a member") in self.members:
            raise BadInput(f"there is a member called {name} already")
        configuration = self._first_configuration
        if voters is not None:
            configuration = Configuration(inputs.names(voters, "voters"))
        self.members[name] = Member(name, configuration)
        self.restart(name)

    # ── by hand: links ──────────────────────────────────────────────────────────────────────────

    def partition(self, *groups: Sequence[str]) -> None:
        """Partition the network into ``groups``; members in none of them form one more group.

        Messages between groups are lost, when they are sent or when they would arrive.
        """
        self._mail.partition(inputs.groups(groups, self._member), self.members)

    def cut_link(self, sender: str, to: str) -> None:
        """Cut a link in one direction: what ``sender`` sends to ``to`` is lost."""
        self._mail.cut_link(self._member(sender).name, self._member(to).name)

    def repair_link(self, sender: str, to: str) -> None:
        """Repair a link that is cut in one direction."""
        self._mail.repair_link(self._member(sender).name, self._member(to).name)

    def heal(self) -> None:
        """Restore all links."""
        self._mail.heal()

    # ── by clock ────────────────────────────────────────────────────────────────────────────────

    def run(self, ticks: int) -> None:
        """Run for ``ticks`` ticks: in each, what is due arrives, then all running members tick."""
        for _ in range(inputs.whole_number(ticks, "a number of ticks", minimum=0)):
            self._pass_tick()

    def run_until(self, condition: Callable[[], bool], *, limit: int = 10_000) -> int:
        """Run until ``condition`` holds; return how many ticks that took.

        Raises :class:`~kvraft.errors.TimedOut` after ``limit`` ticks.
        """
        inputs.function(condition, "what is waited for")
        for ticks in range(inputs.whole_number(limit, "the limit", minimum=0) + 1):
            if condition():
                return ticks
            if ticks < limit:
                self._pass_tick()
        raise TimedOut(f"what was waited for did not happen within {counted(limit, 'tick')}")

    def _pass_tick(self) -> None:
        self.now += TICK
        due = [letter for letter in self._mail.in_flight.values() if letter.due <= self.now]
        for letter in sorted(due, key=lambda letter: letter.due):
            self.arrive(letter)
        for name, member in self.members.items():
            if member.raft is not None:
                self._take(name, None)

    # ── members at work ─────────────────────────────────────────────────────────────────────────

    def _start(self, member: Member) -> None:
        """Make a member's consensus module from what is on its disk."""
        name, log = member.name, member.log
        entries = log.slice(log.first_index)
        member.starts += 1
        member.raft = self._consensus(
            name,
            member.configuration,
            Log(log.base, entries),
            member.hard_state,
            random=Random(f"{self.seed}/raft/{name}/{member.starts}"),
            incarnation=member.starts,
            options=self.options,
            committed=log.base.index,
            report=partial(self._file, name) if self._traced else ignore,
        )
        member.raft.compact(log.base.index, member.snapshot)
        term, flushed = member.hard_state.term, log.base.index
        self._file(name, MemberStarted(term, log.first_index, flushed, log.last_index))
        if entries and member.starts == 1 and self._traced:
            self._file(name, appended(entries))  # so that its first log is in the trace
        self.work(name)

    def work(self, name: str) -> None:
        """Do all that follows from an input (raft/interface.py)."""
        member = self.members[name]
        raft = member.raft
        assert raft is not None
        while raft.has_ready():
            ready = raft.ready()
            self._send(ready.early)
            if member.is_cut(DrainStep.BEGIN, ready):
                self._lose_memory(name)
                return
            member.save(ready)
            if self._traced and ready.snapshot is not None:
                self._file(name, LogReset(*ready.snapshot.last))
            if self._traced and ready.entries:
                self._file(name, appended(ready.entries))
            if member.is_cut(DrainStep.SAVE, ready):
                self._lose_memory(name)
                return
            self._send(ready.messages)
            if ready.snapshot is not None:
                raft.compact(raft.log.base.index, member.snapshot)
            member.take(ready)
            for watcher in self.watchers:
                for read in ready.reads:
                    watcher.served(name, read)
            raft.advance()
        if self._traced and self._reported.get(name) != (marks := member.marks):
            self._reported[name] = marks
            self._file(name, marks)
        for watcher in self.watchers:
            watcher.stepped(name)

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for watcher in self.watchers:
                watcher.sent(message)
            self._mail.post(message, self.now)

    def arrive(self, letter: InFlightMessage) -> None:
        """Deliver a message, or lose it if its receiver cannot be reached."""
        to = letter.message.to
        member = self.members.get(to)
        raft = member.raft if member else None
        why = self._mail.why_unreachable(letter.message) or ("" if raft else f"{to} is down")
        if raft is None or why:
            self._mail.lose(letter, why)
            return
        del self._mail.in_flight[letter.id]
        self._file(to, MessageDelivered(letter.id))
        self._take(to, letter.message)

    def _take(self, name: str, what: Message | None) -> None:
        """Give a member a message, or a tick, and have it do what follows unless it is paused."""
        if self.members[name].takes(what):
            self.work(name)

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _member(self, name: str) -> Member:
        if inputs.text(name, "the name of a member") not in self.members:
            raise BadInput(f"there is no member called {name}: {', '.join(self.members)}")
        return self.members[name]

    def _input(self, name: str) -> Raft:
        """Return the consensus module of a running member, which is about to get an input."""
        raft = self._member(name).raft
        if raft is None:
            raise BadInput(f"{name} does not run")
        if self.members[name].paused:
            raise BadInput(f"{name} is paused")
        self.now += MOMENT
        return raft

    def _file(self, who: str, event: Event) -> None:
        if self._traced:
            self.trace.file(self.now, who, event)
