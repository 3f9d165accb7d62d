"""A file of another format is refused in one sentence, the same for every kind of file."""

import pytest

from kvraft.disk import RealDisk, claim_disk, identity
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
