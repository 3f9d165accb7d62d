"""What members say to each other, named as in the paper (Raft Figure 2, "RPC").

Requests and their replies are plain values, not calls: each may be lost, late, repeated or
overtaken, and the receiver must be right all the same.  Every message carries its sender's term.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.record import Entry


class RequestVote(NamedTuple):
    """A candidate asks for a vote; ``last_index``, ``last_term`` tell where its log ends."""

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int


class RequestVoteReply(NamedTuple):
    """The answer to :class:`RequestVote`."""

    sender: str
    to: str
    term: int
    granted: bool


class AppendEntries(NamedTuple):
    """A leader sends entries that follow entry ``prev_index`` of ``prev_term``; or a heartbeat.

    ``commit`` is its commit index.  ``replicated`` is an index through which every member has the
    log durably, so nobody will ever be sent it again.  ``round`` numbers the leader's heartbeats.
    """

    sender: str
    to: str
    term: int
    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int
    replicated: int
    round: int


class AppendEntriesReply(NamedTuple):
    """The answer to :class:`AppendEntries`.

    On success the sender's log equals the leader's through ``match``.  Otherwise the hint says
    where to go on: the sender has no conflict with an entry of ``hint_term`` or less at or below
    ``hint_index``.
    ``round`` is that of the message answered, or 0 if that one was of an older term: such a reply
    tells of the newer term and of nothing else.
    """

    sender: str
    to: str
    term: int
    success: bool
    match: int
    hint_index: int
    hint_term: int
    round: int


Message = RequestVote | RequestVoteReply | AppendEntries | AppendEntriesReply
