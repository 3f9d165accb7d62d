"""Planted bugs of the log: what is synced, what a crash leaves, and what a start makes of it.

Those of syncing put a careless disk between a member and its own: it leaves out, or retries, a call
that the log relies on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from kvraft.disk import Disk, is_segment
from kvraft.errors import Corruption
from kvraft.raft import Configuration, Ready
from kvraft.record import Entry, HardState, Position
from kvraft.replica import Replica
from kvraft.wal import Durability, Recovery, Wal, recover


class CarelessDisk:
    """A disk that does what the one below does, except for what a subclass changes."""

    def __init__(self, disk: Disk) -> None:
        self.below = disk

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a copy asks before there is anything
            raise AttributeError(name)
        return getattr(self.below, name)


class OnCarelessDisk(Replica):
    """A member on a careless disk."""

    careless: Callable[[Disk], CarelessDisk]

    def __init__(
        self, member: str, configuration: Configuration, disk: Disk, **options: Any
    ) -> None:
        careless = cast(Disk, self.careless(disk))
        super().__init__(member, configuration, careless, **options)


# ── syncing ─────────────────────────────────────────────────────────────────────────────────────


class _SegmentsNotSynced(CarelessDisk):
    def sync(self, name: str) -> None:
        if not is_segment(name):
            self.below.sync(name)


class SegmentsNotSynced(OnCarelessDisk):
    """Entries are acknowledged once they are written, though not synced."""

    careless = _SegmentsNotSynced


class _ManifestNotSynced(CarelessDisk):
    def sync(self, name: str) -> None:
        if not name.startswith("MANIFEST-"):
            self.below.sync(name)


class TruncatesBeforeManifest(OnCarelessDisk):
    """The log is truncated after the manifest is written and before it is synced."""

    careless = _ManifestNotSynced


class _DirectoryNotSynced(CarelessDisk):
    def sync_dir(self) -> None:
        pass


class DirectoryNotSynced(OnCarelessDisk):
    """Files are synced, and the directory that names them is not."""

    careless = _DirectoryNotSynced


class _TriesAgain(CarelessDisk):
    def sync(self, name: str) -> None:
        try:
            self.below.sync(name)
        except OSError:
            self.below.sync(name)


class FailedSyncRetried(OnCarelessDisk):
    """A sync that failed is tried again, and the second one is believed."""

    careless = _TriesAgain


class _GoesOn(CarelessDisk):
    def append(self, name: str, data: bytes) -> None:
        with suppress(OSError):
            self.below.append(name, data)


class ErrorsSwallowed(OnCarelessDisk):
    """A write that failed is taken for done."""

    careless = _GoesOn


# ── what is in the log ──────────────────────────────────────────────────────────────────────────


class EntriesBeforeTheTerm(Replica):
    """Entries are saved before the term that they came in."""

    def save(self, ready: Ready) -> bool:
        """Save entries first, and the rest of ``ready`` after them."""
        if ready.hard_state is None or not ready.entries or ready.snapshot is not None:
            return super().save(ready)
        first = super().save(ready._replace(hard_state=None))
        return first and super().save(ready._replace(entries=(), chunks=()))


class _OnlyAppends(Wal):
    def save(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        durability: Durability = Durability.SYNC,
    ) -> None:
        new = [entry for entry in entries if entry.index > self.last_index]
        super().save(hard_state, new, durability)


class ConflictsStayOnDisk(Replica):
    """What a leader supersedes is replaced in memory, and stays in the log on disk (§5.3)."""

    wal_type = _OnlyAppends


class _KeepsItsEntries(Wal):
    def reset(self, position: Position) -> None:
        if position.index > self.last_index:
            super().reset(position)


class LogOutlivesSnapshot(Replica):
    """A log keeps its entries when a snapshot replaces them, if it is long enough (Figure 13)."""

    wal_type = _KeepsItsEntries


# ── what a start makes of it ────────────────────────────────────────────────────────────────────


class _AppendsAfterTheTear(Wal):
    @classmethod
    def open(cls, disk: Disk, owner: str, *, found: Recovery | None = None, **options: Any) -> Wal:
        found = found or recover(disk, owner)
        if found.torn is not None:
            newest = found.segments[-1]
            found.segments[-1] = newest._replace(size=disk.size(newest.name))
            found.torn = None
        return super().open(disk, owner, found=found, **options)


class TornEndKept(Replica):
    """A start reads the log up to a torn end, and appends after it."""

    wal_type = _AppendsAfterTheTear


class DamageTruncated(Replica):
    """A start takes any damage for a torn end, and truncates the log there."""

    def __init__(
        self, member: str, configuration: Configuration, disk: Disk, **options: Any
    ) -> None:
        try:
            super().__init__(member, configuration, disk, **options)
        except Corruption as damage:
            if not is_segment(damage.file):
                raise
            disk.truncate(damage.file, damage.offset)
            super().__init__(member, configuration, disk, **options)


BUGS = {
    "segments not synced": SegmentsNotSynced,
    "truncates before the manifest": TruncatesBeforeManifest,
    "directory not synced": DirectoryNotSynced,
    "failed sync retried": FailedSyncRetried,
    "errors swallowed": ErrorsSwallowed,
    "entries before the term": EntriesBeforeTheTerm,
    "conflicts stay on disk": ConflictsStayOnDisk,
    "log outlives a snapshot": LogOutlivesSnapshot,
    "torn end kept": TornEndKept,
    "damage truncated": DamageTruncated,
}
"""The planted bugs of this place by name."""
