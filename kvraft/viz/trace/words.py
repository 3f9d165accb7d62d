"""A trace in words: one sentence for each event, and the steps that are worth a stop."""

from __future__ import annotations

from kvraft.display import counted, listed
from kvraft.events import (
    AcknowledgedEntriesLost,
    ClientRedirected,
    ClockSet,
    CommitAdvanced,
    Compacted,
    CompactionStarted,
    ConfigurationChanged,
    CrashPlanned,
    DiskChanged,
    DiskCorrupted,
    DiskExtended,
    DiskFilled,
    DiskLimited,
    DiskWiped,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    Flushed,
    LinkChanged,
    LogReset,
    Marks,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStarted,
    MemberStopped,
    MemtableFrozen,
    MessageDelayed,
    MessageDelivered,
    MessageDuplicated,
    MessageLost,
    MessageRejected,
    MessageSent,
    NetworkHealed,
    NetworkLossy,
    NetworkPartitioned,
    OperationRequested,
    PinsChanged,
    ProgressChanged,
    ReadEnded,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SessionExpired,
    SnapshotInstalled,
    SnapshotReceived,
    SpaceRecovered,
    TableRemoved,
    TableWritten,
    TailTruncated,
    TicketMoved,
    TimerExpired,
    Trace,
    TransactionApplied,
    TransactionConflicted,
    TransactionDiscarded,
    TransactionIdTaken,
    TransactionRepeated,
    TransferEnded,
    TransferStarted,
    TreeOpened,
    TruncationDecided,
    VoteGranted,
)


def interesting(trace: Trace) -> list[int]:
    """Return the steps worth stopping at: everything but messages and the daily work."""
    kinds = (
        Compacted,
        TransactionConflicted,
        MemberCrashed,
        TruncationDecided,
        DiskFilled,
        MemberStopped,
        Flushed,
        NetworkHealed,
        TransactionIdTaken,
        MemtableFrozen,
        NetworkPartitioned,
        TransactionRepeated,
        RoleChanged,
        SegmentDropped,
        SegmentSealed,
        SessionExpired,
        SpaceRecovered,
        MemberStarted,
        EntriesSuperseded,
        TailTruncated,
        TransactionDiscarded,
        ClockSet,
        DiskChanged,
        DiskCorrupted,
        DiskExtended,
        DiskLimited,
        DiskWiped,
        LinkChanged,
        NetworkLossy,
        MemberPaused,
        MemberResumed,
        TimerExpired,
    )
    return [number for number, step in enumerate(trace) if isinstance(step.event, kinds)]


def story_line(trace: Trace, step: int) -> str:
    """Return what happened in ``step``, as a sentence."""
    at, who, event = trace[step]
    if isinstance(event, MessageDelivered | MessageLost):
        sentence = _arrival(trace, step, who, event)
    else:
        sentence = _sentence(who, event)
    return f"{at / 1000:,.1f} ms  {sentence}"


def _arrival(trace: Trace, step: int, who: str, event: MessageDelivered | MessageLost) -> str:
    """Return the sentence for an arrival or a loss: which message, and from whom."""
    what, sender = "message", "?"
    for before in range(step - 1, -1, -1):
        _, name, sent = trace[before]
        if isinstance(sent, MessageSent) and sent.id == event.id:
            what, sender = sent.kind, name
            break
    if isinstance(event, MessageDelivered):
        return f"{who} receives {what} {event.id} from {sender}"
    return f"{what} {event.id} from {sender} to {who} is lost: {event.reason}"


def _sentence(who: str, event: Event) -> str:
    match event:
        case RoleChanged(role="follower"):
            whom = f" of {event.leader}" if event.leader else ", no leader known"
            return f"{who} is a follower{whom} in term {event.term}"
        case RoleChanged(role="pre-candidate"):
            return f"{who} hears from no leader and asks whether it could win term {event.term + 1}"
        case RoleChanged(role="candidate"):
            return f"{who} stands for election in term {event.term}"
        case RoleChanged():
            return f"{who} becomes leader of term {event.term}"
        case VoteGranted():
            whom = "itself" if event.candidate == who else event.candidate
            return f"{who} votes for {whom} in term {event.term}"
        case CommitAdvanced():
            return f"{who} knows the log to be committed through {event.index}"
        case Marks():
            return (
                f"{who}: first {event.first}, flushed {event.flushed}, applied {event.applied}, "
                f"committed {event.committed}, last {event.last}"
            )
        case _:
            return (
                _txn_sentence(who, event)
                or _member_sentence(who, event)
                or _disk_sentence(who, event)
                or _world_sentence(who, event)
            )


def _txn_sentence(who: str, event: Event) -> str:
    match event:
        case TransactionApplied():
            return (
                f"{who} applies {event.txn}: {counted(event.records, 'record')}, "
                f"through index {event.index}"
            )
        case TransactionDiscarded():
            return f"{who} discards {event.txn}, entries {event.first} to {event.last}"
        case TransactionRepeated():
            return f"{who} has applied {event.txn} before: its copy at {event.index} does nothing"
        case TransactionIdTaken():
            return (
                f"{who} knows another transaction as {event.txn}: this copy, which ends at "
                f"{event.index}, does nothing"
            )
        case TransactionConflicted():
            return (
                f"{who} finds that {event.key} was written after {event.txn} read it: the "
                f"transaction that ends at {event.index} does nothing"
            )
        case SessionExpired():
            return f"{who} forgets the session of {event.client} at index {event.index}"
        case TicketMoved():
            where = f" ({event.member})" if event.member else ""
            return f"client {who}: {event.txn} is {event.stage}{where}"
        case ReadEnded():
            return _read_ended(who, event)
        case OperationRequested():
            return f"client {who}: {event.operation} {event.what:.60}"
        case ClientRedirected():
            return f"client {who}: {event.asked} says to ask {event.leader or 'somebody else'}"
    return ""


def _member_sentence(who: str, event: Event) -> str:
    match event:
        case ConfigurationChanged():
            text = f"{who} acts on the members of entry {event.index}: {listed(event.voters)} vote"
            text += f", and so do the old ones, {listed(event.outgoing)}" if event.outgoing else ""
            return text + (f"; {listed(event.learners)} learn" if event.learners else "")
        case ProgressChanged(state="replicate"):
            return f"{who} finds {event.member} in step through {event.match}, and pipelines"
        case ProgressChanged(state="snapshot"):
            return f"{who} no longer has what {event.member} needs and sends a snapshot"
        case ProgressChanged():
            return f"{who} looks for where the log of {event.member} meets its own"
        case TransferStarted():
            return f"{who} hands leadership over to {event.member}"
        case TransferEnded():
            return f"{who} no longer hands over to {event.member}: {event.reason}"
        case AcknowledgedEntriesLost():
            return (
                f"{who} finds that {event.member} lost entries: it acknowledged all through "
                f"{event.acknowledged_through} and has them only through {event.held_through}"
            )
        case SnapshotReceived():
            return (
                f"{who} takes a snapshot of all through {event.index}, "
                f"{counted(event.size, 'byte')}"
            )
        case MessageRejected():
            return f"{who} ignores a {event.kind} of {event.sender or 'nobody'}: {event.reason}"
    return ""


def _disk_sentence(who: str, event: Event) -> str:
    match event:
        case EntriesAppended():
            last = event.first + len(event.terms) - 1
            return f"{who} writes entries {event.first} to {last} to its log and syncs"
        case EntriesSuperseded():
            return f"{who} drops entries {event.first} to {event.last}: the leader's log differs"
        case SegmentOpened():
            return f"{who} begins log segment {event.segment} at index {event.first}"
        case SegmentSealed():
            return f"{who} seals log segment {event.segment}, entries {event.first} to {event.last}"
        case TruncationDecided():
            needs = zip(event.pinned_by, event.needed_from, strict=True)
            pins = ", ".join(f"{name} from {index} on" for name, index in needs)
            return f"{who} may truncate its log below {event.floor}: pinned by {pins}"
        case PinsChanged():
            needs = zip(event.pinned_by, event.needed_from, strict=True)
            pins = ", ".join(f"{name} from {index} on" for name, index in needs)
            return f"{who} keeps its log: pinned by {pins or 'nothing'}"
        case SegmentDropped():
            return f"{who} drops log segment {event.segment}, entries {event.first} to {event.last}"
        case TailTruncated():
            return f"{who} truncates {event.file} by {event.size} torn bytes"
        case DiskFilled():
            return f"{who} takes no writes: {event.what}"
        case SpaceRecovered():
            return f"{who} has space again, and takes writes"
        case MemtableFrozen():
            return f"{who} freezes a memtable of {counted(event.rows, 'row')}"
        case TableWritten():
            return (
                f"{who} writes table {event.table}: {counted(event.rows, 'row')}, "
                f"{counted(event.size, 'byte')}"
            )
        case LogReset():
            return f"{who} drops its whole log: it continues after {event.index}"
        case SnapshotInstalled():
            return f"{who} has everything through {event.through} in the tables of a snapshot"
        case Flushed():
            return f"{who} has everything through index {event.through} in tables"
        case CompactionStarted():
            return f"{who} begins to merge {_tables(event.inputs)} into level {event.level}"
        case Compacted():
            return _compacted(who, event)
        case TableRemoved():
            return f"{who} removes the file of table {event.table}, which has no reader any longer"
        case TreeOpened():
            return f"{who} opens its tree: {_tables(event.tables) or 'no tables'}"
    return ""


def _compacted(who: str, event: Compacted) -> str:
    if event.outputs == event.inputs:
        whole = "as they are" if len(event.inputs) > 1 else "as it is"
        return f"{who} moves {_tables(event.inputs)} to level {event.level} {whole}"
    made = _tables(event.outputs) or "nothing"
    gone = "; 1 tombstone is gone" if event.tombstones == 1 else ""
    gone = f"; {event.tombstones:,} tombstones are gone" if event.tombstones > 1 else gone
    return f"{who} has merged {_tables(event.inputs)} into {made}, on level {event.level}{gone}"


def _tables(numbers: tuple[int, ...]) -> str:
    names = tuple(str(number) for number in numbers)
    return f"table{'s' * (len(names) > 1)} {listed(names)}" if names else ""


def _world_sentence(who: str, event: Event) -> str:
    match event:
        case MessageSent():
            what = f" with entries {event.first} to {event.last}" if event.first else ""
            return f"{who} sends {event.kind} {event.id} to {event.to}{what} ({event.note})"
        case MemberStarted():
            return (
                f"{who} starts: tables through {event.flushed}, log {event.first} to {event.last}"
            )
        case MemberCrashed():
            return f"{who} crashes and loses {event.lost_bytes} unsynced bytes"
        case MemberStopped():
            return f"{who} stops: {event.reason}"
        case NetworkPartitioned():
            return f"the network is cut: {' | '.join(event.groups)}"
        case NetworkHealed():
            return "the network is whole again"
    return _hand_sentence(who, event) or f"{who}: {type(event).__name__}"


def _read_ended(who: str, event: ReadEnded) -> str:
    if event.reason:
        return f"client {who}: the read of {event.key} failed: {event.reason}"
    value = event.value if event.found else "no value"
    return f"client {who}: {event.key} is {value} ({event.member}, as of {event.index})"


def _hand_sentence(who: str, event: Event) -> str:
    """Return the sentence for what was done to the world by hand."""
    match event:
        case MessageDelayed():
            return f"message {event.id} to {who} is held up until {event.arrives / 1_000:,.1f} ms"
        case MessageDuplicated():
            return f"message {event.id} to {who} comes twice, once more as {event.copy}"
        case CrashPlanned():
            return f"{who} is to crash after the step {event.after} of its next drain"
        case MemberPaused():
            return f"{who} stands still" + ("" if event.ticks else ", and so does its time")
        case MemberResumed():
            return f"{who} goes on"
        case TimerExpired():
            return f"the timer of {who} runs out by hand"
        case ClockSet(ahead=0):
            return f"the clock of {who} is right"
        case ClockSet():
            which = "ahead" if event.ahead > 0 else "slow"
            return f"the clock of {who} is {abs(event.ahead):,} ms {which}"
        case DiskLimited():
            return f"the disk of {who} has room for {counted(event.free, 'byte')} more"
        case DiskExtended():
            return f"the disk of {who} has all the room it wants"
        case DiskCorrupted():
            return f"byte {event.offset} of {event.file} on the disk of {who} is damaged"
        case DiskWiped():
            return f"the disk of {who} loses all of its {counted(event.files, 'file')}"
        case DiskChanged():
            return f"the disk of {who} {event.what}"
        case NetworkLossy(percent=0):
            return "the network loses no more messages by chance"
        case NetworkLossy():
            return f"the network loses {event.percent} % of all messages"
        case LinkChanged():
            return f"the link from {event.sender} to {event.to} {_link(event)}"
    return ""


def _link(event: LinkChanged) -> str:
    states = (
        "is cut" if event.cut else "",
        "is clogged" if event.clogged else "",
        f"takes {event.slower / 1_000:,.0f} ms longer" if event.slower else "",
        f"loses {event.loss} % of its messages" if event.loss else "",
    )
    return " and ".join(filter(None, states)) or "works"
