"""How a member comes to lead: timeouts, pre-votes, votes, and leader stickiness.

::

     timeout                   a majority would                 a majority
     ───────► PRE_CANDIDATE ────────────────────► CANDIDATE ────────────────► LEADER
                    │            vote for it          │         votes for it
                    ╰────────────────┬────────────────╯
                                     ╰─ a majority refuses: FOLLOWER, until the next timeout

The pre-vote is a round before the election that changes no term (thesis §9.6).  A transfer of
leadership skips it: the old leader asked for this very election (thesis §3.10).

Invariants:

- A member votes once a term, for a log at least as up-to-date as its own (``safety.grant_vote``).
- No message reveals a new term or vote before it is durable: ``raft/outbox.py`` holds it back.
- A member that hears from a leader listens to no candidate, unless that leader ordered the
  election (§6).

The part has no state of its own: it acts on the :class:`~kvraft.raft.Core`.

Sources: Raft §5.2, §5.4.1, §6; thesis §3.10, §4.2.2, §4.2.3, §6.4.1, §9.6.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.raft import safety
from kvraft.raft.core import Core
from kvraft.raft.interface import Role
from kvraft.raft.messages import PreVote, PreVoteReply, RequestVote, RequestVoteReply, TimeoutNow
from kvraft.raft.quorum import vote_result
from kvraft.record import Position

GrantVote = Callable[[RequestVote, int, str | None, Position], bool]


class Election:
    """One member's part in elections.  A member whose ``role`` becomes LEADER has won."""

    def __init__(self, core: Core, grant_vote: GrantVote) -> None:
        self.core = core
        self._grant_vote = grant_vote

    # ── standing (Raft §5.2) ────────────────────────────────────────────────────────────────────

    def stand(self) -> None:
        """Begin an election after a timeout, or first ask whether one could be won."""
        if not self._may_stand():
            return  # a learner, or a removed member, can only disturb the others (§6)
        if self.core.options.pre_vote:
            self._ask_pre_votes()
        else:
            self.campaign()

    def _may_stand(self) -> bool:
        """Whether this member votes, or did so until a change that may not be committed yet.

        It may be the only member that can commit that change, though its own vote no longer counts:
        so "a server that is not part of its own latest configuration should still start new
        elections" (thesis §4.2.2).
        """
        core = self.core
        if core.member in core.configuration.voting:
            return True
        if core.configuration_index <= core.commit_index or len(core.configurations) < 2:
            return False
        return core.member in core.configurations[-2][1].voting

    def _ask_pre_votes(self) -> None:
        """Ask whether an election could be won, before entering a new term for it.

        Without this, a member that was cut off returns with a high term and deposes a leader that
        all others hear (thesis §9.6).
        """
        core = self.core
        core.fail_asked_reads()
        core.become(Role.PRE_CANDIDATE, core.term, None)
        core.timer.draw()
        last = core.log.last
        core.outbox.messages += [
            PreVote(core.member, to, core.term + 1, *last, cluster=core.cluster)
            for to in core.configuration.voting
            if to != core.member
        ]
        self._count_own()

    def campaign(self, *, transfer: bool = False) -> None:
        """Begin an election for the next term, with this member's own vote.

        The timer starts with a newly drawn timeout, because the vote may be split (§5.2).
        """
        core = self.core
        core.fail_asked_reads()
        core.become(Role.CANDIDATE, core.term + 1, None)
        core.vote_for(core.member)
        core.timer.draw()
        last = core.log.last
        core.outbox.messages += [
            RequestVote(core.member, to, core.term, *last, transfer, cluster=core.cluster)
            for to in core.configuration.voting
            if to != core.member
        ]
        self._count_own()

    def _count_own(self) -> None:
        """Begin to count with this member's own vote, which alone may decide."""
        self.core.votes = {self.core.member: True}
        self._count()

    def _count(self) -> None:
        """Act on the votes so far.  Voters count, not replies, which may come twice (§5.2)."""
        core = self.core
        result = vote_result(core.configuration, core.votes)
        if result is False:
            # The timer keeps running: a member that lost stands again only after its full timeout,
            # which gives another one time to win.
            core.become(Role.FOLLOWER, core.term, None)
        elif result and core.role is Role.PRE_CANDIDATE:
            self.campaign()  # a majority would vote for it: now the new term is worth entering
        elif result:
            # "A candidate wins an election if it receives votes from a majority" (§5.2).  Its
            # leadership begins with a round of heartbeats, to "prevent new elections".
            core.become(Role.LEADER, core.term, core.member)
            core.timer.restart()

    def on_timeout_now(self, order: TimeoutNow) -> None:
        """Stand at once, without a pre-vote: the leader hands over to us (thesis §3.10).

        An order of an older term, or of another sender, is from a leadership that is over.  A
        member without a vote could not win, and would only depose the leader.
        """
        core = self.core
        voting = core.member in core.configuration.voting
        if order.term == core.term and order.sender == core.leader and voting:
            self.campaign(transfer=True)

    # ── voting (Raft §5.2, §5.4.1) ──────────────────────────────────────────────────────────────

    def on_pre_vote(self, ask: PreVote) -> None:
        """Answer whether we would vote so.  Neither term, vote nor timer changes (thesis §9.6).

        A member that was cut off asks again and again; were its term adopted, it would depose the
        leader as soon as the network heals.
        """
        core = self.core
        granted = (
            ask.term > core.term
            and not self.hears_leader()
            and safety.up_to_date(ask, core.log.last)
        )
        # A refusal carries our own term, so that a candidate of an older term learns of it.
        term = ask.term if granted else core.term
        core.outbox.messages.append(
            PreVoteReply(core.member, ask.sender, term, granted, cluster=core.cluster)
        )

    def on_pre_vote_reply(self, reply: PreVoteReply) -> None:
        """Count a pre-vote, if this member still asks for it.

        A grant names the term asked about, so one for an earlier question does not count.
        """
        core = self.core
        if core.role is Role.PRE_CANDIDATE and (not reply.granted or reply.term == core.term + 1):
            core.votes[reply.sender] = reply.granted
            self._count()

    def on_request_vote(self, ask: RequestVote) -> None:
        """Vote once a term, and only for a candidate whose log is as complete as ours (§5.4.1)."""
        core = self.core
        granted = not self.sticks_to_leader(ask) and self._grant_vote(
            ask, core.term, core.vote, core.log.last
        )
        if granted:
            core.vote_for(ask.sender)
            core.timer.draw()  # "granting vote to candidate" postpones an own election (Figure 2)
        core.outbox.messages.append(
            RequestVoteReply(core.member, ask.sender, core.term, granted, cluster=core.cluster)
        )

    def on_vote_reply(self, reply: RequestVoteReply) -> None:
        """Count a vote of the current term, if this member is a candidate.

        A vote of an earlier term was given once and may have gone to another candidate since.
        """
        core = self.core
        if core.role is Role.CANDIDATE and reply.term == core.term:
            core.votes[reply.sender] = reply.granted
            self._count()

    # ── leader stickiness (Raft §6; thesis §4.2.3) ──────────────────────────────────────────────

    def sticks_to_leader(self, ask: RequestVote) -> bool:
        """Return whether to ignore ``ask``, because it would depose a leader that is alive.

        A removed member hears no heartbeats, times out again and again, and would depose one leader
        after another: so "if a server receives a RequestVote RPC within the minimum election
        timeout of hearing from a current leader, it does not update its term or grant its vote".
        In a transfer, the leader itself asked for the election (thesis §4.2.3).
        """
        return self.core.options.check_quorum and not ask.transfer and self.hears_leader()

    def hears_leader(self) -> bool:
        """Whether this member leads, or heard from a leader within the shortest timeout.

        That leader may hold a lease, whatever newer terms this member has seen since.
        """
        core = self.core
        shortest = core.options.election_ticks
        if core.options.lease_ticks and core.ticks < shortest:
            # A restarted member has forgotten whom it heard.  A lease may rely on its answer from
            # before, so it waits until any such lease is over (thesis §6.4.1).
            return True
        if core.role is Role.LEADER:
            return True
        return core.heard_at is not None and core.ticks - core.heard_at < shortest
