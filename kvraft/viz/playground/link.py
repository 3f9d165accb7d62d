"""A run in a link: ``#run=`` and the text of a run file, packed by zlib, in base64 for addresses.

A run of a mission has the name of that first, as in ``#mission=lost-write&run=…``.

What follows ``#`` in an address is not sent to any server.

Invariant: a link that lost or changed a character is refused; zlib's checksum notices it.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, urlsafe_b64encode

from kvraft.errors import BadInput

PREFIX = "#run="
MISSION = re.compile(r"#mission=([a-z0-9-]+)&(?=run=)")
LONGEST_LINK = 30_000
"""How many characters a link can have: browsers take more, but much that passes links on does
not."""
LONGEST_TEXT = 4_000_000
"""How many characters its run file can have: a small link may be packed to fill the memory."""


def link_of(text: str, mission: str = "") -> str:
    """Return the link with the run file ``text``, which may be one of a mission.

    Raises :class:`~kvraft.errors.BadInput` if it would be too long.
    """
    packed = urlsafe_b64encode(zlib.compress(text.encode(), 9)).rstrip(b"=").decode("ascii")
    if len(PREFIX + packed) > LONGEST_LINK:
        raise BadInput(
            f"this run is too long for a link: it would have {len(PREFIX + packed):,} characters, "
            f"and at most {LONGEST_LINK:,} are safe to pass on; save it as a file"
        )
    return f"#mission={mission}&{PREFIX[1:]}{packed}" if mission else PREFIX + packed


def mission_of(link: str) -> str:
    """Return the name of the mission of the run in a link, ``""`` for none."""
    found = MISSION.match(link)
    return found[1] if found else ""


def text_of(link: str) -> str:
    """Return the text of the run file in ``link``; ``BadInput`` if it is damaged or too long."""
    link = MISSION.sub("#", link)
    if not link.startswith(PREFIX):
        raise BadInput(f"a link to a run has {PREFIX} in it, and then the run")
    if len(link) > LONGEST_LINK:
        raise BadInput(
            f"a link to a run has at most {LONGEST_LINK:,} characters, not {len(link):,}"
        )
    packed = link.removeprefix(PREFIX)
    unpacker = zlib.decompressobj()
    try:
        data = b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True)
        text = unpacker.decompress(data, LONGEST_TEXT)
        whole = unpacker.eof and not unpacker.unused_data
        if whole:
            return text.decode()
    except (ValueError, zlib.error):
        pass
    raise BadInput("the run in this link is damaged: part of the link is missing or was changed")
