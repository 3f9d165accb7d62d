"""Each run twice: here, and in another interpreter that hashes strings in another way.

A run that depends on the order of a set, on an address in memory or on what ran before differs in
the second one, as a rule::

    seed ──┬─► this process ───────────────────────────► digest of the trace, tally, finding
           └─► a new interpreter, other PYTHONHASHSEED ─► the same, or it is a finding

Source: madsim's MADSIM_TEST_CHECK_DETERMINISM.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

from kvraft.check.sweep.results import SwarmResult

_CODE = """
import json, sys
from kvraft.check.sweep import SwarmSettings, run_seed, summary_of
settings = SwarmSettings.from_dict(json.loads(sys.argv[1]))
result = run_seed(int(sys.argv[2]), settings, keep_trace=True)
print(json.dumps(summary_of(result)))
"""


def summary_of(result: SwarmResult) -> dict[str, Any]:
    """Return what must be the same in each repetition of a run, whose trace was kept."""
    digest = hashlib.sha256(result.trace.encode()).hexdigest()
    tally = dict(sorted(result.tally.items()))
    return {"digest": digest, "found": result.found, "tally": tally}


def compare_with_child(result: SwarmResult, settings: dict[str, Any]) -> SwarmResult:
    """Return ``result``, whose trace was kept; it has a finding if a repetition differs."""
    import subprocess  # a browser's Python has none, and nothing else here needs it

    environment = os.environ | {"PYTHONHASHSEED": str(1 + result.seed % 1_000_000)}
    command = [sys.executable, "-c", _CODE, json.dumps(settings), str(result.seed)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    here, there = summary_of(result), json.loads(child.stdout)
    if here == there:
        return result if result.found is not None else result._replace(trace="")
    what = next(key for key in here if here[key] != there[key])
    found = f"determinism: in another interpreter the {what} is {there[what]!r:.80}, "
    return result._replace(found=f"{found}not {here[what]!r:.80}")
