"""All kinds of faults, by the names that ``kvraft swarm --faults`` takes."""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.check.sweep.faults import cluster, disks, leaders, members, network
from kvraft.check.sweep.faults.plan import Fault, Faults
from kvraft.errors import BadInput


def at_starts(faults: Faults) -> bool:
    """Do nothing now: the power is cut whenever a member starts (:meth:`Faults.restart`)."""
    return False


KINDS: dict[str, Fault] = {
    "crash": members.crash,
    "crash-in-drain": members.crash_in_drain,
    "stay-away": members.stay_away,
    "power-cut": members.cut_power,
    "power-cut-at-start": at_starts,
    "beheading": members.behead,
    "crash-loop": members.crash_loop,
    "rolling-restart": members.restart_all,
    "pause": members.pause,
    "freeze": members.freeze,
    "time-out": members.time_out,
    "disk-error": disks.break_disk,
    "read-error": disks.fail_to_read,
    "full-disk": disks.fill,
    "slow-disk": disks.slow,
    "lost-disk": disks.lose,
    "old-copy": disks.bring_old_copy,
    "rot": disks.rot,
    "lying-sync": disks.lie_about_syncs,
    "misdirected-write": disks.misdirect,
    "stale-sector": disks.go_stale,
    "partition": network.partition,
    "isolation": network.isolate,
    "churn": network.churn,
    "diverging": network.diverge,
    "short-lived": network.overthrow,
    "ring": network.ring,
    "bridge": network.bridge,
    "one-way": network.one_way,
    "severed-link": network.sever,
    "flapping": network.flap,
    "slow-link": network.slow_link,
    "deaf-leader": network.deafen,
    "lossy-link": network.lossy_link,
    "clogging": network.clog,
    "loss": network.lose_messages,
    "lost-answers": network.lose_answers,
    "duplicates": network.duplicate,
    "reordering": network.reorder,
    "usurped": leaders.usurp,
    "overtaken": leaders.overtake,
    "missed-election": leaders.miss_election,
    "members": cluster.change_members,
    "split-change": cluster.split_change,
    "transfer": cluster.transfer,
    "outlived": cluster.outlive,
    "clock": cluster.set_clock,
    "clock-drift": cluster.drift,
}
"""What each kind does, by its name."""


def fault_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``names``, each once; raise ``BadInput`` for one that no kind of fault has."""
    found = tuple(dict.fromkeys(names))
    if unknown := [name for name in found if name not in KINDS]:
        raise BadInput(f"there is no fault called {', '.join(unknown)}: {', '.join(KINDS)}")
    return found
