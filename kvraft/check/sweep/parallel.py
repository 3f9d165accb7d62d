"""Many runs of the swarm at once, on all cores or on a cluster of machines.

:func:`run_seeds` hands seeds to an executor, any of :mod:`concurrent.futures`' kind, and yields
results as they arrive::

    seeds ──► at most WAITING handed over ──► workers ──► results, in the order in which they end

A worker gets two small values, the settings and a seed, and returns one: settings name what every
member runs, so a worker needs nothing but this package.

Invariants:

- A result depends on its seed, the settings and the code, not on who runs it, or on what else runs.
- Memory does not grow with the number of seeds.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from kvraft.check.bugs import Bug, find_bug
from kvraft.check.sweep.faults import KINDS
from kvraft.check.sweep.replay import NONE
from kvraft.check.sweep.results import SwarmResult, result_of
from kvraft.check.sweep.swarm import ACTS, SwarmRun
from kvraft.check.sweep.twice import compare_with_child
from kvraft.errors import KvraftError

WAITING = 64
"""How many seeds are in the hands of an executor at once."""
COLLECT_AFTER = (50_000, 20, 100)
"""How rarely a worker looks for garbage: a run keeps nearly all that it makes until its end."""


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """What runs have in common, by name, so that a worker on another machine can run them.

    ``bug`` is the planted bug that every member has, ``acts`` how much clients do, and ``only`` the
    numbers of those acts that happen, if others are left out.  ``members`` is how many there are,
    three or five by chance without it.  ``faults`` are the names of the kinds that may happen, all
    of them without any.  With ``twice`` each run is repeated and compared.
    """

    bug: str = ""
    acts: int = ACTS
    members: int | None = None
    faults: tuple[str, ...] = ()
    twice: bool = False
    only: tuple[int, ...] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of the acts that happen."""
        return range(self.acts) if self.only is None else self.only

    @property
    def code(self) -> Bug:
        """The classes with the planted bug, or kvraft's own; raises ``BadInput`` as find_bug()."""
        return find_bug(self.bug) if self.bug else NONE

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for JSON."""
        only = None if self.only is None else list(self.only)
        return asdict(self) | {"faults": list(self.faults), "only": only}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SwarmSettings:
        """Return the settings that :meth:`to_dict` made."""
        only = None if data["only"] is None else tuple(data["only"])
        return cls(**data | {"faults": tuple(data["faults"]), "only": only})

    def make(self, seed: int) -> SwarmRun:
        """Return the run under ``seed``; raises ``BadInput`` for a bug that does not exist."""
        bug = self.code
        return SwarmRun(
            seed,
            replica=bug.replica,
            consensus=bug.consensus,
            client=bug.client,
            acts=self.acts,
            members=self.members,
            faults=self.faults or KINDS,
            only=self.only,
        )

    def as_options(self) -> str:
        """Return the options of ``kvraft swarm`` that set this, each after a space."""
        bug = f' --bug "{self.bug}"' if self.bug else ""
        members = f" --members {self.members}" if self.members else ""
        faults = f" --faults {','.join(self.faults)}" if self.faults else ""
        rest = members + faults + " --twice" * self.twice
        if self.only is None:
            return bug + rest
        return bug + rest + f" --acts {','.join(map(str, self.only)) or 'none'}"


def run_seed(seed: int, settings: SwarmSettings, *, keep_trace: bool = False) -> SwarmResult:
    """Run one seed and return how it went; see :func:`~kvraft.check.sweep.results.result_of`."""
    if not settings.twice:
        return result_of(settings.make(seed), keep_trace=keep_trace)
    result = result_of(settings.make(seed), keep_trace=True)
    return compare_with_child(result, replace(settings, twice=False).to_dict())


def run_seeds(
    seeds: Iterable[int], settings: SwarmSettings, executor: Executor | None = None
) -> Iterator[SwarmResult]:
    """Yield the results of ``seeds``: here and in their order, or as ``executor`` ends them.

    Who stops reading has those that have not begun cancelled.
    """
    run = partial(run_seed, settings=settings)
    if executor is None:
        yield from map(run, seeds)
        return
    left = iter(seeds)
    running: set[Future[SwarmResult]] = set()
    try:
        while True:
            running |= {executor.submit(run, seed) for seed in islice(left, WAITING - len(running))}
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


@contextlib.contextmanager
def processes(jobs: int) -> Iterator[Executor | None]:
    """Provide an executor of ``jobs`` processes on this machine, ``None`` for one: it is this.

    They are new processes rather than forks, so they are the same on every system.  They leave
    Ctrl-C to the caller, and do not outlive it: what they have begun is given up.
    """
    if jobs == 1:
        yield None
        return
    # A browser's Python has no processes: there, what is above must work without them.
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    others = set(active_children())
    executor = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker)
    try:
        yield executor
    except KeyboardInterrupt:
        for child in set(active_children()) - others:
            child.terminate()
        raise
    except BrokenProcessPool:
        what = "a process that ran a seed was killed, maybe for want of memory"
        raise KvraftError(f"{what}: try fewer at once") from None
    finally:
        executor.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the caller, and end when the caller does, even if it is killed."""
    gc.set_threshold(*COLLECT_AFTER)
    from multiprocessing import parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    caller = parent_process()
    assert caller is not None

    def end_with_it() -> None:
        caller.join()
        os._exit(1)

    Thread(target=end_with_it, daemon=True).start()
