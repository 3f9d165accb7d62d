"""A time limit for code that is not kvraft's own: whatever it does, the command ends in a sentence.

A thread waits next to the code.  When the time is over it says where the code was, and ends the
process: no ``except`` in that code could stop it.  Code that never returns from C is ended by
faulthandler, a little later, with a traceback instead of a sentence.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from kvraft.cli.terminal import say
from kvraft.display import counted

_ROOT = str(Path(__file__).parents[1])
_MORE = 5
"""So many seconds later faulthandler ends what no thread could."""
STATUS = 2
"""The exit status of a command that was ended."""


@contextlib.contextmanager
def time_limit(seconds: int, what: str) -> Iterator[None]:
    """End the process with a sentence about ``what`` if the block takes longer than ``seconds``."""
    timer = threading.Timer(seconds, _end, (seconds, what, threading.get_ident()))
    timer.daemon = True
    timer.start()
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(seconds + _MORE, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _end(seconds: int, what: str, thread: int) -> None:
    frames = traceback.extract_stack(sys._current_frames()[thread])
    theirs = [frame for frame in frames if not frame.filename.startswith(_ROOT)]
    place = ""
    for frame in theirs[-1:]:
        place = f", in {Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
    late = f"{what} did not come back within {counted(seconds, 'second')}{place}"
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        say(f"kvraft: {late}", sys.stderr)
        sys.stderr.flush()
    os._exit(STATUS)
