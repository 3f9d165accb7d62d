"""Changes of members: every configuration that enters a log is checked against the last (Raft §6).

Two rules make a change safe: it starts after the one before it is committed, and any quorum of the
configuration before meets any quorum of the one after.
"""

from __future__ import annotations

from kvraft.check.properties import Property
from kvraft.check.raft.observed import ObservedMembers, PreviousState, entry_at
from kvraft.raft import Configuration, Raft


class ChangeChecker:
    """Compares each configuration with the one before it, and with the one that members use."""

    def __init__(self, members: ObservedMembers) -> None:
        self._members = members
        self._committed_in_a_crash: set[tuple[int, int]] = set()  # configurations: index, term

    def check(self, name: str, past: PreviousState, raft: Raft, committed: int) -> None:
        """Check the new configurations of a member, and that it uses the newest in its log.

        Everything through ``committed`` is known to be committed.
        """
        found = past.configurations
        for entry in past.new:
            index, before = found[-1]
            after = Configuration.from_bytes(entry.record.value)
            found.append((entry.index, after))
            if past.raft is None:  # it was in the log when the member was first seen
                continue
            if index > committed and not self._committed_unseen(past, raft, found[-2]):
                what = f"adopts configuration {entry.index} before {index} is committed"
            elif not _overlap(before, after):
                what = f"changes from members {before} to {after} in one step"
            else:
                continue
            self._members.fail(Property.ONE_CHANGE, (name,), f"{name} {what}")
        past.new = []
        index, newest = found[-1]
        if raft.configuration != newest:
            what = f"{name} uses {raft.configuration}, but its log has {newest} at {index}"
            self._members.fail(Property.ONE_CHANGE, (name,), what)

    def _committed_unseen(
        self, past: PreviousState, raft: Raft, place: tuple[int, Configuration]
    ) -> bool:
        """Return whether a configuration was committed in a step that a crash cut short.

        A member that crashes in the middle of a step may have learned that a configuration is
        committed, and have saved the next one; what it learned is lost.  The disks show it: a
        committed entry is on those of a majority of each half.  They are compared when the member
        restarts, and the result is kept for the members that it then sends the next one to.
        """
        index, configuration = place
        if index <= raft.log.base.index:
            return False
        entry = entry_at(raft.log, index)
        if (entry.index, entry.term) in self._committed_in_a_crash:
            return True
        seen = raft is not past.raft and all(
            2 * sum(self._members.holds(voter, entry) for voter in voters) > len(voters)
            for voters in (configuration.voters, configuration.outgoing)
            if voters
        )
        if seen:
            self._committed_in_a_crash.add((entry.index, entry.term))
        return seen


def _overlap(before: Configuration, after: Configuration) -> bool:
    """Return whether each quorum of ``before`` meets each of ``after``, by the rules of §6."""
    if before.joint:
        return not after.joint and sorted(after.voters) == sorted(before.voters)
    kept = after.outgoing if after.joint else after.voters
    return sorted(kept) == sorted(before.voters)
