"""The benchmarks by name, and how one is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kvraft.bench import consensus, python, replica, storage, world
from kvraft.bench.measure import Part
from kvraft.bench.result import Result, facts
from kvraft.bench.rounds import KVRAFT, Round, Side, compare, other_version
from kvraft.display import counted, listed
from kvraft.errors import BadInput

PARTS: dict[str, Part] = {
    "storage": storage.PART,
    "replica": replica.PART,
    "consensus": consensus.PART,
    "world": world.PART,
    "python": python.PART,
}
"""What can be measured."""

ROUNDS = 5


def run(
    name: str,
    *,
    rounds: int = ROUNDS,
    records: int | None = None,
    peers: Sequence[str] | None = None,
    against: Path | None = None,
    wall: bool = False,
    watch: Callable[[Iterator[Round]], Iterable[Round]] = iter,
) -> Result:
    """Run the benchmark ``name`` of :data:`PARTS`, and return what it found.

    ``peers`` are those to compare with, ``None`` all that are installed.  ``against`` is the
    directory of another version of kvraft to compare with.  ``watch`` sees each round that is done.

    Raises :class:`~kvraft.errors.BadInput` for anything that cannot be measured.
    """
    part = PARTS[name]
    count = part.records if records is None else records
    if count < part.least:
        raise BadInput(f"{name} cannot be measured with fewer than {counted(part.least, 'record')}")
    sides = [Side(KVRAFT)]
    if against is not None:
        sides.append(other_version(against))
    sides += [Side(peer, peer=peer) for peer in chosen_peers(part, peers)]
    measured = tuple(watch(compare(name, sides, rounds, count)))
    title = f"{part.title}, {counted(count, 'record')}"
    return Result(name, title, tuple(side.name for side in sides), measured, facts(), wall)


def chosen_peers(part: Part, wanted: Sequence[str] | None) -> list[str]:
    """Return the peers to measure: those that are wanted, or all that are installed.

    Raises :class:`~kvraft.errors.BadInput` for one that is unknown or not installed.
    """
    known = part.peers()
    if wanted is None:
        return [name for name, missing in known.items() if not missing]
    for name in wanted:
        if name not in known:
            names = f"there are {listed(known)}" if known else "there are none"
            raise BadInput(f"there is no peer {name!r} to compare with: {names}")
        if known[name]:
            raise BadInput(f"{name} is not installed: pip install {known[name]}")
    return list(wanted)
