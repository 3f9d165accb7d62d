"""Planted bugs of clocks: timestamp order is to be log order, whatever any clock says."""

from __future__ import annotations

from collections.abc import Sequence

from kvraft import clock
from kvraft.record import Entry, Timestamp
from kvraft.replica import Replica, WriteDesk


class StampsNotRaised(Replica):
    """A leader appends the timestamps of clients unchanged, whatever their clocks say."""

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return ``timestamp``."""
        return timestamp


class StampsTie(Replica):
    """A leader raises a timestamp to that of the transaction before it, and not above it."""

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return ``timestamp``, or log time if that is higher."""
        return max(timestamp, self.log_time)


class StampsByTheWall(Replica):
    """A member stamps what it applies by its own clock, so that members hold different stamps."""

    def take(self, entry: Entry) -> None:
        """Apply ``entry`` with the time at which it is applied."""
        record = entry.record
        if record.kind.is_data and record.commit and self.millis is not None:
            record = record._replace(timestamp=clock.pack(self.millis()))
        super().take(entry._replace(record=record))


class _ForgetsLogTime(WriteDesk):
    def note_stamps(self, entries: Sequence[Entry]) -> None:
        """Do nothing."""


class LogTimeForgotten(Replica):
    """A leader raises timestamps above its own and those in tables, not above all in its log."""

    write_desk = _ForgetsLogTime


BUGS = {
    "stamps not raised": StampsNotRaised,
    "stamps tie": StampsTie,
    "stamps by the wall": StampsByTheWall,
    "log time forgotten": LogTimeForgotten,
}
"""The planted bugs of this place by name."""
