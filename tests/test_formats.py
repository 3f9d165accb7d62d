"""A file of another format is refused in one sentence, the same for every kind of file."""

import json
import zlib

import pytest

from kvraft.disk import MEMBER, RealDisk, claim_disk, identity
from kvraft.errors import ForeignFile
from kvraft.lsm import manifest
from kvraft.sstable import format as table_format
from kvraft.store import Store
from kvraft.wal import segment


@pytest.mark.parametrize("kind", [identity, manifest, segment, table_format])
def test_another_format_is_refused_with_how_to_move(kind, tmp_path, monkeypatch):
    with Store.open(tmp_path) as store:
        store.put(b"k", b"v")
        store.flush()
    disk = RealDisk(tmp_path)
    if kind is identity:
        for name in disk.names():
            disk.remove(name)
        claim_disk(disk, "c/n1", new=True)
    reads = kind.FORMAT + 7
    monkeypatch.setattr(kind, "FORMAT", reads)
    with pytest.raises(ForeignFile) as found:
        claim_disk(disk, "c/n1", new=False) if kind is identity else Store.open(disk).close()
    disk.close()
    file, _, rest = str(found.value).partition(" has format ")
    assert (tmp_path / file).is_file()
    assert rest == (
        f"{reads - 7}; this version of kvraft reads format {reads}: dump it with the version that "
        "wrote it (kvraft dump) and load it with this one (kvraft load)"
    )


def with_earlier_frames(data):
    """Return a file whose first frame, a header, is as the first layout of frames had it."""
    payload_at, length = 20, int.from_bytes(data[8:12], "little")
    header = json.loads(data[payload_at : payload_at + length]) | {"format": 2}
    payload = json.dumps(header).encode()
    head = b"kvF1" + data[4:8] + len(payload).to_bytes(4, "little") + bytes(8)
    checksums = [zlib.crc32(part).to_bytes(4, "little") for part in (head, payload)]
    return head + checksums[0] + payload + checksums[1]


@pytest.mark.parametrize("kind", ["log", "manifest", "member"])
def test_an_earlier_layout_of_frames_is_refused_with_how_to_move(kind, tmp_path):
    with Store.open(tmp_path) as store:
        store.put(b"k", b"v")
    disk = RealDisk(tmp_path)
    pattern = {"log": "*.wal", "manifest": "MANIFEST-*", "member": MEMBER}[kind]
    if kind == "member":
        for name in disk.names():
            disk.remove(name)
        claim_disk(disk, "c/n1", new=True)
    [path] = tmp_path.glob(pattern)
    path.write_bytes(with_earlier_frames(path.read_bytes()))
    with pytest.raises(ForeignFile, match=f"{path.name} has format 2; .*kvraft dump"):
        claim_disk(disk, "c/n1", new=False) if kind == "member" else Store.open(disk).close()
    disk.close()
