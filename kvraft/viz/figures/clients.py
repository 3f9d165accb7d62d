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
from kvraft.viz.figures.cells import Cell, lanes_of_cells
from kvraft.viz.figures.style import fits, legend, named, one_panel, titled
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
    figure, axes = one_panel(0.3 + 0.45 * len(names), grid=False)
    axes.set_xlim(0, (end - begin) / 1000)
    for row, name in enumerate(names):
        mine = [span for span in spans if span.who == name]
        stops = [*(span.start for span in mine[1:]), end]
        for span, after in zip(mine, stops, strict=False):  # none, if it had nothing
            start, stop = (span.start - begin) / 1000, (min(after, end) - begin) / 1000
            if span.state and start < stop:
                _draw_span(axes, row, start, stop, span.state)
    axes.axvline((told - begin) / 1000, color=BLACK, linestyle=":", zorder=0.5)
    axes.set_yticks(range(len(names)), [f"{names[0]} knows", *names[1:]])
    axes.set_ylim(len(names) - 0.5, -0.5)
    named(axes, right="virtual time since it was sent (ms); dotted: when its client learns the end")
    return titled(figure, _safe_and_known(trace, txn, spans, told))


def _draw_span(axes: Axes, row: int, start: float, stop: float, state: str) -> None:
    hatch = "////" if state == DOWN else None
    style: dict[str, Any] = {"color": _LANES[state], "edgecolor": BLACK, "linewidth": 0.8}
    axes.barh(row, stop - start, left=start, height=0.7, hatch=hatch, **style)
    if fits(state, (stop - start) / axes.get_xlim()[1]):
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1} if state == DOWN else None
        axes.text((start + stop) / 2, row, state, ha="center", va="center", bbox=plate)


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
    figure, axes = one_panel(2)
    number = range(1, len(pauses) + 1)
    least = [min(RETRY_MILLIS * 2**n, MAX_RETRY_MILLIS) for n in range(len(pauses))]
    axes.fill_between(
        number, least, [1.5 * low for low in least], color=SKY, alpha=0.5, label="allowed"
    )
    axes.plot(number, pauses, "o-", color=BLACK, label="paused")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    named(axes, "pause after it (ms)", "sending")
    axes.set_ylim(bottom=0)
    legend(figure)
    return titled(
        figure, f"Pauses double from {min(pauses)} ms and stay below {MAX_RETRY_MILLIS * 3 // 2} ms"
    )


def plot_outages(runs: Mapping[str, Sequence[WriteOutage]]) -> Figure:
    """Draw what clients reported and what was applied, by the step at which the leader died.

    The first row says how far the write had come by then, which is the same for all of ``runs``.
    """
    first = next(iter(runs.values()))
    lanes = [("logs that have it then", [_logs(each) for each in first])]
    for name, outages in runs.items():
        reported = [Cell(f"{_ENDS[o.reported]} {o.reported}", _SAID[o.reported]) for o in outages]
        lanes += [(f"{name}: the client reports", reported)]
        lanes += [(f"{name}: applied, times", [_times(each) for each in outages])]
    ticks = {at: str(each.step) for at, each in enumerate(first) if at % 4 == 0}
    figure, axes = lanes_of_cells(lanes, ticks)
    named(
        axes, right="steps after which the leader died; ringed: it knew the write to be committed"
    )
    return titled(figure, _says(runs))


def _logs(outage: WriteOutage) -> Cell:
    alpha = 0.12 + 0.25 * min(outage.logs, 3)
    return Cell(str(outage.logs), SKY, alpha, "oo" if outage.committed else "")


def _times(outage: WriteOutage) -> Cell:
    colour = GREEN if outage.effects == 1 else GREY if outage.effects == 0 else RED
    return Cell(str(outage.effects), colour)


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
    figure, axes = one_panel(2)
    for (name, lost), style, colour in zip(
        counts.items(), ("o-", "s--", "^:"), (RED, BLUE, BLACK), strict=False
    ):
        axes.plot(list(lost), list(lost.values()), style, color=colour, label=name)
    named(axes, f"acknowledged writes lost, of {of}", "one client's clock is ahead by (ms)")
    axes.set_ylim(bottom=-0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure)
    worst = {name: max(lost.values()) for name, lost in counts.items()}
    return titled(figure, "; ".join(f"{name}: up to {most} lost" for name, most in worst.items()))


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
