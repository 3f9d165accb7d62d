"""How far ahead a client's timestamp may be, judged by the log and by the clocks of all members.

A leader raises timestamps that are behind the log, so a slow clock does no harm.  A clock that is a
year fast would push every later timestamp a year ahead, and all sessions would expire at once.  So
there is a limit.  But any clock can be wrong, the leader's as well as a client's, so no single
clock decides it::

                  log time                          cluster time
                  │ ≤ 1,024 counts │                │ ≤ skew_millis │
    ──────────────┼────────────────┼────────────────┼───────────────┼──────────►
     raised by the leader anyway     no longer ago                   ▲
                                     than a clock says               limit: the later of both

- *Log time* is the highest timestamp in the leader's log.  A timestamp at log time, or a few counts
  above it, moves log time no further than any write does, whatever a clock says.  So a log that a
  fast clock once pushed ahead rejects no write for it: writes continue at log time until real time
  has caught up.
- *Cluster time* is the median of the members' clocks, the later of the middle two if their number
  is even.  Followers report their clocks to the leader with each
  :class:`~kvraft.raft.AppendEntriesReply`; a member that was silent for an election timeout does
  not count.  So one wrong clock among three or more decides nothing.

A timestamp past the limit is rejected, and so is one so far before log time that its session may
have expired.  The rejection offers a timestamp that would do, which the client gives to the
transaction (client/client.py).

Invariants:

- No clock pushes log time more than ``skew_millis`` past the latest cluster time so far.  (A leader
  that has not heard from any other member since its election has only its own clock.)
- Nothing is kept of a clock but its last reading, and that only for an election timeout.

**The bound.**  A rejection costs a put one round trip to the leader and no more, since what it
offers is within the limit until log or clocks change.  So while one clock is wrong, however wrong,
each put of every client takes one more round trip at most.  A client whose clock is right pays it
once, if log time is ahead by the lifetime of a session, and otherwise never.  Once a clock is
corrected, its error is forgotten with its next reading, one heartbeat later.

Sources: Kulkarni et al., *Logical Physical Clocks*, OPODIS 2014; Marzullo and Owicki, *Maintaining
the Time in a Distributed System*, PODC 1983 (clocks are judged by each other).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kvraft import clock
from kvraft.raft import AppendEntriesReply, Message
from kvraft.record import Timestamp

MAX_COUNTS_AHEAD = 1_024
"""How many timestamps above log time a client may have counted on to."""


class ClusterClock:
    """What one member knows of the members' clocks.

    ``millis`` returns its own, in milliseconds since the Unix epoch; without it there is no limit.
    ``allowed`` is how many milliseconds ahead of cluster time a timestamp may be; ``patience`` is
    for how many ticks a reading of another clock counts.
    """

    def __init__(
        self, member: str, millis: Callable[[], int] | None, *, allowed: int, patience: int
    ) -> None:
        self._member = member
        self._millis = millis
        self._allowed = allowed
        self._patience = patience
        self._ticks = 0
        self.heard: dict[str, tuple[int, int]] = {}
        """The last reading of each other member's clock: milliseconds, and the tick it came in."""

    def tick(self, count: int = 1) -> None:
        """Advance time by one tick, or more."""
        self._ticks += count

    def wall(self) -> int:
        """Return the time of this member's clock in milliseconds, 0 if it has none."""
        return max(0, self._millis()) if self._millis is not None else 0

    def with_wall_time(self, message: Message) -> Message:
        """Return ``message``, with the time of this clock if it is a reply to a leader."""
        if isinstance(message, AppendEntriesReply):
            # The time is the last field, and _replace takes three times as long as this.
            return AppendEntriesReply(*message[:-1], self.wall())
        return message

    def note_reading(self, member: str, millis: int) -> None:
        """Record the time of another member's clock, in milliseconds; 0 means no clock."""
        if millis:
            self.heard[member] = millis, self._ticks

    def readings(self, members: Collection[str]) -> dict[str, int]:
        """Return the known times of the clocks of ``members``, by name, this member's included."""
        known = {
            name: millis
            for name, (millis, tick) in self.heard.items()
            if name in members and self._ticks - tick <= self._patience
        }
        return known if self._millis is None else {**known, self._member: self.wall()}

    def now(self, members: Collection[str]) -> Timestamp:
        """Return cluster time: the median of the known clocks of ``members``."""
        readings = sorted(self.readings(members).values())
        return clock.pack(readings[len(readings) // 2]) if readings else 0

    def too_far(self, stamped: Timestamp, log: Timestamp, members: Collection[str]) -> str:
        """Return why timestamp ``stamped`` is rejected at log time ``log``; ``""`` if it is not.

        The result ends a sentence whose subject is the transaction.
        """
        if self._millis is None or stamped <= log + MAX_COUNTS_AHEAD:
            return ""
        ahead = clock.unpack(stamped)[0] - clock.unpack(self.now(members))[0]
        if ahead <= self._allowed:
            return ""
        names = sorted(self.readings(members))
        whose = f"the clock{'s' if len(names) > 1 else ''} of {', '.join(names)}"
        return f"was stamped {ahead} ms ahead of {whose}, and {self._allowed} at most are allowed"
