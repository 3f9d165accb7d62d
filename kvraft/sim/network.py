"""The simulated network: messages in flight, each with a number and a time of arrival.

The network knows which links work; the world knows the time.  As over a TCP connection, messages
on one link arrive in order, unless ``reorder`` allows them to overtake each other.

Each link has a random stream of its own, from which every message draws twice: how long it takes,
and whether it gets lost.  So what happens to one message changes no other one's luck: leave one
out of a run, and all others on all other links take as long as before.  A message that is delayed,
delivered early or copied by hand draws nothing, and leaves the order of its link.

A link may be cut in one direction, slow, lossy, or *clogged*: then messages wait at its end until
it is repaired.

Invariants:

- A message is delivered at most once.  It is lost if there is a partition between sender and
  receiver, or the link is cut, when it is sent or when it would arrive.
- The delay of a link's *n*-th message depends on the seed, the link and *n*, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import NamedTuple

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.inputs import flag, probability, whole_number
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from kvraft.record import label
from kvraft.transaction import (
    Overloaded,
    Read,
    ReadReply,
    Redirect,
    Register,
    Registered,
    Rejected,
    Reply,
    Request,
    Scan,
    ScanPage,
    Submit,
    WriteReply,
)

AnyMessage = Message | Request | Reply


class Envelope(NamedTuple):
    """A message in flight; ``arrives`` in microseconds of the world's time."""

    id: int
    arrives: int
    message: AnyMessage


class LinkState(NamedTuple):
    """What is wrong with a link in one direction, as far as anything is.

    Messages take ``slower`` microseconds longer, and ``loss`` percent of them are lost.
    """

    cut: bool = False
    clogged: bool = False
    slower: int = 0
    loss: int = 0


INTACT = LinkState()
"""The state of a link that works."""


class LinkStreams(dict[tuple[str, str], Random]):
    """The random stream of each link, by sender and receiver; made from ``seed`` on first use."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def __missing__(self, link: tuple[str, str]) -> Random:
        """Return the stream of a link that has carried nothing yet."""
        # Python seeds from a string by SHA-512, which is the same everywhere.
        stream = self[link] = Random(f"{self.seed}/link/{link[0]!a}/{link[1]!a}")
        return stream


class Network:
    """Links between all members and clients, with delays of ``fastest`` to ``slowest`` µs.

    Delays and losses are drawn from streams that derive from ``seed``.
    """

    def __init__(self, seed: int, *, fastest: int, slowest: int, reorder: bool = False) -> None:
        whole_number(fastest, "the fastest delay")
        whole_number(slowest, "the slowest delay")
        if not 0 <= fastest <= slowest:
            raise BadInput(f"a delay of {fastest} to {slowest} microseconds makes no sense")
        self.streams = LinkStreams(whole_number(seed, "a seed"))
        self._fastest, self._slowest = fastest, slowest
        self._reorder = flag(reorder, "reorder")
        self._latest: dict[tuple[str, str], int] = {}  # arrival on each link
        self._group_of: dict[str, int] = {}
        self._last_id = 0
        self._loss = 0.0
        self._links: dict[tuple[str, str], LinkState] = {}  # those that are not intact
        self.in_flight: dict[int, Envelope] = {}

    @property
    def loss(self) -> float:
        """The probability with which a message is lost."""
        return self._loss

    @loss.setter
    def loss(self, share: float) -> None:
        self._loss = probability(share, "the probability of a loss")

    def post(self, message: AnyMessage, now: int) -> Envelope:
        """Send a message at ``now``, and return it with its time of arrival."""
        self._last_id += 1
        link = (message.sender, message.to)
        share = self.streams[link].random()
        arrives = now + self._fastest + int(share * (self._slowest - self._fastest + 1))
        if self._links:
            arrives += self.link(*link).slower
        if not self._reorder:
            arrives = self._latest[link] = max(arrives, self._latest.get(link, 0))
        envelope = Envelope(self._last_id, arrives, message)
        self.in_flight[envelope.id] = envelope
        return envelope

    def repost(self, envelope: Envelope, arrives: int) -> Envelope:
        """Change when a message in flight arrives; return it as it is now."""
        self.in_flight[envelope.id] = changed = envelope._replace(arrives=arrives)
        return changed

    def copy(self, envelope: Envelope) -> Envelope:
        """Add a copy of a message in flight, which arrives right after it; return the copy."""
        self._last_id += 1
        self.in_flight[self._last_id] = copy = envelope._replace(id=self._last_id)
        return copy

    def why_lost(self, message: AnyMessage) -> str:
        """Return why a message that is sent now will not arrive, ``""`` if it will.

        Call it once for each message, whatever becomes of it: it draws from the link's stream.
        """
        luck = self.streams[message.sender, message.to].random()
        lost = luck < self._loss
        if self._links:
            lost = lost or luck * 100 < self.link(message.sender, message.to).loss
        return self.why_unreachable(message.sender, message.to) or ("loss" if lost else "")

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def why_unreachable(self, sender: str, to: str) -> str:
        """Return why nothing from ``sender`` reaches ``to`` now, ``""`` if it can."""
        if self._group_of:
            here, there = self._group_of.get(sender), self._group_of.get(to)
            if here is not None and there is not None and here != there:
                return "partition"
        cut = self._links and self.link(sender, to).cut
        return f"{sender} does not reach {to}" if cut else ""

    def link(self, sender: str, to: str) -> LinkState:
        """Return the state of the link from ``sender`` to ``to``."""
        return self._links.get((sender, to), INTACT)

    def holds(self, message: AnyMessage) -> bool:
        """Return whether a message has to wait at the end of its link, which is clogged."""
        return bool(self._links) and self.link(message.sender, message.to).clogged

    @property
    def whole(self) -> bool:
        """Whether there is no partition, and every link works."""
        return not self._group_of and not self._links

    def set_link(self, sender: str, to: str, state: LinkState) -> None:
        """Change the state of a link."""
        self._links[sender, to] = state
        if state == INTACT:
            del self._links[sender, to]

    def partition(self, groups: Collection[Collection[str]]) -> None:
        """Cut all links between different groups; names in no group keep all their links.

        The names are not checked, since a network does not know the members.
        """
        self._group_of = {name: number for number, group in enumerate(groups) for name in group}

    def heal(self) -> None:
        """Restore all links."""
        self._group_of, self._links = {}, {}

    def forget(self, name: str) -> None:
        """Forget the links of a client that was removed."""
        for link in [link for link in self.streams if name in link]:
            del self.streams[link]
            self._latest.pop(link, None)
            self._links.pop(link, None)


def summarize_message(message: AnyMessage) -> tuple[int, int, int, str]:
    """Return term, first and last entry, and a short note, for the event :class:`MessageSent`."""
    match message:
        case AppendEntries(entries=entries):
            first, last = (entries[0].index, entries[-1].index) if entries else (0, 0)
            note = f"after {message.prev_index}, commit {message.commit}"
            return message.term, first, last, note
        case AppendEntriesReply(success=True):
            return message.term, 0, 0, f"have {message.match}"
        case AppendEntriesReply():
            return message.term, 0, 0, f"mismatch, try {message.hint_index}"
        case RequestVote() | PreVote():
            return message.term, 0, 0, f"log ends {message.last_index}/{message.last_term}"
        case InstallSnapshot():
            end = message.offset + len(message.data)
            note = f"through {message.last_index}, bytes to {end} of {message.size}"
            return message.term, 0, 0, note
        case InstallSnapshotReply():
            note = "installed" if message.done else f"go on at {message.offset}"
            return message.term, 0, 0, note
        case ReadIndex():
            return message.term, 0, 0, f"read {message.token}"
        case ReadIndexReply():
            note = f"read {message.token} as of {message.index}"
            return message.term, 0, 0, note if message.index >= 0 else "not the leader"
        case TimeoutNow():
            return message.term, 0, 0, "begin an election now"
        case RequestVoteReply() | PreVoteReply():
            return message.term, 0, 0, "granted" if message.granted else "refused"
        case _:
            return 0, 0, 0, _summarize_request(message)


def _summarize_request(message: Request | Reply) -> str:
    """Return a short note on a message between a client and a member."""
    match message:
        case Register():
            return f"register {message.sender}"
        case Registered():
            return f"{message.to} is {message.to}.{message.incarnation} from now on"
        case Submit(transaction=transaction):
            count = len(transaction.records)
            return f"{transaction.id}, {count} record{'s' if count > 1 else ''}"
        case WriteReply():
            return f"{message.txn} {message.stage}"
        case Overloaded():
            return f"{message.request}: busy, ask again later"
        case Rejected():
            return f"{message.request}: refused"
        case Redirect():
            return f"{message.request}: ask {message.leader or 'somebody else'}"
        case Read():
            return label(message.key)
        case ReadReply():
            return f"as of {message.index}"
        case Scan():
            stop = label(message.stop) if message.stop is not None else "the end"
            note = f"{label(message.start) or 'the beginning'} to {stop}"
            return f"{note}, reversed" if message.reverse else note
        case ScanPage():
            more = ", more to come" if message.next is not None else ""
            return f"{counted(len(message.pairs), 'key')} as of {message.index}{more}"
