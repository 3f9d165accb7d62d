"""A trace in words: one sentence for each event, and the steps that are worth a stop."""

from __future__ import annotations

from kvraft.display import counted, listed
from kvraft.events import (
    AcknowledgedEntriesLost,
    ClientRedirected,
    CommitAdvanced,
    Compacted,
    CompactionStarted,
    ConfigurationChanged,
    DiskFilled,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    Flushed,
    LogReset,
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MemtableFrozen,
    MessageDelivered,
    MessageLost,
    MessageRejected,
    MessageSent,
    NetworkHealed,
    NetworkPartitioned,
    OperationRequested,
    PinsChanged,
    ProgressChanged,
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
        case OperationRequested():
            return f"client {who}: {event.operation} {event.what}"
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
    return f"{who}: {type(event).__name__}"
