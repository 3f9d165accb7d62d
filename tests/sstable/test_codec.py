"""Codecs: what is packed is unpacked, nonsense is a ValueError, a missing library is named."""

import contextlib
import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, ForeignFile
from kvraft.lsm import TreeOptions
from kvraft.sim import SimDisk
from kvraft.sstable import Table, codec, unpack_block
from kvraft.sstable.block import pack_block
from tests.helpers.storage import write_table

LIBRARIES = {"zstd": ("zstandard", "compression.zstd"), "lz4": ("lz4.block",)}
ROWS = [(b"key%03d" % at, at, b"the same again ") for at in range(200)]

bodies = st.binary(max_size=300) | st.builds(
    lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 500)
)


@pytest.fixture(params=LIBRARIES)
def name(request):
    """A codec whose library is here."""
    if request.param == "zstd" and sys.version_info < (3, 14):
        pytest.importorskip("zstandard")
    elif request.param == "lz4":
        pytest.importorskip("lz4.block")
    return request.param


@pytest.fixture
def _unloaded():
    """No codec is loaded yet, nor is any afterwards."""
    codec.load.cache_clear()
    yield
    codec.load.cache_clear()


@pytest.fixture
def bare(monkeypatch, _unloaded):
    """Nothing is installed."""
    real = importlib.import_module

    def import_module(wanted):
        if any(wanted in names for names in LIBRARIES.values()):
            raise ImportError(f"No module named {wanted!r}")
        return real(wanted)

    monkeypatch.setattr(codec.importlib, "import_module", import_module)
    return monkeypatch


@given(bodies)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_what_is_packed_is_unpacked(body):
    for name in LIBRARIES:
        try:
            found = codec.load(codec.codec_number(name))
        except BadInput:  # its library is not here
            continue
        assert found.unpack(found.pack(body)) == body


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_libraries_of_the_extra_are_what_the_tests_run_with(name):
    if name == "zstd" and sys.version_info < (3, 14):
        pytest.importorskip("zstandard")
    elif name == "lz4":
        pytest.importorskip("lz4.block")
    body = b"again and again " * 100
    assert len(codec.load(codec.codec_number(name)).pack(body)) < len(body) / 4


def test_a_cut_packing_is_a_value_error_at_every_byte(name):
    found = codec.load(codec.codec_number(name))
    packed = found.pack(bytes(range(200)) * 3)
    for size in range(len(packed)):
        with pytest.raises(ValueError, match="a block cannot be unpacked"):
            found.unpack(packed[:size])


@given(st.binary(max_size=40), st.binary(min_size=100, max_size=300), st.data())
@settings(deadline=None, derandomize=True, max_examples=200)
def test_nonsense_is_bytes_or_a_value_error(head, body, data):
    for name in LIBRARIES:
        try:
            found = codec.load(codec.codec_number(name))
        except BadInput:
            continue
        packed = bytearray(found.pack(body + body))
        for _ in range(3):
            at = data.draw(st.integers(4, min(20, len(packed) - 1)))
            packed[at] = data.draw(st.integers(0, 255))
        for wrong in (head[:2], bytes(packed), bytes(packed[:8]) + head):
            with contextlib.suppress(ValueError):
                assert isinstance(found.unpack(wrong), bytes)


def test_a_head_that_promises_more_than_there_is_memory_for_is_a_value_error():
    """Whoever believes a head raises ``MemoryError``, from deep inside."""
    pytest.importorskip("zstandard")
    body = b"x" * 300
    packed = codec.load(1).pack(body)
    single_segment, frame = b"\x28\xb5\x2f\xfd\xe0", packed[7:]
    honest = single_segment + len(body).to_bytes(8, "little") + frame
    assert codec.load(1).unpack(honest) == body
    with pytest.raises(ValueError, match="a block cannot be unpacked"):
        codec.load(1).unpack(single_segment + (1 << 62).to_bytes(8, "little") + frame)


def test_numbers_are_the_same_for_ever_and_names_are_checked():
    assert codec.NUMBERS == {"none": 0, "zstd": 1, "lz4": 2}
    assert codec.codec_number("none") == codec.NONE == 0
    for wrong in ("snappy", "", "ZSTD"):
        with pytest.raises(BadInput, match=f"no codec '{wrong}': choose one of none, zstd, lz4"):
            codec.codec_number(wrong)
    for number in (0, 3, 255):
        with pytest.raises(BadInput, match=f"there is no codec number {number}"):
            codec.load(number)


def test_a_body_that_would_not_shrink_is_stored_as_it_is(name):
    number = codec.codec_number(name)
    dense, loose = bytes(range(256)), bytes(256)
    assert pack_block(dense, 7, 3, number)[:-9] == dense
    assert pack_block(dense, 7, 3, number)[-9] == codec.NONE
    assert len(pack_block(loose, 7, 3, number)) < len(loose)
    assert pack_block(loose, 7, 3, number)[-9] == number
    for body in (dense, loose):
        block = pack_block(body, 7, 3, number)
        assert unpack_block(block, len(block), 7, 3, "t") == body


def test_a_table_of_each_codec_reads_the_same(name):
    disk = SimDisk()
    plain = write_table(disk, 1, ROWS, codec="none")
    packed = write_table(disk, 2, ROWS, codec=name)
    assert packed.size < plain.size / 2
    tables = [Table.open(disk, info) for info in (plain, packed)]
    assert tables[1].properties["codec"] == name
    one, other = ([row for chunk in table.chunks() for row in chunk] for table in tables)
    assert one == other == ROWS


# ── what is not installed ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wanted", LIBRARIES)
def test_a_missing_library_is_named_where_it_is_asked_for(bare, wanted):
    says = rf"{wanted} is not installed: pip install 'kvraft\[codecs\]'"
    for ask in (lambda: codec.codec_number(wanted), lambda: TreeOptions(codec=wanted)):
        with pytest.raises(BadInput, match=says):
            ask()
    assert TreeOptions(codec="none").codec == "none"


def test_a_table_whose_codec_is_missing_says_which_block_of_which_file(name, request):
    disk = SimDisk()
    info = write_table(disk, 1, ROWS, codec=name)
    request.getfixturevalue("bare")
    says = f"000001.sst, offset [0-9]+: a block needs a codec: {name} is not installed"
    with pytest.raises(ForeignFile, match=says):
        Table.open(disk, info)


def test_no_library_is_imported_before_it_is_needed():
    program = (
        "import sys, kvraft.lsm.tree\n"
        "kvraft.lsm.tree.TreeOptions()\n"
        "print([m for m in ('zstandard', 'lz4', 'compression') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.usefixtures("_unloaded")
def test_zstd_of_python_itself_is_preferred(monkeypatch):
    """As of 3.14.  The other library makes the same bytes, so it can stand in for it here."""
    zstandard = pytest.importorskip("zstandard")
    asked = []

    def compress(data, level):
        asked.append(level)
        return zstandard.ZstdCompressor(level=level).compress(data)

    own = SimpleNamespace(
        compress=compress,
        decompress=zstandard.ZstdDecompressor().decompress,
        ZstdError=zstandard.ZstdError,
    )
    only = {"compression.zstd": own}
    monkeypatch.setattr(codec.importlib, "import_module", lambda wanted: only[wanted])
    found = codec.load(1)
    assert found.unpack(found.pack(b"x" * 99)) == b"x" * 99
    assert asked == [3]
    with pytest.raises(ValueError, match="a block cannot be unpacked"):
        found.unpack(b"nonsense")
