"""The database client: it names and stamps transactions, finds the leader, and retries.

Replication is not a request and a response.  A write moves through stages, and its client may lose
sight of it at any of them, so :meth:`Client.submit` returns a :class:`Ticket`::

    QUEUED ──► SENT ──► APPENDED ──► COMMITTED ──► APPLIED      on the leader's disk; on a
                ▲  ╲        │                                   majority; in the memtable
                │   ╲       ├─► ABORTED    certainly without effect
                │    ╲──────┴─► UNKNOWN    the client cannot know, and has given up
                └─ DISCARDED ◄┘            that copy is dead: the client sends another

The files, from a user's calls down::

    client.py        Client: registers, sends, retries, and handles replies
     ├─ writing.py   put, write, transactions: calls that wait for a ticket
     │   └─ draft.py     a transaction with reads, while it is put together
     ├─ reading.py   get, scan and pages
     ├─ route.py     which member to ask
     ├─ ticket.py    pending requests, and the ticket of a write
     └─ runtime.py   what a client needs of the world it runs in

Invariants:

- One id, one transaction: what is sent again has the same records.  The id is final from the first
  sending on; sequence numbers only rise.  The timestamp changes only after a rejection for it, and
  only if every copy was rejected or discarded.
- A reply counts only for the request with its number or id, which no other request ever had.  What
  is still on its way to an earlier client of the same name is ignored.
- A transaction is sent only when all those :data:`~kvraft.transaction.SESSION_WINDOW` or more
  sequence numbers before it are settled, so that the session of every replica still knows it.
- APPLIED is reported only when a replica reports it; ABORTED only if every copy that was sent is
  known to be rejected or discarded.  (A link may lose messages, but must not deliver one twice.)
- A rejection for a clock does not end a write: it costs a round trip (replica/skew.py).

Sources: Raft §8, thesis §6.2 (finding the leader), §6.3 (retries).
"""

from kvraft.client.client import RETRY_MILLIS, Client
from kvraft.client.draft import DraftTransaction
from kvraft.client.reading import ReadFailed, next_page
from kvraft.client.ticket import MAX_RETRY_MILLIS, TIMEOUT_MILLIS, PendingRead, Ticket
from kvraft.client.writing import Conflict, WriteFailed

__all__ = [
    "MAX_RETRY_MILLIS",
    "RETRY_MILLIS",
    "TIMEOUT_MILLIS",
    "Client",
    "Conflict",
    "DraftTransaction",
    "PendingRead",
    "ReadFailed",
    "Ticket",
    "WriteFailed",
    "next_page",
]
