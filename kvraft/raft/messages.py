"""The messages between members, named as in the paper (Raft Figure 2 and Figure 13, "RPC").

Requests and their replies are plain values, not calls: each may be lost, late, repeated or
overtaken, and the receiver must still be correct.  Every message carries its sender's term and the
name of its cluster.

A message comes from outside, so it may be anything at all.  :func:`malformed_reason` returns what
is wrong with one, before any part acts on it.

Sources: Raft §5, §7, Figures 2 and 13; thesis §3.10 (TimeoutNow), §6.4 (ReadIndex), §9.6 (PreVote).
"""

from __future__ import annotations

import zlib
from operator import itemgetter
from typing import NamedTuple

from kvraft.display import counted
from kvraft.raft.admission import inadmissible_reason
from kvraft.raft.quorum import Configuration
from kvraft.record import MAX_NUMBER, Entry, Position, Record, is_name

DEFAULT_CLUSTER = "kvraft"
"""The name of a cluster that was given no other."""


class RequestVote(NamedTuple):
    """A candidate asks for a vote; its log ends at ``last_index`` with ``last_term``.

    With ``transfer`` the old leader asked for this election, so that members need not protect it.
    """

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    transfer: bool = False
    cluster: str = DEFAULT_CLUSTER


class RequestVoteReply(NamedTuple):
    """The answer to :class:`RequestVote`."""

    sender: str
    to: str
    term: int
    granted: bool
    cluster: str = DEFAULT_CLUSTER


class PreVote(NamedTuple):
    """Would you vote for me in ``term``, which I have not entered yet?  (thesis §9.6)"""

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    cluster: str = DEFAULT_CLUSTER


class PreVoteReply(NamedTuple):
    """The answer to :class:`PreVote`.

    ``term`` is the term asked about if ``granted``, else the voter's own.
    """

    sender: str
    to: str
    term: int
    granted: bool
    cluster: str = DEFAULT_CLUSTER


class AppendEntries(NamedTuple):
    """A leader sends entries that follow entry ``prev_index`` of ``prev_term``, or a heartbeat.

    ``commit`` is its commit index.  Every member has the log durably through
    ``all_replicated_index``, so none will need it sent again.  ``round`` numbers the leader's
    heartbeats.
    """

    sender: str
    to: str
    term: int
    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int
    all_replicated_index: int = 0
    round: int = 0
    cluster: str = DEFAULT_CLUSTER


class AppendEntriesReply(NamedTuple):
    """The answer to the :class:`AppendEntries` that followed on entry ``prev_index``.

    On success the sender's log equals the leader's through ``match``.  Otherwise the hint says
    where to try next: the sender's entry at ``hint_index`` is of ``hint_term``, and the logs can
    agree neither above it nor where the leader's term is higher.

    ``round`` is that of the message answered, or 0 if that one was of an older term: such a reply
    reports the newer term and nothing else.  ``wall_millis`` is the sender's wall clock, in
    milliseconds since the Unix epoch, or 0 if it has none; it is for the owner of the consensus
    module (replica/skew.py), which itself does not use it.
    """

    sender: str
    to: str
    term: int
    success: bool
    prev_index: int
    match: int = 0
    hint_index: int = 0
    hint_term: int = 0
    round: int = 0
    cluster: str = DEFAULT_CLUSTER
    wall_millis: int = 0


class InstallSnapshot(NamedTuple):
    """One chunk of a snapshot: the bytes ``data`` at ``offset`` of its ``size`` bytes.

    ``checksum`` is the CRC-32 of ``data``.  ``snapshot_number`` counts the snapshots that a leader
    has begun to send in its term, so that chunks of two snapshots are never mixed.  The snapshot
    replaces the log through ``last_index``, whose entry is of ``last_term``; ``configuration`` is
    the one as of that entry.
    """

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    configuration: Configuration
    size: int
    offset: int
    data: bytes
    checksum: int
    snapshot_number: int = 0
    cluster: str = DEFAULT_CLUSTER


class InstallSnapshotReply(NamedTuple):
    """The answer to :class:`InstallSnapshot`: the sender needs the chunk at ``offset`` next.

    With ``done`` it holds everything through ``last_index``, by this snapshot or otherwise.
    """

    sender: str
    to: str
    term: int
    last_index: int
    offset: int
    done: bool
    cluster: str = DEFAULT_CLUSTER


class ReadIndex(NamedTuple):
    """A follower asks as of which index it may serve a read (thesis §6.4).

    ``incarnation`` is the follower's, and differs from one start of it to the next; ``token``
    differs from one question of an incarnation to the next.  So an answer is never mistaken for the
    answer to another question, from before a crash or after.
    """

    sender: str
    to: str
    term: int
    incarnation: int
    token: int
    cluster: str = DEFAULT_CLUSTER


class ReadIndexReply(NamedTuple):
    """The answer to :class:`ReadIndex`; ``index`` is -1 if the member asked does not lead."""

    sender: str
    to: str
    term: int
    incarnation: int
    token: int
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    cluster: str = DEFAULT_CLUSTER


class TimeoutNow(NamedTuple):
    """The leader hands over: the receiver must begin an election at once (thesis §3.10)."""

    sender: str
    to: str
    term: int
    cluster: str = DEFAULT_CLUSTER


Message = (
    RequestVote
    | RequestVoteReply
    | PreVote
    | PreVoteReply
    | AppendEntries
    | AppendEntriesReply
    | InstallSnapshot
    | InstallSnapshotReply
    | ReadIndex
    | ReadIndexReply
    | TimeoutNow
)


# ── what may come in ────────────────────────────────────────────────────────────────────────────

_NUMBERS: dict[type, tuple[str, ...]] = {
    RequestVote: ("term", "last_index", "last_term"),
    RequestVoteReply: ("term",),
    PreVote: ("term", "last_index", "last_term"),
    PreVoteReply: ("term",),
    AppendEntries: ("term", "prev_index", "prev_term", "commit", "all_replicated_index", "round"),
    AppendEntriesReply: (
        "term",
        "prev_index",
        "match",
        "hint_index",
        "hint_term",
        "round",
        "wall_millis",
    ),
    InstallSnapshot: (
        "term",
        "last_index",
        "last_term",
        "size",
        "offset",
        "checksum",
        "snapshot_number",
    ),
    InstallSnapshotReply: ("term", "last_index", "offset"),
    ReadIndex: ("term", "incarnation", "token"),
    ReadIndexReply: ("term", "incarnation", "token"),
    TimeoutNow: ("term",),
}
_PLACES = {
    kind: tuple(kind._fields.index(name) for name in names)  # type: ignore[attr-defined]
    for kind, names in _NUMBERS.items()
}
# Gives all numbers of a message at once: a tuple of them, of two at least.
_NUMBERS_OF = {kind: itemgetter(places[0], *places) for kind, places in _PLACES.items()}
_FLAGS = {
    RequestVote: "transfer",
    RequestVoteReply: "granted",
    PreVoteReply: "granted",
    AppendEntriesReply: "success",
    InstallSnapshotReply: "done",
}


def malformed_reason(message: object, member: str, cluster: str) -> str:
    """Return why ``member`` of ``cluster`` cannot take ``message``, ``""`` if it can.

    Only the message itself is checked: types, signs, whether its parts fit together, and whether
    its entries may be in a log, by the rule of ``raft/admission.py``.  Whether it fits the
    receiver's log is checked later.
    """
    kind = type(message)
    numbers_of = _NUMBERS_OF.get(kind)
    if numbers_of is None:
        return f"there is no message {kind.__name__}"
    if message.cluster != cluster:  # type: ignore[attr-defined]
        return f"it belongs to cluster {_brief(message.cluster)}, not {cluster!r}"  # type: ignore[attr-defined]
    numbers = numbers_of(message)  # type: ignore[arg-type]
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > MAX_NUMBER:
        for name, number in zip(_NUMBERS[kind], numbers[1:], strict=True):
            if type(number) is not int or not 0 <= number <= MAX_NUMBER:
                return f"{name} should be a whole number from 0 to 2**63 - 1, not {_brief(number)}"
    flag = _FLAGS.get(kind)
    if flag is not None and type(getattr(message, flag)) is not bool:
        return f"{flag} should be true or false, not {_brief(getattr(message, flag))}"
    sender, to = message[0], message[1]  # type: ignore[index]
    if to != member:
        return f"it is for {_brief(to)}, not for {member}"
    if sender == member or not is_name(sender):
        return f"it claims to be from {_brief(sender)}"
    match message:
        case AppendEntries():
            return _append_problem(message)
        case AppendEntriesReply():
            return ""  # there is nothing more in it
        case InstallSnapshot():
            return _snapshot_problem(message)
        case ReadIndexReply(index=index) if type(index) is not int or not -1 <= index <= MAX_NUMBER:
            return f"index should be a whole number from -1 to 2**63 - 1, not {_brief(index)}"
        case RequestVote() | PreVote() if message.last_term >= message.term:
            return f"a candidate of term {message.term} cannot hold term {message.last_term}"
    return ""


def _brief(value: object) -> str:
    """Return a short text for any value: its own ``repr`` may be endless, or raise."""
    if type(value) is int and value.bit_length() > 64:
        return f"one of {value.bit_length()} bits"
    return repr(value)[:60] if isinstance(value, int | float | str | None) else type(value).__name__


def _append_problem(append: AppendEntries) -> str:
    """Return what is wrong with the entries: they must be consecutive, of terms up to its own."""
    entries = append.entries
    if append.prev_term > append.term:
        return f"a leader of term {append.term} cannot hold term {append.prev_term}"
    if type(entries) is not tuple:
        return f"entries should be a tuple, not {type(entries).__name__}"
    if not entries:
        return ""
    if set(map(type, entries)) != {Entry}:
        return "not all of its entries are entries"
    columns: tuple[tuple[int, ...], tuple[int, ...], tuple[Record, ...]]
    columns = tuple(zip(*entries, strict=True))  # type: ignore[assignment]
    entry_terms, indexes, records = columns
    if set(map(type, entry_terms + indexes)) != {int}:
        return "not all of its entries are entries"
    reason = inadmissible_reason(records)
    if reason:
        return reason
    first = append.prev_index + 1
    if indexes != tuple(range(first, first + len(entries))):
        return f"its entries do not follow one by one on index {append.prev_index}"
    terms = [append.prev_term, *entry_terms, append.term]
    if terms != sorted(terms) or terms[1] < 1:
        return f"the terms of its entries, {terms[1]} to {terms[-2]}, do not fit its own"
    return ""


def _snapshot_problem(chunk: InstallSnapshot) -> str:
    if type(chunk.data) is not bytes or not isinstance(chunk.configuration, Configuration):
        return "a chunk needs bytes and a configuration"
    if zlib.crc32(chunk.data) != chunk.checksum:
        return f"the bytes of the chunk at {chunk.offset} do not match their checksum"
    if chunk.offset + len(chunk.data) > chunk.size:
        return f"a chunk at {chunk.offset} ends after the snapshot's {counted(chunk.size, 'byte')}"
    if not (chunk.last_index >= 1 and 1 <= chunk.last_term <= chunk.term):
        what = Position(chunk.last_index, chunk.last_term)
        return f"a snapshot in term {chunk.term} cannot end at {what}"
    return ""
