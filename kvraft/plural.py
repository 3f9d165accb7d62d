"""How many of something, in words: one table, two tables.

It lies below all that speaks, so that every message and every output says it in one way.
"""

from __future__ import annotations

_ES = ("sh", "ch", "s", "x")


def counted(number: int, noun: str) -> str:
    """Return ``number`` with commas and ``noun``, in the plural unless there is one.

    >>> counted(1, "table"), counted(0, "entry"), counted(1707, "key")
    ('1 table', '0 entries', '1,707 keys')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of ``noun``; the last word of several is the one that changes.

    >>> plural("range delete"), plural("flush"), plural("history"), plural("day"), plural("life")
    ('range deletes', 'flushes', 'histories', 'days', 'lives')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith("fe"):
        return noun[:-2] + "ves"
    return noun + ("es" if noun.endswith(_ES) else "s")
