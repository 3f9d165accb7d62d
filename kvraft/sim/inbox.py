"""What a member takes from its inbox: each message has a call of the replica that takes it."""

from __future__ import annotations

from typing import get_args

from kvraft.errors import BadInput
from kvraft.raft import Message
from kvraft.replica import Replica
from kvraft.sim.network import AnyMessage
from kvraft.transaction import (
    Overloaded,
    Read,
    ReadReply,
    Redirect,
    Register,
    Registered,
    Rejected,
    Scan,
    ScanPage,
    Submit,
    WriteReply,
)

FROM_MEMBERS = get_args(Message)


def is_message(message: AnyMessage | None) -> bool:
    """Return whether an input is a message, and not a tick."""
    return message is not None


def give(replica: Replica, message: AnyMessage | None) -> None:
    """Give a replica a message, or a tick if it is ``None``."""
    if isinstance(message, FROM_MEMBERS):  # most are
        replica.receive(message)
        return
    match message:
        case None:
            replica.tick()
        case Register():
            replica.register(message)
        case Submit():
            replica.submit(message)
        case Read() | Scan():
            replica.read(message)
        case (
            Registered()
            | WriteReply()
            | Redirect()
            | Overloaded()
            | Rejected()
            | ReadReply()
            | ScanPage()
        ):
            raise BadInput(f"{message} is for a client, not for a member")
        case _:
            replica.receive(message)
