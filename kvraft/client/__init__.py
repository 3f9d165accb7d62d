"""Room."""

from kvraft.client.client import MAX_RETRY_MILLIS, RETRY_MILLIS, Client, ReadFailed
from kvraft.client.draft import DraftTransaction
from kvraft.client.ticket import Ticket
from kvraft.client.writing import Conflict

__all__ = [
    "MAX_RETRY_MILLIS",
    "RETRY_MILLIS",
    "Client",
    "Conflict",
    "DraftTransaction",
    "ReadFailed",
    "Ticket",
]
