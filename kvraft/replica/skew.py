"""How far ahead a client's stamp may be: judged against the log and the clocks of all members.

A leader raises stamps from behind the log, so a clock that is slow does no harm.  One that is a
year fast would drag every later stamp a year ahead, and all sessions would expire at once; so there
has to be a limit.  But any clock can be wrong, the leader's own as well as a client's.  Hence two
things are asked, and one wall alone decides nothing that could stop anybody::

                  log time                          cluster time
                  │ ≤ 1,024 counts │                │ ≤ skew_millis │
    ──────────────┼────────────────┼────────────────┼───────────────┼──────────►
     raised by the leader anyway     no longer ago                   ▲
                                     than a clock says               limit, the later of both

- *Log time* is the highest stamp in the leader's log.  What is stamped at or a few counts above it
  moves it no further than any write does, whatever a clock says.  So a log that a fast clock once
  pushed ahead refuses nobody for it: writes go on at log time, until real time has caught up.
- *Cluster time* is the median of the members' clocks, the later of the two in the middle if they
  are even in number.  Followers tell their leader what their clocks say with each
  :class:`~kvraft.raft.AppendEntriesReply`; who has been silent for an election timeout does not
  count.  So one clock that is wrong among three or more that are known decides nothing.

A stamp past the limit, or one from so long before log time that the session it belongs to may have
expired, is refused together with a stamp that would do, and its client stamps the transaction anew
(client/client.py).

Invariants:

- No clock pushes log time more than ``skew_millis`` past the latest cluster time so far, except
  that a member which has not heard any other since it was elected has its own clock only.
- Nothing is kept of a clock but its last reading, and of that nothing after an election timeout.

**The bound.**  A refusal costs a put one round trip to the leader and no more: what the refusal
offers is at or below the limit until log or clocks say something else.  So while any one clock is
wrong, however wrong, each put of every client is applied in the time it takes with right clocks
plus one round trip; a client whose clock is right pays it once, if log time is ahead by the
lifetime of a session, and else never.  A clock that was set right is forgotten with its next
reading, one heartbeat later.

Sources: Kulkarni et al., *Logical Physical Clocks*, OPODIS 2014; Marzullo and Owicki, *Maintaining
the Time in a Distributed System*, PODC 1983 (a clock is judged by the others).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kvraft import clock
from kvraft.raft import AppendEntriesReply, Message
from kvraft.record import Timestamp

MAX_COUNTS_AHEAD = 1_024
"""How many stamps a client may have counted on from the newest that it heard of."""


class ClusterClock:
    """What one member knows of the members' clocks.

    ``millis`` tells its own, in milliseconds since the Unix epoch; without it there is no limit.
    ``allowed`` is how many milliseconds ahead of cluster time a stamp may be, and ``patience`` for
    how many ticks a reading of another's clock counts.
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

    def tick(self) -> None:
        """Let one tick pass."""
        self._ticks += 1

    def wall(self) -> int:
        """Return what this member's clock says, 0 if it has none."""
        return max(0, self._millis()) if self._millis is not None else 0

    def with_wall_time(self, message: Message) -> Message:
        """Return a message as it is to leave: an answer to a leader tells what this clock says."""
        if isinstance(message, AppendEntriesReply):
            return message._replace(wall_millis=self.wall())
        return message

    def note_reading(self, member: str, millis: int) -> None:
        """Take note of what another member's clock said, in milliseconds; 0 for no clock."""
        if millis:
            self.heard[member] = millis, self._ticks

    def readings(self, members: Collection[str]) -> dict[str, int]:
        """Return what is known of the clocks of ``members`` now, by name, this member's own too."""
        known = {
            name: millis
            for name, (millis, tick) in self.heard.items()
            if name in members and self._ticks - tick <= self._patience
        }
        return known if self._millis is None else {**known, self._member: self.wall()}

    def now(self, members: Collection[str]) -> Timestamp:
        """Return cluster time: the median of what is known of the clocks of ``members``."""
        readings = sorted(self.readings(members).values())
        return clock.pack(readings[len(readings) // 2]) if readings else 0

    def too_far(self, stamped: Timestamp, log: Timestamp, members: Collection[str]) -> str:
        """Return why what a client ``stamped`` so is refused at that ``log`` time, ``""`` if not.

        The answer ends a sentence that begins with the transaction.
        """
        if self._millis is None or stamped <= log + MAX_COUNTS_AHEAD:
            return ""
        ahead = clock.unpack(stamped)[0] - clock.unpack(self.now(members))[0]
        if ahead <= self._allowed:
            return ""
        names = sorted(self.readings(members))
        whose = f"the clock{'s' if len(names) > 1 else ''} of {', '.join(names)}"
        return f"was stamped {ahead} ms ahead of {whose}, and {self._allowed} at most are allowed"
