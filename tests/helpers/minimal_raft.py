"""The least that is a Raft: elections and replication, as in Figure 2, behind kvraft's seam.

It has no snapshots, changes of members, leases, reads, pre-votes or batches, and shares no code
with kvraft's own module but the messages.  So it shows that the seam is one, and what an own
implementation needs.  :data:`WRONG` has variants of it with one bug each, for a judge to find.
"""

from kvraft.errors import NotLeader
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Ready,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import NOOP, Entry, HardState


class MinimalRaft:
    """One member; ``self.log[n]`` is the entry with index n + 1."""

    def __init__(self, member, configuration, log, hard_state, *, random, options, cluster):
        self.member, self.cluster, self.random, self.options = member, cluster, random, options
        self.others = [name for name in configuration.voters if name != member]
        self.majority = configuration.quorum
        self.log = list(log.slice(1))
        self.term, self.vote = self.saved = hard_state
        self.role, self.leader, self.commit, self.taken = Role.FOLLOWER, None, 0, 0
        self.durable = self.kept = len(self.log)  # synced; and handed out, to be synced
        self.outbox = []
        self.restart_timer()

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self):
        self.elapsed += 1
        if self.role is Role.LEADER and self.elapsed >= self.options.heartbeat_ticks:
            self.elapsed = 0
            self.replicate()
        elif self.role is not Role.LEADER and self.elapsed >= self.limit:
            self.stand()

    def propose(self, records):
        if self.role is not Role.LEADER:
            raise NotLeader(self.member, self.leader)
        first = len(self.log) + 1
        self.log += [Entry(self.term, at, record) for at, record in enumerate(records, first)]
        self.replicate()
        return first, len(self.log)

    def step(self, message):
        if message.term > self.term:
            self.follow(message.term)
        match message:
            case RequestVote():
                self.on_request_vote(message)
            case RequestVoteReply():
                self.on_vote(message)
            case AppendEntries():
                self.on_append(message)
            case AppendEntriesReply():
                self.on_append_reply(message)

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self):
        state = HardState(self.term, self.vote) != self.saved
        return bool(state or self.outbox or self.kept < len(self.log) or self.taken < self.commit)

    def ready(self):
        state = HardState(self.term, self.vote)
        ready = Ready(
            hard_state=state if state != self.saved else None,
            entries=tuple(self.log[self.kept :]),
            messages=tuple(self.outbox),
            committed=tuple(self.log[self.taken : self.commit]),
        )
        self.saved, self.kept, self.taken, self.outbox = state, len(self.log), self.commit, []
        return ready

    def advance(self):
        self.durable = self.kept
        if self.role is Role.LEADER:
            self.count()

    # ── elections (§5.2, §5.4.1) ────────────────────────────────────────────────────────────────

    def stand(self):
        self.role, self.leader = Role.CANDIDATE, None
        self.term, self.vote = self.term + 1, self.member
        self.votes = {self.member}
        self.restart_timer()
        for name in self.others:
            ask = RequestVote(self.member, name, self.term, len(self.log), self.last_term())
            self.outbox.append(ask._replace(cluster=self.cluster))

    def may_vote(self, ask):
        free = self.vote in (None, ask.sender)
        return free and (ask.last_term, ask.last_index) >= (self.last_term(), len(self.log))

    def on_request_vote(self, ask):
        granted = ask.term == self.term and self.may_vote(ask)
        if granted:
            self.vote = ask.sender
            self.restart_timer()
        reply = RequestVoteReply(self.member, ask.sender, self.term, granted, self.cluster)
        self.outbox.append(reply)

    def on_vote(self, reply):
        if self.role is Role.CANDIDATE and reply.term == self.term and reply.granted:
            self.votes.add(reply.sender)
            if len(self.votes) >= self.majority:
                self.lead()

    def lead(self):
        self.role, self.leader, self.elapsed = Role.LEADER, self.member, 0
        self.next = dict.fromkeys(self.others, len(self.log) + 1)
        self.match = dict.fromkeys(self.others, 0)
        self.log.append(Entry(self.term, len(self.log) + 1, NOOP))
        self.replicate()

    # ── replication (§5.3, §5.4.2) ──────────────────────────────────────────────────────────────

    def replicate(self):
        for name in self.others:
            self.send(name)

    def send(self, name):
        after = self.next[name] - 1
        entries = tuple(self.log[after : after + 1])  # one at a time, which is enough
        fields = (self.term, after, self.term_at(after), entries, self.commit)
        append = AppendEntries(self.member, name, *fields)
        self.outbox.append(append._replace(cluster=self.cluster))

    def matches(self, append):
        at = append.prev_index
        return at <= len(self.log) and self.term_at(at) == append.prev_term

    def on_append(self, append):
        taken = append.term == self.term
        if taken:
            self.role, self.leader = Role.FOLLOWER, append.sender
            self.restart_timer()
            taken = self.matches(append)
        if taken:
            self.take(append)
            last = append.prev_index + len(append.entries)
            self.commit = max(self.commit, min(append.commit, last))
        match = append.prev_index + len(append.entries) if taken else 0
        reply = (self.term, taken, append.prev_index, match)
        self.outbox.append(
            AppendEntriesReply(self.member, append.sender, *reply, cluster=self.cluster)
        )

    def take(self, append):
        for entry in append.entries:
            if entry.index > len(self.log) or self.term_at(entry.index) != entry.term:
                self.cut(entry.index)
                self.log.append(entry)

    def cut(self, index):
        del self.log[index - 1 :]
        self.kept, self.durable = min(self.kept, index - 1), min(self.durable, index - 1)

    def is_current(self, reply):
        return reply.term == self.term

    def on_append_reply(self, reply):
        name = reply.sender
        if self.role is not Role.LEADER or not self.is_current(reply):
            return
        if reply.success and reply.match >= self.next[name] - 1:
            self.match[name], self.next[name] = reply.match, reply.match + 1
            self.count()
            if reply.match < len(self.log):
                self.send(name)
        elif not reply.success and reply.prev_index + 1 == self.next[name]:
            self.next[name] = max(self.match[name] + 1, self.next[name] - 1)
            self.send(name)

    def count(self):
        held = sorted([*self.match.values(), self.durable])
        index = held[-self.majority]
        if index > self.commit and self.may_commit(index):
            self.commit = index

    def may_commit(self, index):
        return self.term_at(index) == self.term

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def follow(self, term):
        self.role, self.term, self.vote, self.leader = Role.FOLLOWER, term, None, None
        self.restart_timer()

    def restart_timer(self):
        self.elapsed = 0
        self.limit = self.options.election_ticks + self.random.randrange(self.options.spread_ticks)

    def term_at(self, index):
        return self.log[index - 1].term if index else 0

    def last_term(self):
        return self.term_at(len(self.log))


# ── one bug each ────────────────────────────────────────────────────────────────────────────────


class VotesTwice(MinimalRaft):
    """Votes for every candidate whose log is up to date."""

    def may_vote(self, ask):
        return (ask.last_term, ask.last_index) >= (self.last_term(), len(self.log))


class VotesForAnyLog(MinimalRaft):
    """Does not compare logs before it votes (§5.4.1)."""

    def may_vote(self, ask):
        return self.vote in (None, ask.sender)


class VotesForLongerLog(MinimalRaft):
    """Compares lengths of logs, not their last terms (§5.4.1)."""

    def may_vote(self, ask):
        return self.vote in (None, ask.sender) and ask.last_index >= len(self.log)


class ForgetsItsVote(MinimalRaft):
    """Does not save its vote."""

    def ready(self):
        ready = super().ready()
        state = ready.hard_state
        return ready._replace(hard_state=state and HardState(state.term))


class CountsVotesTwice(MinimalRaft):
    """Counts answers, not voters."""

    def on_vote(self, reply):
        if self.role is Role.CANDIDATE and reply.term == self.term and reply.granted:
            self.votes.add(len(self.votes))
            if len(self.votes) >= self.majority:
                self.lead()


class CountsOldVotes(MinimalRaft):
    """Does not look at the term of a vote."""

    def on_vote(self, reply):
        super().on_vote(reply._replace(term=self.term))


class CountsOlderTerms(MinimalRaft):
    """Commits what a majority holds, of whatever term (Figure 8)."""

    def may_commit(self, index):
        return True


class IgnoresPreviousEntry(MinimalRaft):
    """Takes entries that fit the length of its log, whatever comes before them."""

    def matches(self, append):
        return append.prev_index <= len(self.log)


class AnswersEarly(MinimalRaft):
    """Sends before it has saved."""

    def ready(self):
        ready = super().ready()
        return ready._replace(early=ready.messages, messages=())


class BelievesOldAnswers(MinimalRaft):
    """Does not look at the term of an answer to an append."""

    def is_current(self, reply):
        return True


class TruncatesAlways(MinimalRaft):
    """Drops what follows an append, whether or not it conflicts."""

    def take(self, append):
        self.cut(append.prev_index + 1)
        self.log += append.entries


class CommitsItsTail(MinimalRaft):
    """Commits as far as its leader, past what a heartbeat without entries shows to match."""

    def replicate(self):
        for name in self.others:
            self.send(name)
            self.outbox[-1] = self.outbox[-1]._replace(entries=())

    def on_append(self, append):
        super().on_append(append)
        if append.term == self.term and self.matches(append):
            self.commit = max(self.commit, min(append.commit, len(self.log)))


class NeverStands(MinimalRaft):
    """Stands for no election once there was one."""

    def tick(self):
        if self.term == 0 or self.role is Role.LEADER:
            super().tick()


class AppliesAgain(MinimalRaft):
    """Hands out once more what it had handed out, when it becomes the leader."""

    def lead(self):
        super().lead()
        self.taken = 0


class RaisesOnMismatch(MinimalRaft):
    """Raises where a follower's log is shorter than its leader's."""

    def matches(self, append):
        return (
            self.log[append.prev_index - 1].term == append.prev_term if append.prev_index else True
        )


WRONG = [
    VotesTwice,
    VotesForAnyLog,
    VotesForLongerLog,
    ForgetsItsVote,
    CountsVotesTwice,
    CountsOldVotes,
    CountsOlderTerms,
    IgnoresPreviousEntry,
    AnswersEarly,
    BelievesOldAnswers,
    TruncatesAlways,
    CommitsItsTail,
    NeverStands,
    AppliesAgain,
    RaisesOnMismatch,
]
"""All of the variants."""
