"""Ending a process with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any


def kill_session(process: subprocess.Popen[Any]) -> None:
    """Kill a process that has a session of its own, and whatever is left of that session.

    The process may have ended; its status is collected.
    """
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError):
        process.kill()
    process.wait()
