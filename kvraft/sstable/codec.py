"""Codecs: how the body of a block is compressed, and the number that names the codec in the block.

======  =====  ===========================================================
number  name   needs
======  =====  ===========================================================
0       none
1       zstd   ``zstandard`` (the extra ``codecs``), or Python 3.14's own
2       lz4    ``lz4`` (the extra ``codecs``)
======  =====  ===========================================================

The codec of new tables is an option of the tree.  Each block names its own codec, so tables with
different codecs coexist.  A body that would not become smaller is stored uncompressed.

Invariant: a library is imported when it is first needed, and an error names a missing one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from kvraft.errors import BadInput, WrongType
from kvraft.inputs import describe_value

NONE = 0
NUMBERS = {"none": NONE, "zstd": 1, "lz4": 2}
NAMES = {number: name for name, number in NUMBERS.items()}

_ZSTD_LEVEL = 3
"""zstd's default: higher levels take several times as long to save one per cent more."""


class Codec(NamedTuple):
    """Two functions from bytes to bytes; ``unpack`` raises ``ValueError`` for invalid bytes."""

    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


def codec_number(name: str) -> int:
    """Return the number of the codec ``name``; raise ``BadInput`` if it is not available here."""
    if not isinstance(name, str):
        raise WrongType(f"a codec must be a name, not {describe_value(name)}")
    if name not in NUMBERS:
        raise BadInput(f"there is no codec {name!r}: choose one of {', '.join(NUMBERS)}")
    if NUMBERS[name] != NONE:
        load(NUMBERS[name])
    return NUMBERS[name]


@cache
def load(number: int) -> Codec:
    """Return the codec ``number``; raise ``BadInput`` if it or its library is missing."""
    name = NAMES.get(number)
    makers = {"zstd": _zstd, "lz4": _lz4}
    if name not in makers:
        raise BadInput(f"there is no codec number {number}")
    try:
        return makers[name]()
    except ImportError:
        raise BadInput(f"{name} is not installed: pip install 'kvraft[codecs]'") from None


def _zstd() -> Codec:
    try:
        library = importlib.import_module("compression.zstd")
    except ImportError:
        library = importlib.import_module("zstandard")
        compressor = library.ZstdCompressor(level=_ZSTD_LEVEL)
        decompressor = library.ZstdDecompressor()
        return Codec(compressor.compress, _guarded(decompressor.decompress, library.ZstdError))

    def pack(body: bytes) -> bytes:
        packed: bytes = library.compress(body, _ZSTD_LEVEL)
        return packed

    return Codec(pack, _guarded(library.decompress, library.ZstdError))


def _lz4() -> Codec:
    library = importlib.import_module("lz4.block")
    return Codec(library.compress, _guarded(library.decompress, library.LZ4BlockError))


def _guarded(unpack: Callable[[bytes], bytes], error: type[Exception]) -> Callable[[bytes], bytes]:
    def guarded(packed: bytes) -> bytes:
        try:
            return unpack(packed)
        except (error, ValueError, MemoryError) as problem:  # invalid bytes may state any size
            what = str(problem) or "there is not enough memory for it"
            raise ValueError(f"a block cannot be unpacked: {what}") from None

    return guarded
