"""Members change one step at a time: checked of every configuration that a log takes up (§6)."""

from __future__ import annotations

from kvraft.check.properties import Property
from kvraft.check.raft.seen import Members, Past, entry_at
from kvraft.raft import Configuration, Raft


class ChangeChecker:
    """Compares each configuration with the one before it, and with what members act on."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._committed_in_a_crash: set[tuple[int, int]] = set()  # configurations: index, term

    def check(self, name: str, past: Past, raft: Raft, committed: int) -> None:
        """Each configuration follows on the one before it, and the newest is in force.

        Everything through ``committed`` is known to be committed.
        """
        found = past.configurations
        for entry in past.new:
            index, before = found[-1]
            after = Configuration.from_bytes(entry.record.value)
            found.append((entry.index, after))
            if past.raft is None:  # it stood there when the member was first seen
                continue
            if index > committed and not self._committed_unseen(past, raft, found[-2]):
                what = f"takes up configuration {entry.index} before {index} is committed"
            elif not _overlap(before, after):
                what = f"goes from members {before} to {after} at once"
            else:
                continue
            self._members.fail(Property.ONE_CHANGE, (name,), f"{name} {what}")
        past.new = []
        index, newest = found[-1]
        if raft.configuration != newest:
            what = f"{name} acts on {raft.configuration}, but its log says {newest} at {index}"
            self._members.fail(Property.ONE_CHANGE, (name,), what)

    def _committed_unseen(self, past: Past, raft: Raft, place: tuple[int, Configuration]) -> bool:
        """Return whether a configuration was committed in a step that nobody saw the end of.

        A member that crashes in the middle of a step may have learned that one is committed, and
        taken up and saved the next; what it had learned is gone.  The disks know: what is committed
        is on those of a majority of each half.  They are asked when the member starts again, and
        the answer is remembered for the members that it then sends the next configuration to.
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
