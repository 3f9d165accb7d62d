"""The verbs of clients: what one is asked for, without waiting for the outcome.

A client remembers what it submitted and what it last read through these verbs, so that a later one
can refer to it::

    get   ──► the last answer for each key ──► increment, write with reads: applied only if
                                               nobody wrote these keys since
    write ──► tickets, counted from 1      ──► retry
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.client import TIMEOUT_MILLIS, PendingRead, Ticket
from kvraft.errors import BadInput
from kvraft.events import OperationRequested
from kvraft.record import label
from kvraft.sim.runs.action import as_data
from kvraft.sim.runs.parameters import MOST, Parameter, ParameterKind
from kvraft.sim.runs.verb import Target, Verb
from kvraft.sim.world import World
from kvraft.transaction import PAGE_ROWS, ReadReply, Stage, check_key, check_write

Pairs = Sequence[tuple[str, str | None]]

# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def _no_write(
    world: World, client: str, pairs: Pairs, reads: Sequence[str] = (), timeout: int = 0
) -> str:
    if not pairs:
        return "a transaction needs at least one write"
    try:
        for key, value in pairs:
            check_write(as_data(key), None if value is None else as_data(value))
    except BadInput as error:
        return str(error)
    return _not_read(world, client, reads)


def _write(
    world: World, client: str, pairs: Pairs, reads: Sequence[str], timeout: int = TIMEOUT_MILLIS
) -> Ticket:
    """Have a client submit ``pairs`` as one transaction, which depends on ``reads``."""
    _report_write(world, client, pairs)
    draft = world.client(client).transaction(lambda key: _answer(world, client, key))
    for key in reads:
        draft.get(as_data(key))
    for key, value in pairs:
        draft.delete(as_data(key)) if value is None else draft.put(as_data(key), as_data(value))
    return _submitted(world, client, draft.submit(timeout=timeout))


def _report_write(world: World, client: str, pairs: Pairs) -> None:
    words = [key if value is None else f"{key}={value:.20}" for key, value in pairs]
    world.report(client, OperationRequested("write", " ".join(words)[:200]))


def _submitted(world: World, client: str, ticket: Ticket) -> Ticket:
    world.hosts.tickets.setdefault(client, []).append(ticket)
    return ticket


def _write_large(
    world: World, client: str, keys: int, value: str, times: int, timeout: int
) -> Ticket:
    """Have a client submit one transaction of many keys and long values."""
    pairs = [(f"large/{number:02}", value * times) for number in range(keys)]
    _report_write(world, client, pairs)
    writes = [(as_data(key), as_data(text)) for key, text in pairs]
    return _submitted(world, client, world.client(client).submit(writes, timeout=timeout))


def _answer(world: World, client: str, key: bytes) -> ReadReply:
    """Return what a client last read of a key; refused before if it read nothing."""
    answer = world.hosts.answers[client, key].answer
    assert isinstance(answer, ReadReply)
    return answer


def _not_read(world: World, client: str, keys: Sequence[str]) -> str:
    for key in keys:
        read = world.hosts.answers.get((client, as_data(key)))
        if read is None or not isinstance(read.answer, ReadReply) or read.answer.error:
            return f"{client} has not read {key!r:.60}, or is still at it"
    return ""


def _no_increment(world: World, client: str, amounts: Pairs, timeout: int) -> str:
    keys = [key for key, _ in amounts]
    if why := _no_write(world, client, amounts, keys):
        return why
    values = [_answer(world, client, as_data(key)).value or b"0" for key in keys]
    for text in [amount or "" for _, amount in amounts] + [label(value) for value in values]:
        if not text.removeprefix("-").isdecimal() or len(text) > 20:
            return f"{text!r:.60} is not a number that could be added"
    return ""


def _increment(world: World, client: str, amounts: Pairs, timeout: int) -> Ticket:
    """Have a client add amounts to what it last read."""
    pairs = []
    for key, amount in amounts:
        before = int(_answer(world, client, as_data(key)).value or b"0")
        pairs.append((key, str(before + int(amount or 0))))
    return _write(world, client, pairs, [key for key, _ in amounts], timeout)


def _no_retry(world: World, client: str, number: int, timeout: int) -> str:
    tickets = world.hosts.tickets.get(client, [])
    if number > len(tickets):
        return f"{client} has submitted {len(tickets)} transactions so far"
    ticket = tickets[number - 1]
    ended = ticket.stage in (Stage.ABORTED, Stage.UNKNOWN)
    return "" if ended else f"{ticket.txn} is {ticket.stage}: there is nothing to retry"


def _retry(world: World, client: str, number: int, timeout: int) -> None:
    ticket = world.hosts.tickets[client][number - 1]
    world.report(client, OperationRequested("retry", str(ticket.txn)))
    world.client(client).retry(ticket, timeout=timeout)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def _no_get(
    world: World, client: str, key: str, member: str, stale: bool, at: int, timeout: int
) -> str:
    if stale and not member:
        return "a stale read needs the name of a member"
    try:
        check_key(as_data(key))
    except BadInput as error:
        return str(error)
    return ""


def _get(
    world: World, client: str, key: str, member: str, stale: bool, at: int, timeout: int
) -> PendingRead:
    """Have a client read a key."""
    world.report(client, OperationRequested("read at" if at else "read", key))
    read = world.client(client).start_read(
        as_data(key), at=at or None, member=member or None, stale=stale, timeout=timeout
    )
    if not at:
        world.hosts.answers[client, as_data(key)] = read
    return read


def _no_scan(world: World, client: str, start: str, stop: str, *more: object) -> str:
    try:
        for bound in (start, stop):
            check_key(as_data(bound))
    except BadInput as error:
        return str(error)
    wrong = stop and as_data(start) > as_data(stop)
    return f"a scan from {start!r:.60} cannot end before it, at {stop!r:.60}" if wrong else ""


def _scan(
    world: World,
    client: str,
    start: str,
    stop: str,
    rows: int,
    reverse: bool,
    member: str,
    at: int,
    timeout: int,
) -> PendingRead:
    """Have a client read a page of keys."""
    world.report(client, OperationRequested("scan", f"{start} to {stop}" if stop else start))
    return world.client(client).start_page(
        as_data(start),
        as_data(stop) or None,
        reverse=reverse,
        at=at or None,
        member=member or None,
        page_rows=rows,
        timeout=timeout,
    )


# ── the client itself ───────────────────────────────────────────────────────────────────────────


def _no_dismissal(world: World, client: str) -> str:
    if client not in world.clients:
        return f"there is no client called {client}"
    return f"{client} waits for something" if world.clients[client].busy else ""


def _dismiss(world: World, client: str) -> None:
    world.dismiss(client)
    world.report(client, OperationRequested("leave", "the cluster"))


CLIENT = Parameter("client", ParameterKind.CLIENT)
KEY = Parameter("key", ParameterKind.TEXT)
WRITES = Parameter("writes", ParameterKind.WRITES)
FROM = Parameter("member", ParameterKind.MEMBER, "")
AT = Parameter("at", ParameterKind.NUMBER, 0, most=1 << 62)
"""A timestamp; 0 for now."""
TIMEOUT = Parameter("timeout", ParameterKind.NUMBER, TIMEOUT_MILLIS, most=MOST)
"""Milliseconds after which the client gives up."""

CLIENT_VERBS = (
    Verb(
        "put",
        Target.CLIENT,
        (CLIENT, KEY, Parameter("value", ParameterKind.TEXT)),
        "Have a client set a key to a value, without waiting for the outcome.",
        lambda world, client, key, value: _write(world, client, [(key, value)], ()),
        lambda world, client, key, value: _no_write(world, client, [(key, value)]),
    ),
    Verb(
        "delete",
        Target.CLIENT,
        (CLIENT, KEY),
        "Have a client delete a key, without waiting for the outcome.",
        lambda world, client, key: _write(world, client, [(key, None)], ()),
        lambda world, client, key: _no_write(world, client, [(key, None)]),
    ),
    Verb(
        "write",
        Target.CLIENT,
        (CLIENT, WRITES, Parameter("reads", ParameterKind.TEXTS, ()), TIMEOUT),
        "Have a client submit a transaction, without waiting for the outcome; it is applied only "
        "if nobody wrote the keys that it read since the client read them.",
        _write,
        _no_write,
    ),
    Verb(
        "get",
        Target.CLIENT,
        (CLIENT, KEY, FROM, Parameter("stale", ParameterKind.FLAG, False), AT, TIMEOUT),
        "Have a client read a key, from the leader or from a member, which asks the leader first "
        "unless a stale value will do; without waiting for the outcome.",
        _get,
        _no_get,
    ),
    Verb(
        "scan",
        Target.CLIENT,
        (
            CLIENT,
            Parameter("start", ParameterKind.TEXT, ""),
            Parameter("stop", ParameterKind.TEXT, ""),
            Parameter("rows", ParameterKind.NUMBER, PAGE_ROWS, least=1),
            Parameter("reverse", ParameterKind.FLAG, False),
            FROM,
            AT,
            TIMEOUT,
        ),
        "Have a client read a page of keys, without waiting for the outcome.",
        _scan,
        _no_scan,
        offered=False,
    ),
    Verb(
        "increment",
        Target.CLIENT,
        (CLIENT, Parameter("amounts", ParameterKind.WRITES), TIMEOUT),
        "Have a client add numbers to keys, as it last read them; applied only if nobody wrote "
        "them since.",
        _increment,
        _no_increment,
        offered=False,
    ),
    Verb(
        "write_large",
        Target.CLIENT,
        (
            CLIENT,
            Parameter("keys", ParameterKind.NUMBER, 40, least=1, most=100),
            Parameter("value", ParameterKind.TEXT, "x"),
            Parameter("times", ParameterKind.NUMBER, 20, least=1, most=10_000),
            TIMEOUT,
        ),
        "Have a client submit one transaction of many keys, each with a value so many times over.",
        _write_large,
        lambda world, client, *what: "",
        offered=False,
    ),
    Verb(
        "retry",
        Target.CLIENT,
        (CLIENT, Parameter("number", ParameterKind.NUMBER, least=1), TIMEOUT),
        "Have a client try again what it submitted as its first, second, … transaction, if that "
        "ended aborted or unknown.",
        _retry,
        _no_retry,
        offered=False,
    ),
    Verb(
        "dismiss",
        Target.CLIENT,
        (CLIENT,),
        "Remove a client that waits for nothing; another one may take its name.",
        _dismiss,
        _no_dismissal,
        offered=False,
    ),
)
