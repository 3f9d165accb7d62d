"""Clients as pictures: what a client can know of its writes, and clocks that differ.

:func:`plot_transaction` draws one write as seen from everywhere, a lane for its client and one for
each member::

    ann │ SENT ────── APPENDED ───────────── APPLIED ────
    n1  │      in its log ──── applied ──────────────────
    n2  │              in its log ─────────────── applied
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kvraft.client import MAX_RETRY_MILLIS, RETRY_MILLIS
from kvraft.errors import BadInput
from kvraft.events import (
    EntriesAppended,
    EntriesSuperseded,
    Event,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    TicketMoved,
    Trace,
    TransactionApplied,
    TransactionRepeated,
)
from kvraft.sim import WriteOutage
from kvraft.transaction import Stage
from kvraft.viz.figures.style import one_panel
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY, YELLOW
from kvraft.viz.trace import members_of

_ENDS = {Stage.APPLIED: "✓", Stage.ABORTED: "✗", Stage.UNKNOWN: "?"}
_SAID = {Stage.APPLIED: GREEN, Stage.ABORTED: RED, Stage.UNKNOWN: ORANGE}


# ── the life of one write ───────────────────────────────────────────────────────────────────────

LOG, DONE, DOWN = "in its log", "applied", "down"
_LANES = {
    Stage.QUEUED.value: GREY,
    Stage.SENT.value: YELLOW,
    Stage.APPENDED.value: SKY,
    Stage.APPLIED.value: GREEN,
    Stage.UNKNOWN.value: ORANGE,
    Stage.ABORTED.value: RED,
    LOG: SKY,
    DONE: GREEN,
    DOWN: "#FFFFFF",
}


class StateSpan(NamedTuple):
    """What a write was to somebody (its client, or a member) from ``start`` on, in microseconds.

    ``state`` is the stage that the client knows, or what the member has of it: nothing (``""``),
    ``LOG`` or ``DONE``; or that it is ``DOWN``.
    """

    who: str
    start: int
    state: str


def spans_of(trace: Trace, txn: str) -> list[StateSpan]:
    """Return what ``txn`` was to whom, from when on; the client first, then each member."""
    moved = [step for step in trace.of(TicketMoved) if getattr(step.event, "txn", "") == txn]
    if not moved:
        raise BadInput(f"nobody sent a transaction {txn} in this trace")
    client = [StateSpan(who, at, str(getattr(event, "stage", ""))) for at, who, event in moved]
    spans = [
        one for one, then in zip(client, [*client[1:], None], strict=True) if _lasts(one, then)
    ]
    for member in members_of(trace):
        spans += _member_spans(trace, member, txn)
    return spans


def _lasts(one: StateSpan, then: StateSpan | None) -> bool:
    return then is None or one.start < then.start


def _member_spans(trace: Trace, member: str, txn: str) -> Iterator[StateSpan]:
    """Yield what a member has of ``txn``; what is in its log is there again after a crash."""
    place, state = 0, ""  # the index of its last entry there, 0 for none
    for at, _, event in trace.of(
        MemberStarted,
        EntriesAppended,
        EntriesSuperseded,
        TransactionApplied,
        MemberCrashed,
        MemberStopped,
        who=member,
    ):
        before, (place, state) = state, _after(event, txn, place, state)
        if state != before:
            yield StateSpan(member, at, state)


def _after(event: Event, txn: str, place: int, state: str) -> tuple[int, str]:
    """Return where a member has the transaction, and what of it, after ``event``."""
    match event:
        case EntriesAppended() if txn in event.txns:
            return event.first + _last(event, txn), state or LOG
        case EntriesSuperseded(first=first) if first <= place:
            return 0, ""
        case TransactionApplied() if event.txn == txn:
            return place, DONE
        case MemberCrashed() | MemberStopped():
            return place, DOWN
        case MemberStarted():
            return place, LOG if place else ""
    return place, state


def plot_transaction(trace: Trace, txn: str, beyond: int = 5) -> Figure:
    """Draw one write as its client and as each member sees it, to ``beyond`` ms after it is told.

    Time runs from the moment at which it was sent first.
    """
    spans = spans_of(trace, txn)
    names = [spans[0].who, *members_of(trace)]
    begin = spans[0].start
    told = max(span.start for span in spans if span.who == names[0])
    end = told + beyond * 1000
    figure, axes = one_panel(1.3 + 0.55 * len(names), grid=False)
    axes.set_xlim(0, (end - begin) / 1000)
    for lane, name in enumerate(names):
        mine = [span for span in spans if span.who == name]
        stops = [*(span.start for span in mine[1:]), end]
        for span, after in zip(mine, stops, strict=False):  # none, if it had nothing
            start, stop = (span.start - begin) / 1000, (min(after, end) - begin) / 1000
            if span.state and start < stop:
                _draw_span(axes, lane, start, stop, span.state)
    axes.axvline((told - begin) / 1000, color=BLACK, linestyle=":")
    axes.set_yticks(range(len(names)), [f"{names[0]} knows", *names[1:]])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("virtual time since it was sent (ms); dotted: when its client learns the end")
    figure.suptitle(_safe_and_known(trace, txn, spans, told))
    return figure


def _draw_span(axes: Axes, lane: int, start: float, stop: float, state: str) -> None:
    hatch = "////" if state == DOWN else None
    style: dict[str, Any] = {"color": _LANES[state], "edgecolor": BLACK, "linewidth": 0.8}
    axes.barh(lane, stop - start, left=start, height=0.7, hatch=hatch, **style)
    if (stop - start) / axes.get_xlim()[1] > 0.013 * len(state):  # else there is no room
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1} if state == DOWN else None
        axes.text((start + stop) / 2, lane, state, ha="center", va="center", bbox=plate)


def _safe_and_known(trace: Trace, txn: str, spans: Sequence[StateSpan], told: int) -> str:
    """Return when a majority had the write on disk, and when its client knew how it ended."""
    begin, safe = spans[0].start, _safe(trace, txn)
    said = [span.state for span in spans if span.who == spans[0].who][-1]
    knows = f"its client reports {said} after {(told - begin) / 1000:.1f} ms"
    if safe is None:
        return f"Never on a majority of disks; {knows}"
    return f"On a majority of disks after {(safe - begin) / 1000:.1f} ms; {knows}"


def _safe(trace: Trace, txn: str) -> int | None:
    """Return when one and the same copy of ``txn`` was on a majority of disks, if ever."""
    majority = len(members_of(trace)) // 2 + 1
    holders: dict[tuple[int, int], set[str]] = {}  # by index and term of its last entry
    for at, who, event in trace.of(EntriesAppended):
        if isinstance(event, EntriesAppended) and txn in event.txns:
            last = _last(event, txn)
            place = event.first + last, event.terms[last]
            holders.setdefault(place, set()).add(who)
            if len(holders[place]) == majority:
                return at
    return None


def _last(event: EntriesAppended, txn: str) -> int:
    """Return which of the entries that were written is the last one of ``txn``."""
    return max(number for number, each in enumerate(event.txns) if each == txn)


# ── many writes ─────────────────────────────────────────────────────────────────────────────────


def plot_pauses(pauses: Sequence[int]) -> Figure:
    """Draw the pause before each sending of a write that nobody answers, and its bounds."""
    figure, axes = one_panel(3, 7, grid=False)
    number = range(1, len(pauses) + 1)
    least = [min(RETRY_MILLIS * 2**n, MAX_RETRY_MILLIS) for n in range(len(pauses))]
    axes.fill_between(
        number, least, [1.5 * low for low in least], color=SKY, alpha=0.5, label="allowed"
    )
    axes.plot(number, pauses, "o-", color=BLACK, label="paused")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="sending", ylabel="pause after it, ms", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.suptitle(
        f"Pauses double from {min(pauses)} ms and stay below {MAX_RETRY_MILLIS * 3 // 2} ms"
    )
    return figure


def plot_outages(runs: Mapping[str, Sequence[WriteOutage]]) -> Figure:
    """Draw what clients reported and what was applied, by the step at which the leader died.

    The first row says how far the write had come by then, which is the same for all of ``runs``.
    """
    figure, axes = one_panel(1.9 + 0.55 * (1 + 2 * len(runs)), grid=False)
    names = ["logs that have it then"]
    for at, each in enumerate(next(iter(runs.values()))):
        sign = f"{each.logs}{' ●' if each.committed else ''}"
        _cell(axes, 0, at, sign, SKY if each.logs else "#FFFFFF")
    for name, outages in runs.items():
        for at, each in enumerate(outages):
            right = GREEN if each.effects == 1 else GREY if each.effects == 0 else RED
            _cell(axes, len(names), at, _ENDS[each.reported], _SAID[each.reported])
            _cell(axes, len(names) + 1, at, str(each.effects), right)
        names += [f"{name}: the client reports", "applied, times"]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.6, max(len(outages) for outages in runs.values()) - 0.4)
    steps = [each.step for each in next(iter(runs.values()))]
    axes.set_xticks(range(len(steps)), [str(step) for step in steps])
    axes.set_xlabel("steps after which the leader died; ●: it knew the write to be committed")
    handles = [
        Patch(facecolor=_SAID[s], edgecolor=BLACK, label=f"{_ENDS[s]} {s}")
        for s in _SAID
        if any(each.reported is s for outages in runs.values() for each in outages)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.suptitle(_says(runs))
    return figure


def _cell(axes: Axes, row: int, column: int, sign: str, colour: str) -> None:
    axes.barh(row, 0.92, left=column - 0.46, height=0.8, color=colour, edgecolor=BLACK)
    axes.text(column, row, sign, ha="center", va="center", fontweight="bold")


def _says(runs: Mapping[str, Sequence[WriteOutage]]) -> str:
    if len(runs) == 1:
        (said,) = map(_sums_up, runs.values())
        return said[0].upper() + said[1:]
    return "\n".join(f"{name}: {_sums_up(outages)}" for name, outages in runs.items())


def _sums_up(outages: Sequence[WriteOutage]) -> str:
    unknown = [each for each in outages if each.reported is Stage.UNKNOWN]
    twice = sum(each.effects > 1 for each in outages)
    if twice:
        return f"{twice} of {len(outages)} writes were applied twice"
    if not unknown:
        return f"all {len(outages)} writes are applied, each exactly once"
    done = sum(each.effects == 1 for each in unknown)
    return f"of {len(unknown)} writes that ended UNKNOWN, {done} were applied and the rest not"


def plot_lost_updates(counts: Mapping[str, Mapping[int, int]], of: int) -> Figure:
    """Draw how many of ``of`` acknowledged writes were lost, by how far one clock is ahead."""
    figure, axes = one_panel(3.2, 7, grid=False)
    for (name, lost), style, colour in zip(
        counts.items(), ("o-", "s--", "^:"), (RED, BLUE, BLACK), strict=False
    ):
        axes.plot(list(lost), list(lost.values()), style, color=colour, label=name)
    axes.set(
        xlabel="one client's clock is ahead by, ms",
        ylabel=f"acknowledged writes lost, of {of}",
        ylim=(-0.5, None),
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    worst = {name: max(lost.values()) for name, lost in counts.items()}
    figure.suptitle("; ".join(f"{name}: up to {most} lost" for name, most in worst.items()))
    return figure


def outage_story(outage: WriteOutage) -> list[str]:
    """Return what happened to the write, from its sending on: its ticket and its effects."""
    lines: list[str] = []
    for at, who, event in outage.trace[outage.first :]:
        what = ""
        if isinstance(event, MemberCrashed):
            what = "crashed"
        elif getattr(event, "txn", "") == outage.txn:
            if isinstance(event, TicketMoved):
                what = event.stage
            elif isinstance(event, TransactionApplied | TransactionRepeated):
                kind = "applied" if isinstance(event, TransactionApplied) else "is there already"
                what = f"index {event.index}: {kind}"
        if what:
            lines.append(f"{at / 1000:7.1f} ms  {who}: {what}")
    return lines
