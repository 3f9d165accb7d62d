"""A run in pictures, with buttons: what the page shows."""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.sim import Run
from kvraft.viz.panels import cluster_view, log_view
from kvraft.viz.svg import escape
from kvraft.viz.trace import TraceHistory, summary

ACTS = {
    "put": "Put a value",
    "on": "100 ms on",
    "crash": "Crash the leader",
    "restart": "Restart those that are down",
}


class Stage:
    """Shows ``run``, by default a new one in which a leader was just elected."""

    def __init__(self, run: Run | None = None) -> None:
        if run is None:
            run = Run(3, seed=1)
            run.run_until(lambda: run.world.leader() is not None)
        self.run = run
        self._seq = 0

    def fields(self) -> dict[str, object]:
        """Return what the module of the page shows."""
        history = TraceHistory(self.run.trace)
        step = len(self.run.trace) - 1
        buttons = "".join(
            f'<button type="button" data-act="{act}">{words}</button> '
            for act, words in ACTS.items()
        )
        html = (
            f"<p>{buttons}</p><h2>{escape(summary(history, step))}</h2>"
            f"{cluster_view(history, step)}{log_view(history, step)}"
        )
        return {"html": html, "seq": self._seq}

    def handle(self, content: object) -> None:
        """Do what was clicked: ``{"act": …, "seq": …}``."""
        if not isinstance(content, dict) or content.get("act") not in ACTS:
            raise BadInput(f"the page sent what is not an action: {content!r:.60}")
        run, act = self.run, content["act"]
        if act == "put":
            run.act("put", "ann", "color", f"red {len(run.actions)}")
        elif act == "crash":
            leader = run.world.leader()
            if leader is None:
                raise BadInput("nobody leads right now")
            run.act("crash", leader)
        elif act == "restart":
            for name in set(run.world.members) - set(run.world.replicas):
                run.act("restart", name)
        run.run_for(100)
        self._seq = content["seq"]
