"""Sessions: how every replica knows which transactions of a client it has carried out already.

A client that hears nothing sends its transaction again under the same id.  If the first copy was
applied after all, the second must change nothing and get the first one's answer.  So for each
client the replicated state holds a *session*: the outcomes of its latest transactions.  Sessions
are rows of the tree under a reserved key prefix, written together with the transaction itself:
they are flushed, recovered and replicated as everything else is.

A session remembers a window of sequence numbers::

                     newest - WINDOW                newest
    ────────────────────────┤░░░░░░░░░░░░░░░░░░░░░░░░│
       settled long ago:     outcome known, or not    not seen yet:
       never applied again   applied: apply it now    apply it now

Invariants:

- A transaction is applied at most once: if its outcome is known, or its sequence number lies below
  the window, it is not applied.
- A client sends a transaction only if all its transactions ``WINDOW`` or more numbers below are
  settled (client.py), so no transaction that somebody still waits for falls out of the window.

Source: Raft §8, thesis §6.3 (linearizable semantics; here with a bounded window).

A session as bytes: newest sequence number, then per outcome sequence, index, timestamp, each 8
bytes little-endian, in rising order of sequence.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from kvraft.record import RESERVED, Timestamp

WINDOW = 32

_NUMBER = struct.Struct("<Q")
_OUTCOME = struct.Struct("<QQQ")


class Outcome(NamedTuple):
    """Where and when a transaction took effect: its last log index and its timestamp."""

    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    timestamp: Timestamp


def session_key(client: str) -> bytes:
    """Return the key under which the tree keeps the session of ``client``."""
    return RESERVED + b"session/" + client.encode()


class Session:
    """What is known of one client's transactions."""

    def __init__(self, newest: int = 0, outcomes: dict[int, Outcome] | None = None) -> None:
        self.newest = newest
        self._outcomes = dict(outcomes or {})

    def outcome(self, sequence: int) -> Outcome | None:
        """Return how transaction ``sequence`` ended, if it was applied and is remembered."""
        return self._outcomes.get(sequence)

    def forgotten(self, sequence: int) -> bool:
        """Return whether ``sequence`` lies below the window, so that it must not be applied."""
        return sequence <= self.newest - WINDOW

    def add(self, sequence: int, outcome: Outcome) -> None:
        """Remember an outcome, and forget those that fall out of the window."""
        self.newest = max(self.newest, sequence)
        self._outcomes[sequence] = outcome
        for old in [seq for seq in self._outcomes if self.forgotten(seq)]:
            del self._outcomes[old]

    def to_bytes(self) -> bytes:
        """Return the session as the tree keeps it."""
        parts = [_NUMBER.pack(self.newest)]
        parts += [_OUTCOME.pack(seq, *self._outcomes[seq]) for seq in sorted(self._outcomes)]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes | None) -> Session:
        """Return the session that :meth:`to_bytes` gave; an empty one for ``None``."""
        if data is None:
            return cls()
        (newest,) = _NUMBER.unpack_from(data)
        rows = _OUTCOME.iter_unpack(data[_NUMBER.size :])
        return cls(newest, {seq: Outcome(index, stamp) for seq, index, stamp in rows})
