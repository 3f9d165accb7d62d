"""The entry point of ``kvraft`` and ``python -m kvraft``; the commands are in ``cli/``.

Ctrl-C is handled here already, because importing what a command needs takes a moment, too.
"""

import sys


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        from kvraft.cli import main as run_command

        return run_command()
    except KeyboardInterrupt:
        print("\nkvraft: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
