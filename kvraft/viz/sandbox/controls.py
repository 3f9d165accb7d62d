"""The HTML around the panels: title, time, branches, verbs, and what was done.

Everything that can be pressed has ``data-act``, which the module in the page sends back; nothing
here knows what it does.  A button that cannot be pressed now is grey, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

from kvraft.viz.sandbox.branches import Branch
from kvraft.viz.sandbox.choices import Choice
from kvraft.viz.sandbox.film import MOMENTS
from kvraft.viz.sandbox.title import moment

KEYS = 'data-lm-suppress-shortcuts="true"'
SLOTS = ("style", "mission", "title", "notice", "time", "branches")
"""The slots above the panels."""
BELOW = ("calls",)
"""Those below them; the verbs stand in the middle, next to the first two panels."""


def css() -> str:
    """Return the style sheet of the sandbox."""
    return files("kvraft.viz.sandbox").joinpath("sandbox.css").read_text(encoding="utf-8")


def module() -> str:
    """Return the hand-written module that turns clicks into messages."""
    return files("kvraft.viz.sandbox").joinpath("sandbox.js").read_text(encoding="utf-8")


def frame(panels: Iterable[str]) -> str:
    """Return the page with empty slots."""
    slots = [f'<div data-slot="{name}" class="kv-panel"></div>' for name in panels]
    inner = "".join([*slots[:2], '<div data-slot="menu" class="kv-wide"></div>', *slots[2:]])
    above = "".join(f'<div data-slot="{name}"></div>' for name in SLOTS)
    below = "".join(f'<div data-slot="{name}"></div>' for name in BELOW)
    return (
        f'<div class="kv">{above}<div class="kv-both"><div class="kv-panels">{inner}</div>'
        f'<div data-slot="other"></div></div>{below}</div>'
    )


def button(act: str, words: str, *, says: str = "", pressed: bool | None = None) -> str:
    """Return a button that sends ``act``."""
    label = f' aria-label="{escape(says)}" title="{escape(says)}"' if says else ""
    state = f' aria-pressed="{str(pressed).lower()}"' if pressed is not None else ""
    return (
        f'<button type="button" data-act="{escape(act)}" {KEYS}{label}{state}>'
        f"{escape(words)}</button>"
    )


def title(words: str, branch: Branch) -> str:
    """Return what is the case, and when."""
    film = branch.film
    when = moment(film, branch.step)
    return (
        f'<div class="kv-title" role="heading" aria-level="3" aria-live="polite">{escape(words)}'
        f'</div><div class="kv-when">{escape(when)}</div>'
    )


def notice(words: str) -> str:
    """Return what could not be done, and why."""
    return f'<div class="kv-notice" role="alert">{escape(words)}</div>' if words else ""


def time(branch: Branch, playing: bool, speed: str) -> str:
    """Return the controls of time: back and on, play, jumps, and a slider over all steps."""
    buttons = [
        button("go first", "|◀", says="to the beginning"),
        button("go back", "◀", says="one step back"),
        button("play off", "❚❚", says="pause") if playing else button("play on", "▶▶", says="play"),
        button("go on", "▶", says="one step on"),
        button("go last", "▶|", says="to the end"),
    ]
    if branch.run is not None:
        buttons += [button(f"run {n}", f"+{n} ms", says=f"{n} ms on") for n in (10, 100, 1000)]
    speeds = [
        button(f"speed {name}", name, says=f"play {name}", pressed=name == speed)
        for name in ("slow", "steady", "fast")
    ]
    moments, goes_on = branch.film.moments, branch.run is not None
    jumps = [_jump(kind) for kind in MOMENTS if goes_on or moments[kind]]
    slider = (
        f'<input type="range" name="at" data-key="at" min="0" max="{branch.last}" step="1"'
        f' value="{branch.step}" aria-label="step, of {branch.last}" {KEYS}>'
    )
    return (
        f'<div class="kv-row">{"".join(buttons)}<span class="kv-group">{"".join(speeds)}</span>'
        f'</div>{slider}<div class="kv-row">{"".join(jumps)}</div>'
    )


def _jump(kind: str) -> str:
    back = button(f"previous {kind}", "◂", says=f"the {kind} before")
    on = button(f"next {kind}", "▸", says=f"the next {kind}")
    return f'<span class="kv-jump">{back}<span>{escape(kind)}</span>{on}</span>'


def branches(known: Mapping[str, Branch], shown: Branch, other: Branch | None) -> str:
    """Return the branches to choose from; nothing while there is only one."""
    if len(known) < 2:
        return ""
    rows = []
    for name, branch in known.items():
        words = f"{name} {branch.origin}".strip()
        choose = button(f"branch {name}", words, pressed=branch is shown)
        next_to = button(f"compare {name}", "side by side", pressed=branch is other)
        rows.append(f'<span class="kv-jump">{choose}{"" if branch is shown else next_to}</span>')
    return f'<div class="kv-row">{"".join(rows)}</div>'


def menu(selected: str, offered: Sequence[Choice], count: int, *, past: bool) -> str:
    """Return what can be done to what is selected; after the first ``count``: what can come."""
    head = f"What can be done to {selected}"
    if not selected:
        head = "What can be done; click a member, a link or a message for more"
    late = " — an action in the past begins a fork" if past else ""
    rows = [_choice(number, choice) for number, choice in enumerate(offered)]
    done, coming = "".join(rows[:count]), "".join(rows[count:])
    found = f'<div class="kv-head">{escape(head + late)}</div><div class="kv-menu">{done}</div>'
    if coming:
        found += (
            f'<div class="kv-head">What can happen next</div><div class="kv-menu">{coming}</div>'
        )
    return found


def _choice(number: int, choice: Choice) -> str:
    fields = "".join(
        f'<label>{escape(field.unit or field.name)} <input type="text" name="{escape(field.name)}"'
        f' value="{escape(text)}" data-key="{number} {escape(field.name)}" {KEYS}></label>'
        for field, text in zip(choice.fields, choice.texts, strict=True)
    )
    grey = f' aria-disabled="true" aria-describedby="why-{number}"' if choice.refusal else ""
    why = escape(choice.refusal or choice.says)
    return (
        f'<form><button type="button" data-act="do {number}" {KEYS}{grey}>'
        f"{escape(choice.label)}</button>{fields}"
        f'<span class="kv-why" id="why-{number}">{why}</span></form>'
    )


def no_menu(branch: Branch, *, playing: bool) -> str:
    """Return why nothing can be done now."""
    words = "Pause to act." if playing else ""
    if branch.run is None:
        words = "This is a recording: it can be watched, but not changed."
    return f'<div class="kv-head">{escape(words)}</div>' if words else ""


def calls(done: Sequence[str]) -> str:
    """Return the last actions as the Python calls that do them."""
    if not done:
        return ""
    lines = escape("\n".join(done[-6:]))
    return f'<div class="kv-head">The same in Python</div><pre class="kv-calls">{lines}</pre>'


def next_to(name: str, words: str, pictures: Mapping[str, str]) -> str:
    """Return another branch at the same time."""
    inner = "".join(f'<div class="kv-panel">{picture}</div>' for picture in pictures.values())
    head = f'<div class="kv-head"><b>{escape(name)}</b>: {escape(words)}</div>'
    return f'<div class="kv-other">{head}{inner}</div>'


def style(selected: str, *, two: bool) -> str:
    """Return the rules that show what is selected, and where two branches stand."""
    rules = []
    if selected:
        rules.append(
            f'.kv [data-slot=ring] [data-act="{_quoted(selected)}"]'
            "{filter:drop-shadow(0 0 3px #000) drop-shadow(0 0 5px #6b7280)}"
        )
    if two:
        rules.append(
            ".kv .kv-both{grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))}"
        )
        rules.append(".kv .kv-both .kv-panels{grid-template-columns:1fr}")
    return f"<style>{''.join(rules)}</style>" if rules else ""


def _quoted(text: str) -> str:
    """Return a name fit for a rule: what is not a letter, digit or sign of a name is left out."""
    return "".join(c for c in text if c.isalnum() or c in " -_.")
