"""One member, n1, driven by hand: what the tests of the consensus module share."""

from dataclasses import dataclass, field
from random import Random

from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Log,
    PreVoteReply,
    Raft,
    RaftOptions,
    RequestVoteReply,
    Role,
)
from kvraft.record import Entry, HardState, Kind, Position, Record, TxnId, configuration_record

THREE = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")
PAPER = RaftOptions(pre_vote=False, check_quorum=False)
"""Raft as in the paper's Figure 2."""


def record(n=0, size=0):
    return Record(Kind.PUT, b"%d" % n, b"x" * size, 0, TxnId("c", 1, n))


def entries(terms, first=1):
    """Entries of the given terms; equal place and term means equal entry."""
    return tuple(Entry(term, n, record(1000 * term + n)) for n, term in enumerate(terms, first))


def change(index, term, voters, outgoing=(), learners=()):
    """An entry that carries a configuration."""
    value = Configuration(voters, outgoing, learners).to_bytes()
    return Entry(term, index, configuration_record(value))


def member(
    terms=(),
    voters=THREE,
    term=None,
    vote=None,
    seed=0,
    base=0,
    learners=(),
    options=PAPER,
    incarnation=1,
    log=None,
    **more,
):
    """Member n1, whose log holds entries of these terms (the first ``base`` of them cut off).

    Or what its ``log`` holds: entries of term 1.
    """
    terms = [1] * len(log) if log else terms
    held = log or entries(terms)[base:]
    log = Log(Position(base, terms[base - 1] if base else 0), held)
    state = HardState(max(terms, default=0) if term is None else term, vote)
    members = Configuration(voters, (), learners)
    more |= {"random": Random(seed), "incarnation": incarnation, "options": options}
    return Raft("n1", members, log, state, **more)


@dataclass
class Done:
    """What one turn of the contract's loop, or several, handed out; early messages come first."""

    messages: list = field(default_factory=list)
    states: list = field(default_factory=list)
    snapshots: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    committed: list = field(default_factory=list)
    decided: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    failed: list = field(default_factory=list)

    def to(self, name):
        return [message for message in self.messages if message.to == name]

    def of(self, kind):
        return [message for message in self.messages if isinstance(message, kind)]


def finish(raft):
    """Do all there is to do, as the contract says."""
    done = Done()
    while raft.has_ready():
        ready = raft.ready()
        done.messages += ready.early + ready.messages
        done.states += [ready.hard_state] if ready.hard_state else []
        done.snapshots += [ready.snapshot] if ready.snapshot else []
        done.entries += ready.entries
        done.committed += ready.committed
        done.decided += ready.decided
        done.reads += ready.reads
        done.failed += ready.failed_reads
        raft.advance()
    return done


def campaign(raft):
    """Let the timer run out; return what that led to."""
    raft.timeout()
    return finish(raft)


def lead(raft):
    """Make the member leader of its next term by the votes of a majority."""
    raft.timeout()
    if raft.role is Role.PRE_CANDIDATE:
        grant_pre_votes(raft)
    finish(raft)
    for voter in raft.configuration.voters[1 : raft.configuration.quorum]:
        raft.step(RequestVoteReply(voter, "n1", raft.term, True))
    assert raft.role is Role.LEADER
    return raft


def grant_pre_votes(raft):
    """Let a majority answer that it would vote for the member."""
    for voter in raft.configuration.voters[1 : raft.configuration.quorum]:
        raft.step(PreVoteReply(voter, "n1", raft.term + 1, True))


def leader(*acknowledged, **keywords):
    """A leader of whose log, with its no-op, these others have everything: it is committed."""
    raft = lead(member(**keywords))
    finish(raft)
    for name in acknowledged or raft.configuration.members[1:]:
        ack(raft, name)
    finish(raft)
    assert raft.commit_index == raft.log.last_index
    return raft


def append(terms=(), after=(0, 0), term=1, commit=0, sender="n2", replicated=0, round=1):
    index, previous = after
    made = entries(terms, index + 1)
    return AppendEntries(sender, "n1", term, index, previous, made, commit, replicated, round)


def round_of(raft):
    """The latest round of heartbeats that the leader began."""
    return raft._leader._replication.round


def ack(raft, sender, match=None, round=1, term=None):
    """``sender`` has everything through ``match``, or all that there is."""
    term = raft.term if term is None else term
    match = raft.log.last_index if match is None else match
    raft.step(AppendEntriesReply(sender, "n1", term, True, 0, match, 0, 0, round))


def refuse(raft, sender, prev, hint, round=1):
    """``sender`` has no entry ``prev`` like the leader's, but perhaps the one hinted at."""
    raft.step(AppendEntriesReply(sender, "n1", raft.term, False, prev, 0, *hint, round))


def at(raft, name):
    """Return next and match index of a follower."""
    follower = raft.status().progress[name]
    return follower.next, follower.match


def terms_of(raft):
    return [entry.term for entry in raft.log.slice(raft.log.first_index)]


def ticks(raft, count):
    for _ in range(count):
        raft.tick()
