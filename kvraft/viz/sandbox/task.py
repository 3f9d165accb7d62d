"""The mission of a sitting as HTML: the goal, where it stands, its hints; and the list of missions.

It stands above the panels, the same in a notebook, a page and the playground.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from kvraft.check.missions import (
    Judge,
    Mission,
    State,
    Verdict,
    find_mission,
    load_mission,
    missions,
)
from kvraft.display import counted, listed
from kvraft.sim import MILLISECOND, Action
from kvraft.viz.sandbox.controls import button


def opened(what: Mission | str | Path) -> Mission:
    """Return a mission, the one of that name, or the one in a file whose name ends in ``.toml``.

    Raises :class:`~kvraft.errors.BadInput` if there is none, or the file has an error.
    """
    if isinstance(what, Mission):
        return what
    return load_mission(what) if str(what).endswith(".toml") else find_mission(str(what))


def goal(mission: Mission) -> str:
    """Return what is to be brought about, and under which rules, in words."""
    words = [mission.goal]
    if mission.rule_off is not None:
        words.append(f"All members have the bug “{mission.rule_off.name}”.")
    if mission.without:
        words.append(f"It is a mission without {listed(mission.without)}.")
    return " ".join(words)


def task(judge: Judge | None, verdict: Verdict | None, *, listing: bool) -> str:
    """Return the mission with its buttons, and the list of missions if it is open."""
    parts, buttons = [], []
    if judge is not None and verdict is not None:
        parts.append(words(judge, verdict))
        if verdict.state is State.OPEN:
            left = len(judge.mission.hints) - len(judge.hints)
            if left:
                buttons.append(button("hint", f"Hint ({left} left)"))
            buttons.append(button("give up", "Give up"))
        buttons.append(button("again", "Begin again"))
    buttons.append(button("missions", "Missions", pressed=listing))
    parts.append(f'<div class="kv-row">{"".join(buttons)}</div>')
    if listing:
        parts.append(_list(missions().values(), judge.mission.name if judge else ""))
    return f'<section class="kv-mission" aria-label="mission">{"".join(parts)}</section>'


def words(judge: Judge, verdict: Verdict) -> str:
    """Return the mission without anything to press."""
    mission = judge.mission
    hints = "".join(f"<li>{escape(hint)}</li>" for hint in judge.hints)
    parts = [
        f"<div>Mission {escape(mission.lesson)} · {escape(mission.title)}</div>",
        f'<div class="kv-goal">{escape(goal(mission))}</div>',
        f'<ol class="kv-hints" aria-label="hints">{hints}</ol>' if hints else "",
        f'<div class="kv-verdict" role="status" data-state="{verdict.state}">'
        f"{_sign(verdict.state)}{escape(verdict.words)}</div>",
    ]
    if verdict.state is State.OVER:
        parts.append(f'<pre class="kv-calls">{escape(_solution(mission.solution))}</pre>')
    return "".join(parts)


def _sign(state: State) -> str:
    return {State.REACHED: "✓ ", State.IMPOSSIBLE: "✗ ", State.OVER: "✗ "}.get(state, "")


def _solution(actions: Iterable[Action]) -> str:
    return "\n".join(f"{act.at / MILLISECOND:>9,.1f} ms  {act.as_python()}" for act in actions)


def _list(known: Iterable[Mission], current: str) -> str:
    rows = [
        button(
            f"mission {one.name}", str(one), says=f"{one}: {one.goal}", pressed=one.name == current
        )
        for one in known
    ]
    head = f"{counted(len(rows), 'mission')}, by lesson"
    return f'<div class="kv-head">{head}</div><div class="kv-row">{"".join(rows)}</div>'
