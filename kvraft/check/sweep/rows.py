"""What clients of the swarm keep true of their keys, so that no model is needed to see it broken.

The sum of all accounts never changes, a large transaction is there in full or not at all, and a
counter counts every acknowledged increment once.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.check.history import WriteCall
from kvraft.check.properties import Violation
from kvraft.replica import Replica
from kvraft.transaction import Stage

ACCOUNTS = tuple(b"account/%d" % number for number in range(4))
BALANCE = 100
FILLED = tuple((account.decode(), str(BALANCE)) for account in ACCOUNTS)
"""What the bank writes first; without it, nothing is demanded of the accounts."""
LARGE = tuple(b"large/%02d" % number for number in range(40))
COUNTER = b"counter"


def check_rows(name: str, rows: dict[bytes, bytes]) -> None:
    """Check all ``rows`` of the member ``name``."""
    balances = [int(rows[key]) for key in ACCOUNTS if key in rows]
    if balances and (len(balances) < len(ACCOUNTS) or sum(balances) != BALANCE * len(ACCOUNTS)):
        raise Violation("all or none", (name,), f"the accounts of {name} hold {balances}")
    large = {rows.get(key) for key in LARGE}
    if len(large) > 1:
        what = f"{name} holds {len(large)} different values of one large transaction"
        raise Violation("all or none", (name,), what)


def check_counter(replica: Replica, writes: Iterable[WriteCall]) -> None:
    """Check that a member counted every acknowledged increment among ``writes`` once."""
    tickets = [call.ticket for call in writes]
    stages = [
        ticket.stage
        for ticket in tickets
        if {record.key for record in ticket.transaction.records} == {COUNTER}
    ]
    surely, maybe = stages.count(Stage.APPLIED), stages.count(Stage.UNKNOWN)
    name, value = replica.member, int(replica.tree.get(COUNTER) or 0)
    if not surely <= value <= surely + maybe:
        what = f"{name} counted {value}, but {surely} increments were acknowledged and "
        what += f"{maybe} ended unknown"
        raise Violation("exactly once", (name,), what)
