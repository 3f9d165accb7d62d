"""The bounds of a scan: where it begins and where it stops, whatever it scans.

A scan goes over the keys with ``start <= key < stop``, where ``None`` is no end; a prefix is short
for the two bounds of all keys that begin with it.
"""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.record import Buffer, as_bytes


def prefix_stop(prefix: bytes) -> bytes | None:
    r"""Return the ``stop`` that ends a scan from ``prefix`` behind its last key; ``None``: no end.

    >>> prefix_stop(b"user/"), prefix_stop(b"a\xff"), prefix_stop(b"\xff")
    (b'user0', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def bounds(start: Buffer, stop: Buffer | None, prefix: Buffer | None) -> tuple[bytes, bytes | None]:
    """Return where to begin and where to stop; ``BadInput`` if that makes no sense."""
    if prefix is not None:
        if start != b"" or stop is not None:
            raise BadInput("a scan has a prefix or bounds, not both")
        prefix = as_bytes(prefix, "the prefix of a scan")
        return prefix, prefix_stop(prefix)
    start = as_bytes(start, "the start of a scan")
    if stop is not None:
        stop = as_bytes(stop, "the stop of a scan")
        if start > stop:
            raise BadInput(f"a scan must not start behind its stop: {start!r} is above {stop!r}")
    return start, stop
