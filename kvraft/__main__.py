"""``python -m kvraft`` is the command ``kvraft``: see cli.py."""

import sys

from kvraft.cli import main

sys.exit(main())
