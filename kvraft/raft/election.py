"""How a member comes to lead: time-outs, pre-votes, votes, and who need not be listened to.

::

     time-out                      majority says                   majority
     ────────► PRE_CANDIDATE ────► it would ────► CANDIDATE ─────► votes for it ────► LEADER
                    │                                 │
                    ╰── a majority says no: back to FOLLOWER, until the next time-out

The pre-vote is a round before the election that changes no term (thesis §9.6).  A transfer of
leadership skips it: the old leader asked for this very election (thesis §3.10).

Invariants:

- A member votes once a term, for a log at least as complete as its own (``rules.grant_vote``).
- It says nothing of a new term or vote before that is durable; the outbox sees to that.
- Whoever hears a leader listens to no candidate, unless that leader ordered the election (§6).

The part has no state of its own: it acts on the :class:`~kvraft.raft.Core`.

Sources: Raft §5.2, §5.4.1, §6; thesis §3.10, §4.2.2, §4.2.3, §6.4.1, §9.6.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.raft import safety as rules
from kvraft.raft.core import Core
from kvraft.raft.interface import Role
from kvraft.raft.messages import PreVote, PreVoteReply, RequestVote, RequestVoteReply, TimeoutNow
from kvraft.raft.quorum import vote_result
from kvraft.record import Position

GrantVote = Callable[[RequestVote, int, str | None, Position], bool]


class Election:
    """The part of one member in elections.  A member whose ``role`` becomes LEADER has won."""

    def __init__(self, core: Core, grant_vote: GrantVote) -> None:
        self.core = core
        self._grant_vote = grant_vote

    # ── standing (Raft §5.2) ────────────────────────────────────────────────────────────────────

    def stand(self) -> None:
        """The timer ran out: begin an election, or ask first whether one could be won."""
        if not self._may_stand():
            return
        if self.core.options.pre_vote:
            self._ask_first()
        else:
            self.campaign()

    def _may_stand(self) -> bool:
        """Whether this member votes; or did until a change that may not be committed yet.

        It may be the only one who can commit that change, though its own vote no longer counts: so
        "a server that is not part of its own latest configuration should still start new elections"
        (thesis §4.2.2).
        """
        core = self.core
        if core.member in core.configuration.voting:
            return True
        if core.configuration_index <= core.commit_index or len(core.configurations) < 2:
            return False
        return core.member in core.configurations[-2][1].voting

    def _ask_first(self) -> None:
        """Ask whether an election could be won, and enter no new term before.

        A member that was cut off would else return with a high term, and depose a leader that all
        others hear (thesis §9.6).
        """
        core = self.core
        core.forget_leader()
        core.become(Role.PRE_CANDIDATE, core.term, None)
        core.timer.draw()
        last = core.log.last
        core.outbox.messages += [
            PreVote(core.member, to, core.term + 1, *last, cluster=core.cluster)
            for to in core.configuration.voting
            if to != core.member
        ]
        self._begin_count()

    def campaign(self, *, transfer: bool = False) -> None:
        """Begin an election for the next term, with this member's own vote.

        The timer starts anew with another time-out, for the vote may be split (§5.2).
        """
        core = self.core
        core.forget_leader()
        core.become(Role.CANDIDATE, core.term + 1, None)
        core.vote_for(core.member)
        core.timer.draw()
        last = core.log.last
        core.outbox.messages += [
            RequestVote(core.member, to, core.term, *last, transfer, cluster=core.cluster)
            for to in core.configuration.voting
            if to != core.member
        ]
        self._begin_count()

    def _begin_count(self) -> None:
        self.core.votes = {self.core.member: True}
        self._count()

    def _count(self) -> None:
        """See whether the election is decided: by voters, not by replies, which may come twice."""
        core = self.core
        result = vote_result(core.configuration, core.votes)
        if result is False:
            # The timer runs on: whoever lost stands again only after its full time-out.
            core.become(Role.FOLLOWER, core.term, None)
        elif result and core.role is Role.PRE_CANDIDATE:
            self.campaign()
        elif result:
            core.become(Role.LEADER, core.term, core.member)
            core.timer.restart()

    def on_timeout_now(self, order: TimeoutNow) -> None:
        """The leader hands over to us: no need to ask first, nor to wait (thesis §3.10).

        An order of an older term, or of somebody else, is from a leadership that is over.
        """
        core = self.core
        voting = core.member in core.configuration.voting
        if order.term == core.term and order.sender == core.leader and voting:
            self.campaign(transfer=True)

    # ── voting (Raft §5.2, §5.4.1) ──────────────────────────────────────────────────────────────

    def on_pre_vote(self, ask: PreVote) -> None:
        """Say whether we would vote so.  Nothing here changes: neither term, vote nor timer."""
        core = self.core
        granted = (
            ask.term > core.term and not self._shielded() and rules.up_to_date(ask, core.log.last)
        )
        # A refusal carries our own term, so that a candidate from an old one learns of it.
        term = ask.term if granted else core.term
        core.outbox.messages.append(
            PreVoteReply(core.member, ask.sender, term, granted, cluster=core.cluster)
        )

    def on_pre_vote_reply(self, reply: PreVoteReply) -> None:
        """Count what a voter would do: one that refuses, or that speaks of the next term."""
        core = self.core
        if core.role is Role.PRE_CANDIDATE and (
            not reply.granted or reply.term == core.term + 1  # not of an earlier question
        ):
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
            core.timer.draw()  # "granting vote to candidate" puts an own election off (Figure 2)
        core.outbox.messages.append(
            RequestVoteReply(core.member, ask.sender, core.term, granted, cluster=core.cluster)
        )

    def on_vote_reply(self, reply: RequestVoteReply) -> None:
        """Count a vote: only a candidate does, and only those of its present term."""
        core = self.core
        if core.role is Role.CANDIDATE and reply.term == core.term:
            core.votes[reply.sender] = reply.granted
            self._count()

    # ── leader stickiness (Raft §6; thesis §4.2.3) ──────────────────────────────────────────────

    def sticks_to_leader(self, ask: RequestVote) -> bool:
        """Whether a leader lives that ``ask`` would depose, and did not order the election.

        A removed member hears no heartbeats, times out again and again, and would depose one leader
        after another: so "if a server receives a RequestVote RPC within the minimum election
        timeout of hearing from a current leader, it does not update its term or grant its vote".
        """
        return self.core.options.check_quorum and not ask.transfer and self._shielded()

    def _shielded(self) -> bool:
        """Whether a leader was heard so lately that no candidate may be listened to.

        That leader may hold a lease, whatever this member has learned of newer terms since.  A
        restarted member has forgotten whom it heard.  Where leases rely on what it promised, it
        keeps quiet until any such promise is over (thesis §6.4.1).
        """
        core = self.core
        shortest = core.options.election_ticks
        if core.options.lease_ticks and core.ticks < shortest:
            return True
        if core.role is Role.LEADER or core.heard_at is None:
            return core.role is Role.LEADER
        return core.ticks - core.heard_at < shortest
