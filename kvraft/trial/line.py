"""A process that answers each line of JSON with one: whatever else it does is one sentence.

It may never read, never answer, write half a line or one that never ends, close what it writes to,
die, or leave processes of its own.  None of that takes longer than the seconds it has, twice at
most, and the sentence names the line that it was given.

A thread reads, for only so can a read have a limit of time on every system.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from kvraft.check import Violation
from kvraft.check.trial import Stuck, nonsense
from kvraft.display import counted
from kvraft.trial.session import kill_session

LONGEST = 1 << 20
"""How many bytes an answer may have."""
WAITING = 100
"""How many lines wait at most that nobody has asked for."""
PIPE = 1 << 12
"""How many bytes the system takes at least from us when nobody reads them."""


class Line:
    """A process, and the lines to and from it."""

    def __init__(self, words: str | list[str], command: str, member: str, seconds: int) -> None:
        self._command, self._member, self._seconds = command, member, seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed by kill()
        self.last = "before any line"
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._errors.close()
            why = error.strerror if isinstance(error, OSError) else str(error)
            if " " in command and Path(command).exists():
                why = f"{why}; a path with blanks needs quotes, as in \"'{command}'\""
            raise Stuck(f"{command} cannot be started: {why}") from None
        assert self._process.stdout is not None
        self._answers: queue.Queue[bytes] = queue.Queue(WAITING)
        self._part = bytearray()
        """What was written since the end of the last line."""
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def ask(self, question: dict[str, Any]) -> Any:
        """Send a line, and return what the answer holds."""
        if not self._answers.empty() and (more := self._answers.get()):
            what = f"{self._command} answers twice {self.last}, at last {_quoted(more)}"
            raise nonsense(self._member, what)
        line = json.dumps(question, ensure_ascii=False)
        self.last = f"to the line {line:.160}"
        answer = b""
        try:
            self._send(line.encode() + b"\n")
            answer = self._answers.get(timeout=self._seconds)
        except OSError:
            pass
        except queue.Empty:
            raise self._silent() from None
        if not answer:
            raise self._ended()
        try:
            return json.loads(answer.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            what = f"{self._command} answers {_quoted(answer)}, which is not a line of JSON"
            raise nonsense(self._member, f"{what} ({self.last})") from None

    def _send(self, line: bytes) -> None:
        """Write a line; a process that never reads is killed in time, which fails the write."""
        assert self._process.stdin is not None
        alarm = threading.Timer(self._seconds, self._process.kill) if len(line) > PIPE else None
        if alarm is not None:
            alarm.start()
        try:
            while line:
                line = line[self._process.stdin.write(line) or 0 :]
        finally:
            if alarm is not None:
                alarm.cancel()

    def _silent(self) -> Stuck:
        """Return the error for a process that did not answer in time, which is killed."""
        part = bytes(self._part)
        self.kill()
        what = f"{self._command} ({self._member}) did not answer within "
        what += f"{counted(self._seconds, 'second')} {self.last}: "
        if part:
            return Stuck(f"{what}it wrote {_quoted(part)}, and no end of the line")
        return Stuck(f"{what}it wrote nothing, or did not flush what it wrote")

    def _ended(self) -> Violation:
        """Return the violation of a process that has ended, or has written too much for a line."""
        if len(self._part) > LONGEST:
            what = f"{self._command} answers {_quoted(bytes(self._part))}, and more than "
            return nonsense(self._member, f"{what}{LONGEST:,} bytes without an end of the line")
        try:
            status = self._process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            what = f"{self._command} closed its output, and runs on, {self.last}"
            return nonsense(self._member, what)
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - LONGEST))
        words = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = f": {words[-1]:.160}" if words else ""
        what = f"{self._command} ended with status {status} {self.last}{why}"
        return nonsense(self._member, what)

    def _read(self, stream: IO[bytes]) -> None:
        """Pass on lines until there is none, or one without an end, and then an empty one."""
        try:
            while len(self._part) <= LONGEST and (read := stream.read(1 << 16)):
                *lines, rest = (bytes(self._part) + read).split(b"\n")
                self._part[:] = rest
                for line in lines:
                    self._answers.put(line + b"\n")
        except (OSError, ValueError):  # closed by kill()
            pass
        self._answers.put(b"")

    def kill(self) -> None:
        """End the process, and all that it started."""
        kill_session(self._process)
        while not self._answers.empty():  # a reader that waits for room goes on, and ends
            self._answers.get()
        self._reader.join(self._seconds)
        streams: list[IO[Any] | None] = [self._process.stdin, self._errors]
        if not self._reader.is_alive():  # else it would read from the next file of that number
            streams.append(self._process.stdout)
        for stream in streams:
            if stream is not None:
                stream.close()


def _quoted(line: bytes) -> str:
    return f"{line[:200].decode('utf-8', 'replace').strip()!r:.80}"
