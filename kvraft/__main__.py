"""Where the command ``kvraft`` and ``python -m kvraft`` begin: see cli/cli.py.

Ctrl-C is answered from here on, for loading what a command needs takes a moment, too.
"""

import sys


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        from kvraft.cli import cli

        return cli.main()
    except KeyboardInterrupt:
        print("\nkvraft: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
