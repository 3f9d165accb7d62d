"""A branch: one run, or one recorded trace, with its film; it can be played on, and forked.

Invariant: only the world of a run goes on.  A recorded trace has time, but no verbs.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.errors import BadInput, TimedOut
from kvraft.events import Trace
from kvraft.sim import MILLISECOND, Run
from kvraft.viz.sandbox.film import BROKEN, Film

MOST_STEPS = 20_000
"""How many microseconds a jump runs through at most."""


class Branch:
    """``run``, or a recorded ``trace``, under a name; ``origin`` says where it comes from."""

    def __init__(self, name: str, run: Run | None, film: Film, origin: str = "") -> None:
        self.name = name
        self.run = run
        self.film = film
        self.origin = origin
        self.step = max(len(film) - 1, 0)
        """The step that is shown."""
        self._fork: tuple[int, int, Run] | None = None
        if run is not None:
            film.glance(run.world)

    @classmethod
    def of(cls, name: str, what: Run | Trace) -> Branch:
        """Return a branch of a run, shown as it is now, or of a trace.

        A trace is shown from its start, or where a property broke, if one did.
        """
        if isinstance(what, Run):
            return cls(name, what, Film(what.trace))
        branch = cls(name, None, Film(what), "recorded")
        broke = branch.film.moments[BROKEN]
        branch.step = branch.film.settled(broke[0] if broke else 0) if len(what) else 0
        return branch

    @property
    def last(self) -> int:
        """The last step there is by now."""
        return max(len(self.film) - 1, 0)

    @property
    def at_end(self) -> bool:
        """Whether the last step is shown."""
        return self.step >= self.last

    @property
    def now(self) -> int:
        """The time that is shown, in microseconds."""
        if not len(self.film):
            return 0
        if self.run is not None and self.at_end:
            return self.run.now
        return self.film.trace[self.step].at

    # ── moving ──────────────────────────────────────────────────────────────────────────────────

    def go(self, step: int) -> None:
        """Show the microsecond of ``step``; steps beyond the ends mean the ends."""
        if len(self.film):
            self.step = self.film.settled(min(max(step, 0), self.last))

    def back(self) -> None:
        """Show the microsecond before."""
        if len(self.film):
            self.step = self.film.before(self.step)

    def forward(self) -> bool:
        """Show the next microsecond in which anything happens; return whether there is one."""
        if not self.at_end:
            self.step = self.film.settled(self.step + 1)
            return True
        count = len(self.film)
        self._run_until(lambda: len(self.film.trace) > count)
        return len(self.film) > count

    def run_for(self, millis: int) -> None:
        """Let time pass, from the moment that is shown."""
        until = self.now + millis * MILLISECOND
        while not self.at_end and self.film.trace[self.film.settled(self.step + 1)].at <= until:
            self.step = self.film.settled(self.step + 1)
        if self.at_end and self.run is not None and self.run.now < until:
            run, time = self.run, self.run.world.time
            self._run_until(lambda: time.next is None or time.next > until)
            run.run_for((until - run.now) // MILLISECOND)
            self.look()

    def jump(self, kind: str, *, back: bool = False) -> bool:
        """Show the next moment of that kind, or the one before; return whether there is one.

        A run goes on until there is one, for a while.
        """
        found = self.film.jump(kind, self.step, back=back)
        if found is None and not back and self.run is not None:
            start = self.last
            self.step = start
            self._run_until(lambda: self._arrived(kind, start))
            found = self.film.jump(kind, start)
        if found is not None:
            self.go(found)
        return found is not None

    def _arrived(self, kind: str, start: int) -> bool:
        self.film.follow()
        return self.film.jump(kind, start) is not None

    def _run_until(self, condition: Callable[[], bool]) -> None:
        """Run until ``condition`` holds or nothing will ever happen, for a while."""
        if self.run is None:
            return
        for _ in range(MOST_STEPS):
            if condition():
                break
            try:
                self.run.step()
            except TimedOut:
                break
            self.film.glance(self.run.world)
        self.look()

    def look(self) -> None:
        """Show the run as it is now: somebody let it go on."""
        if self.run is not None:
            self.film.glance(self.run.world)
            self.film.hurry(self.run.world)
        self.film.follow()
        self.step = self.last

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def here(self) -> Run:
        """Return the run as it is at the moment that is shown: itself, or a fork of it.

        Raises :class:`~kvraft.errors.BadInput` if this is a recording.
        """
        if self.run is None:
            raise BadInput("this is a recording: it can be watched, but not changed")
        if self.at_end:
            return self.run
        if self._fork is None or self._fork[:2] != (self.step, self.last):
            self._fork = (self.step, self.last, self.run.fork(self.step))
        return self._fork[2]

    def fork(self, name: str) -> Branch:
        """Return a branch that goes on from the moment that is shown, under another name."""
        twin = self.here()
        if twin is self.run:
            twin = self.run.fork()
        self._fork = None
        origin = f"from {self.name} at {self.now / MILLISECOND:,.1f} ms"
        return Branch(name, twin, self.film.fork(twin.trace), origin)
