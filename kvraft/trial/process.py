"""A consensus module in any language: a process for each member, and lines of JSON.

The pages of the book say what each line holds (``notebooks/book/own_raft.md``)::

    kvraft                                     the process of n1
      {"type": "start", "member": "n1", …} ──►
                                           ◄── {"role": "follower", "term": 0, "vote": null}
      {"type": "tick"} ──────────────────────►
                                           ◄── {"role": "candidate", "term": 1, "vote": "n1",
                                                "messages": [{"type": "RequestVote", …}, …]}
      {"type": "message", "message": {…}} ───►

Each line is answered by one line: the state, what must be saved, and what may be sent once it is.
A restart is a new process, which is given what was saved.

Invariants: nothing is sent, and nothing else asked, before what an answer wants saved is saved; a
process that does not answer in time, dies or answers nonsense is named with the line it got.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from random import Random
from typing import Any, NoReturn

from kvraft.check.trial import Report, judge_consensus, nonsense
from kvraft.errors import BadInput, NotLeader
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Log,
    Message,
    PreVote,
    PreVoteReply,
    RaftOptions,
    Ready,
    RequestVote,
    RequestVoteReply,
)
from kvraft.record import NOOP, Entry, HardState, Kind, Record, label, put_record
from kvraft.trial.line import Line

SECONDS = 10
"""How long a process may take for an answer: the first one needs whatever its language needs to
begin, on a machine that others may use as well."""
_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        RequestVote,
        RequestVoteReply,
        AppendEntries,
        AppendEntriesReply,
        PreVote,
        PreVoteReply,
    )
}


RUNS, SHRINKING = 30, 150
"""How many runs a trial has, and how many are tried to shrink a finding: a start takes its time."""


def judge_command(
    command: str, *, runs: int | None = None, seed: int = 1, seconds: int = SECONDS
) -> Report:
    """Judge the consensus module in the processes that ``command`` starts; return the report.

    A process may take ``seconds`` for an answer.  Raises :class:`~kvraft.errors.BadInput` for a
    command that is not one, and :class:`~kvraft.check.trial.Stuck` for one that cannot be started
    or does not answer in time.
    """
    made = Command(command, seconds)
    try:
        return judge_consensus(
            made, title=command, runs=runs or RUNS, seed=seed, shrinking=SHRINKING
        )
    finally:
        made.close()


class Command:
    """A command that starts a member's process; called like a class of a consensus module.

    Raises :class:`~kvraft.errors.BadInput` for a command that is not one.
    """

    def __init__(self, command: str, seconds: int = SECONDS) -> None:
        self.command, self.seconds = command, seconds
        self._running: dict[str, Line] = {}
        self._records: dict[str, Record] = {}  # by what the processes are given of them
        try:
            self._words: str | list[str] = shlex.split(command)
        except ValueError as error:
            raise BadInput(f"the command {command!r:.60} cannot be read: {error}") from None
        if not self._words:
            raise BadInput("the command is empty: it starts a member, as in 'node myraft.js'")
        if sys.platform == "win32":
            self._words = command  # which the system splits, and a backslash is part of a path

    def __call__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        options: RaftOptions,
        cluster: str,
    ) -> ProcessRaft:
        """Start a process for ``member``; one that it had before is killed."""
        if member in self._running:
            self._running.pop(member).kill()
        line = self._running[member] = Line(self._words, self.command, member, self.seconds)
        start = {
            "type": "start",
            "member": member,
            "members": configuration.voters,
            "election_ticks": options.election_ticks,
            "spread_ticks": options.spread_ticks,
            "heartbeat_ticks": options.heartbeat_ticks,
            "seed": random.getrandbits(31),
            "term": hard_state.term,
            "vote": hard_state.vote,
            "log": [self.entry_out(entry) for entry in log.slice(log.first_index)],
        }
        return ProcessRaft(
            self, line, member, cluster, log.slice(log.first_index), hard_state, start
        )

    def close(self) -> None:
        """Kill all processes that run."""
        while self._running:
            self._running.popitem()[1].kill()

    # ── entries ─────────────────────────────────────────────────────────────────────────────────

    def data_out(self, record: Record) -> str | None:
        """Return what a process is given of a record: text, or ``None`` for a no-op."""
        if record.kind is Kind.NOOP:
            return None
        text = label(record.key) + (f" {record.txn}" if record.txn.client else "")
        self._records[text] = record
        return text

    def entry_out(self, entry: Entry) -> dict[str, Any]:
        """Return an entry as a table."""
        return {"index": entry.index, "term": entry.term, "data": self.data_out(entry.record)}

    def entry_in(self, table: Any) -> Entry:
        """Return the entry that a table stands for; raises ``ValueError`` if it is not one."""
        fields = _fields(table, "an entry", {"index": int, "term": int, "data": (str, type(None))})
        data = fields["data"]
        record = NOOP if data is None else self._records.get(data) or put_record(data.encode(), b"")
        return Entry(fields["term"], fields["index"], record)

    # ── messages ────────────────────────────────────────────────────────────────────────────────

    def message_out(self, message: Message) -> dict[str, Any]:
        """Return a message as a table."""
        table = {"type": type(message).__name__, **message._asdict()}
        table["from"] = table.pop("sender")
        for name in ("cluster", "wall_millis", "transfer"):
            table.pop(name, None)
        if isinstance(message, AppendEntries):
            table["entries"] = [self.entry_out(entry) for entry in message.entries]
        return table

    def message_in(self, table: Any, cluster: str) -> Message:
        """Return the message that a table stands for; raises ``ValueError`` if it is not one."""
        given = dict(_fields(table, "a message", {"type": str, "from": str, "to": str}, more=True))
        kind = _KINDS.get(given.pop("type"))
        if kind is None:
            raise ValueError(f"there is no message {table['type']!r:.40}: {', '.join(_KINDS)}")
        given["sender"] = given.pop("from")
        if unknown := [name for name in given if name not in kind._fields]:
            raise ValueError(f"{kind.__name__} has no field {unknown[0]!r:.40}")
        given["cluster"] = cluster
        lacking = [n for n in kind._fields if n not in given and n not in kind._field_defaults]
        if lacking:
            raise ValueError(f"{kind.__name__} lacks the field {lacking[0]!r}")
        if kind is AppendEntries:
            entries = given["entries"]
            if not isinstance(entries, list):
                raise ValueError("the entries of AppendEntries should be a list")
            given["entries"] = tuple(map(self.entry_in, entries))
        made: Message = kind(**given)
        return made


class ProcessRaft:
    """A member whose consensus runs in a process; what it answered is handed out as a Ready."""

    def __init__(
        self,
        command: Command,
        line: Line,
        member: str,
        cluster: str,
        log: Sequence[Entry],
        hard_state: HardState,
        start: dict[str, Any],
    ) -> None:
        self._command, self._line, self._member, self._cluster = command, line, member, cluster
        self._log, self._saved = list(log), hard_state
        self._taken = self._commit = 0
        self._entries: list[Entry] = []
        self._messages: list[Message] = []
        self.role, self.term, self.leader = "follower", hard_state.term, None
        self._vote = hard_state.vote
        self._ask(start)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Pass a tick on."""
        self._ask({"type": "tick"})

    def step(self, message: Message) -> None:
        """Pass a message on."""
        self._ask({"type": "message", "message": self._command.message_out(message)})

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Propose records, one by one, to a process that leads."""
        if self.role != "leader":
            raise NotLeader(self._member, None)
        places = []
        for record in records:
            answered = self._ask({"type": "propose", "data": self._command.data_out(record)})
            found = [entry.index for entry in answered if entry.record == record]
            if not found:
                self._wrong("a proposal, without that entry in 'entries'")
            places.append(found[-1])
        return places[0], places[-1]

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Return whether an answer wants anything done."""
        return bool(
            self._entries
            or self._messages
            or self._taken < self._commit
            or (self.term, self._vote) != self._saved
        )

    def ready(self) -> Ready:
        """Return what the answers until now want done."""
        state = HardState(self.term, self._vote)
        ready = Ready(
            hard_state=state if state != self._saved else None,
            entries=tuple(self._entries),
            messages=tuple(self._messages),
            committed=tuple(self._log[self._taken : self._commit]),
        )
        self._saved, self._taken = state, max(self._taken, self._commit)
        self._entries, self._messages = [], []
        return ready

    def advance(self) -> None:
        """Nothing: a process takes what it wanted saved for saved when it is asked again."""

    # ── lines ───────────────────────────────────────────────────────────────────────────────────

    def _ask(self, question: dict[str, Any]) -> list[Entry]:
        """Send a line, and take the answer; return the entries in it."""
        answer = self._line.ask(question)
        kinds = {"role": str, "term": int, "vote": (str, type(None))}
        try:
            fields = _fields(answer, "an answer", kinds, more=True)
            unknown = fields.keys() - {*kinds, "leader", "commit", "entries", "messages"}
            if unknown:
                raise ValueError(f"there is no field {min(unknown)!r:.40}")
            entries = [self._command.entry_in(each) for each in _list(fields, "entries")]
            messages = [
                self._command.message_in(each, self._cluster) for each in _list(fields, "messages")
            ]
            commit = fields.get("commit", self._commit)
            if type(commit) is not int or commit < 0:
                raise ValueError(f"the commit index is {commit!r:.40}, not a whole number")
            self._append(entries)
            if commit > len(self._log):
                raise ValueError(f"the commit index is {commit}, and its log has {len(self._log)}")
        except ValueError as error:
            self._wrong(str(error))
        self.role, self.term, self._vote = fields["role"], fields["term"], fields["vote"]
        self.leader = fields.get("leader")
        self._commit = max(self._commit, commit)
        self._messages += messages
        return entries

    def _append(self, entries: list[Entry]) -> None:
        """Put entries into the log that is to be saved; one at a place that is taken replaces."""
        for at, entry in enumerate(entries):
            if not 1 <= entry.index <= len(self._log) + 1 or (at and entry.index == 1):
                raise ValueError(f"entry {entry.index} does not follow on entry {len(self._log)}")
            del self._log[entry.index - 1 :]
            self._log.append(entry)
        if entries:
            first = entries[0].index
            self._entries = [each for each in self._entries if each.index < first] + entries

    def _wrong(self, what: str) -> NoReturn:
        raise nonsense(self._member, f"{self._command.command} answers {what} ({self._line.last})")


def _fields(table: Any, what: str, kinds: dict[str, Any], more: bool = False) -> dict[str, Any]:
    """Return a table that has these fields, of these types; raises ``ValueError``."""
    if not isinstance(table, dict):
        raise ValueError(f"{json.dumps(table)[:60]}, where {what} is a table")
    for name, kind in kinds.items():
        if name not in table:
            raise ValueError(f"{what} without the field {name!r}")
        if not isinstance(table[name], kind) or isinstance(table[name], bool):
            raise ValueError(f"{what} with {name} {json.dumps(table[name])[:40]}")
    if not more and (unknown := table.keys() - kinds.keys()):
        raise ValueError(f"{what} with the unknown field {min(unknown)!r:.40}")
    return table


def _list(table: dict[str, Any], name: str) -> list[Any]:
    found = table.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name} {json.dumps(found)[:40]}, which should be a list")
    return found
