"""The command line ``kvraft``: :func:`main` runs one command and returns its exit status.

::

    cli          commands, their options, exit statuses, how errors are printed
    ├─ judging   the options of those that run clusters to find out whether they are right
    ├─ values    readers of option values: what can be refused before a command starts
    ├─ commands  what each command does
    │  ├─ sweep  what ``swarm`` does
    │  └─ trial  what ``check`` prints
    └─ terminal  prose, folded to the width of the terminal

Invariants:

- An error that kvraft raises on purpose, or that the system raises for a file, is one sentence on
  standard error, never a traceback.
- A command imports what it needs when it runs: none waits for what another needs.
"""

from kvraft.cli.cli import main

__all__ = ["main"]
