"""Equal logs, equal state: members that have applied the same entries must hold the same rows.

After each step the checker looks at the members that moved.  Of what they hold it keeps a *digest*
that does not depend on the order of rows, so that a change costs as much as what changed::

    digest = Σ hash(key, timestamp, value)   over all rows, the configuration and the sessions

    applied 17 ──► 20       keys of entries 18 … 20: each is read, its old term leaves the sum
    tables changed          by a flush, a compaction: all is read, and nothing may differ
    another replica         it restarted: all is read

A wrong apply shows at once, at the same applied index on another member.  What a flush or a merge
loses shows when the tables change, since that may change no row; where there are very many bytes,
it shows some changes later.

Invariant: only the members' public state is read, and nothing is worked out by the rules that they
follow: it is compared with what another member, or the same one before, made of the same entries.

Source: Schneider, *Implementing Fault-Tolerant Services Using the State Machine Approach*, 1990.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvraft.check.moved import News
from kvraft.check.properties import Property, Violation
from kvraft.record import Kind, TxnId
from kvraft.replica import CONFIGURATION_KEY, SESSION_PREFIX, Replica
from kvraft.sim import World
from kvraft.sstable import TableMetadata
from kvraft.transaction import SESSION_WINDOW

BYTES_A_CHANGE = 20_000
"""How many bytes are read for each change of tables, on average: all that most runs have."""
_BITS = (1 << 64) - 1


@dataclass(slots=True)
class _Held:
    """What a member held when it was last looked at: its rows by key, and their digest."""

    replica: Replica
    applied: int
    tables: tuple[TableMetadata, ...]
    rows: dict[bytes, int] = field(default_factory=dict)  # the hash of each row
    digest: int = 0
    bytes_read: int = 0  # when everything was read last
    changes: int = 0  # of tables since then

    def set(self, key: bytes, row: int | None) -> None:
        """Replace the row of a key, ``None`` for none."""
        self.digest = (self.digest - self.rows.pop(key, 0)) & _BITS
        if row is not None:
            self.rows[key] = row
            self.digest = (self.digest + row) & _BITS


class EqualityChecker:
    """Compares the members of one world; call :meth:`check_moved` after each step of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: dict[str, _Held] = {}
        self._digests: dict[int, tuple[str, int]] = {}  # by applied index: who had it first
        self.compared = 0
        """How many digests were compared with another member's."""

    def check_moved(self, news: News) -> None:
        """Check the members that did anything; raises :class:`~kvraft.check.Violation`."""
        with self._world.undisturbed(news.members):
            for name in news.members:
                replica = self._world.seats[name].replica
                if replica is None:
                    self._held.pop(name, None)
                else:
                    self._check(name, replica)

    def _check(self, name: str, replica: Replica) -> None:
        tree, held = replica.tree, self._held.get(name)
        applied, tables = tree.applied_index, tree.tables
        if held is not None and held.replica is replica:
            if held.applied == applied and held.tables is tables:
                return
            if self._follow(held, applied):
                if held.tables is not tables:
                    held.tables, held.changes = tables, held.changes + 1
                    if held.changes * BYTES_A_CHANGE >= held.bytes_read:
                        self._check_kept(name, held)
                self._compare(name, held)
                return
        held = self._held[name] = _Held(replica, applied, tables)
        self._read_all(held)
        self._compare(name, held)

    def _follow(self, held: _Held, applied: int) -> bool:
        """Read what the entries since the last look may have changed; return whether it has them.

        It has not after a snapshot, or once they left the log.
        """
        log = held.replica.raft.log
        if applied < held.applied or (
            applied > held.applied and log.first_index > held.applied + 1
        ):
            return False
        if applied > held.applied:
            keys: dict[bytes, None] = {}
            sessions: dict[bytes, None] = {}
            for entry in log.slice(held.applied + 1, applied):
                record = entry.record
                if record.kind in (Kind.PUT, Kind.DELETE):
                    keys[record.key] = None
                if record.kind is Kind.CONFIGURATION:
                    keys[CONFIGURATION_KEY] = None
                elif record.kind.is_data:
                    sessions[b"%s.%d" % (record.txn.client.encode(), record.txn.incarnation)] = None
            for key in keys:
                held.set(key, _row(held.replica, key))
            self._read_sessions(held, sessions)
            held.applied = applied
        return True

    def _read_all(self, held: _Held) -> None:
        """Read everything that the member holds."""
        held.bytes_read = 0
        for key, value in held.replica.tree.scan():
            held.bytes_read += len(key) + len(value)
            if not key.startswith(SESSION_PREFIX):
                held.set(key, _row(held.replica, key))
        self._read_sessions(held, [name.encode() for name in held.replica.machine.sessions])

    @staticmethod
    def _read_sessions(held: _Held, changed: Iterable[bytes]) -> None:
        """Read the sessions that changed, and forget those that are not there any more."""
        sessions = held.replica.machine.sessions
        there = {name.encode() for name in sessions}
        for key in [k for k in held.rows if k.startswith(SESSION_PREFIX)]:
            if key[len(SESSION_PREFIX) :] not in there:
                held.set(key, None)
        for name in changed:
            if name in there:
                held.set(SESSION_PREFIX + name, _session(held.replica, name))

    def _check_kept(self, name: str, held: _Held) -> None:
        """Check that other tables hold the same rows as those before them."""
        now = _Held(held.replica, held.applied, held.tables)
        self._read_all(now)
        if now.digest != held.digest:
            key = _difference(now.rows, held.rows)
            what = (
                f"the tables of {name} changed, and with them {key!r}, as of entry {held.applied}"
            )
            raise Violation(Property.STATE_MACHINE_SAFETY, (name,), what)
        held.changes, held.bytes_read = 0, now.bytes_read

    def _compare(self, name: str, held: _Held) -> None:
        other, digest = self._digests.setdefault(held.applied, (name, held.digest))
        self.compared += other != name
        if digest == held.digest:
            return
        before = self._held.get(other)
        where = ""
        if before is not None and before.applied == held.applied and other != name:
            where = f": they differ in {_difference(before.rows, held.rows)!r}"
        what = f"{other} and {name} have applied entries through {held.applied}, and hold "
        raise Violation(Property.STATE_MACHINE_SAFETY, (other, name), f"{what}other rows{where}")


def _row(replica: Replica, key: bytes) -> int | None:
    """Return a hash of the row of a key, ``None`` if it has no value."""
    found = replica.tree.version(key)
    if found is None or found.value is None:
        return None
    return hash((key, found.timestamp, found.value)) & _BITS


def _session(replica: Replica, name: bytes) -> int:
    """Return a hash of what a session knows."""
    client, _, incarnation = name.decode().rpartition(".")
    session = replica.machine.sessions.find(TxnId(client, int(incarnation), 0), 0)
    newest = session.newest
    window = range(max(1, newest - SESSION_WINDOW + 1), newest + 1)
    return hash((name, newest, *map(session.outcome, window))) & _BITS


def _difference(one: dict[bytes, int], other: dict[bytes, int]) -> bytes:
    """Return the first key that two members hold differently."""
    return min(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
