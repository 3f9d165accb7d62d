"""Opened for reading only: without a lock, a right to write or a trace, also beside a writer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

import kvraft.disk.read_only
from kvraft.disk import ReadOnlyDisk, RealDisk
from kvraft.errors import BadInput, Corruption, FilesChanged, ReadOnly
from kvraft.lsm import Tree, TreeOptions
from kvraft.sim import SimDisk
from kvraft.store import Store
from kvraft.wal import Durability

SMALL = TreeOptions(memtable_bytes=2000)


def key(i: int) -> bytes:
    return b"%06d" % i


def fill(store: Store, count: int) -> None:
    for i in range(count):
        store.put(key(i), b"v" * 20)


def a_store(path: Path, count: int = 200) -> None:
    with Store.open(path, options=SMALL, segment_bytes=1500) as store:
        fill(store, count)


def state_of(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file, its number, its time of change and its bytes."""
    return {
        file.name: (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
        for file in path.iterdir()
    }


def test_it_reads_what_is_there_and_leaves_no_trace(tmp_path):
    a_store(tmp_path / "s")
    (tmp_path / "s" / "LOCK").unlink()
    (tmp_path / "s" / "999999.sst").write_bytes(b"what a crash left")
    (tmp_path / "s" / "CURRENT.tmp").write_bytes(b"what a crash left")
    log = max((tmp_path / "s").glob("*.wal"))
    log.write_bytes(log.read_bytes() + b"a torn end")
    before = state_of(tmp_path / "s")
    with Store.open(tmp_path / "s", read_only=True) as store:
        assert [k for k, _ in store.scan()] == [key(i) for i in range(200)]
        assert store.get(key(7)) == b"v" * 20
        assert store.read_only
        store.verify()
        assert store.stats().rows > 0
    with Tree.open(tmp_path / "s", owner="kvraft/store", read_only=True) as tree:
        assert tree.read_only
        assert 0 < len(list(tree.scan())) <= 200
    assert state_of(tmp_path / "s") == before


@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.put(b"k", b"v"),
        lambda s: s.delete(b"k"),
        lambda s: s.delete_range(b"a"),
        lambda s: s.flush(),
        lambda s: s.compact(),
        lambda s: s.work(),
        lambda s: s.sync(),
    ],
)
def test_every_write_is_refused(tmp_path, write):
    a_store(tmp_path / "s")
    with Store.open(tmp_path / "s", read_only=True) as store:
        with pytest.raises(ReadOnly, match="opened for reading only"):
            write(store)
        assert not store.has_work
        assert len(list(store.scan())) == 200


def test_a_disk_that_is_only_read_refuses_every_write(tmp_path):
    with contextlib.closing(RealDisk(tmp_path / "d")) as disk:
        disk.create("a")
        disk.append("a", b"12345")
    before = state_of(tmp_path / "d")
    disk = ReadOnlyDisk(tmp_path / "d")
    for write in (
        lambda: disk.create("b"),
        lambda: disk.append("a", b"x"),
        lambda: disk.truncate("a", 1),
        lambda: disk.sync("a"),
        lambda: disk.rename("a", "b"),
        lambda: disk.remove("a"),
        lambda: disk.link("a", disk),
        disk.sync_dir,
    ):
        with pytest.raises(OSError, match="reading only"):
            write()
    assert disk.read("a") == b"12345"
    assert disk.read("a", 3, 9) == b"45"
    assert disk.read("a", 7) == b""
    assert disk.names() == ["a"]
    assert disk.free_bytes() == 0
    assert disk.identity("a") == str((tmp_path / "d" / "a").stat().st_ino)
    with pytest.raises(FileNotFoundError):
        disk.size("b")
    disk.close()
    assert state_of(tmp_path / "d") == before


def test_where_there_is_nothing_it_says_so_and_makes_nothing(tmp_path):
    with pytest.raises(BadInput, match="no directory"):
        Store.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="nothing to read"):
        Tree.open(tmp_path / "empty", read_only=True)
    assert not list((tmp_path / "empty").iterdir())


def test_a_simulated_disk_is_not_written_to_either():
    disk = SimDisk()
    store = Store.open(disk, options=SMALL, durability=Durability.SYNC)
    fill(store, 150)
    disk.crash(Random(1))
    count = disk.operations
    with Store.open(disk, read_only=True) as reader:
        assert len(list(reader.scan())) == 150
    assert disk.operations == count


def test_another_user_reads_where_nothing_may_be_written(tmp_path):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    a_store(tmp_path / "s")
    for place in (tmp_path, *tmp_path.parents):
        with contextlib.suppress(OSError):
            place.chmod(place.stat().st_mode | 0o055)
    (tmp_path / "s").chmod(0o555)
    for file in (tmp_path / "s").iterdir():
        file.chmod(0o444)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            Store.open(tmp_path / "s")
        with Store.open(tmp_path / "s", read_only=True) as store:
            assert len(list(store.scan())) == 200
    finally:
        os.seteuid(0)


def test_a_file_system_that_is_mounted_for_reading_only(tmp_path):
    a_store(tmp_path / "s")
    bind = ["mount", "--bind", str(tmp_path / "s"), str(tmp_path / "s")]
    try:
        subprocess.run(bind, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(tmp_path / "s")], check=True)
        with pytest.raises(OSError, match="Read-only file system"):
            Store.open(tmp_path / "s")
        with Store.open(tmp_path / "s", read_only=True) as store:
            assert len(list(store.scan())) == 200
    finally:
        subprocess.run(["umount", str(tmp_path / "s")], check=True)


def test_what_is_durable_for_certain_is_said(tmp_path):
    writer = Store.open(tmp_path / "s", durability=Durability.OS)
    fill(writer, 10)
    writer.sync()
    fill(writer, 5)
    with Store.open(tmp_path / "s", read_only=True) as store:
        assert store.wal.last_index == 15
        assert store.durable_index == 10
    assert writer.durable_index == 10
    writer.sync()
    assert writer.durable_index == 15
    writer.close()
    with Store.open(tmp_path / "s", read_only=True) as store:
        assert store.durable_index == store.wal.last_index == 15


def test_it_sees_one_moment_whatever_the_writer_does_later(tmp_path):
    with Store.open(tmp_path / "s", options=SMALL, segment_bytes=1500) as writer:
        fill(writer, 100)
        writer.flush()
        with Store.open(tmp_path / "s", read_only=True) as reader:
            for i in range(100):
                writer.put(key(i), b"later")
            writer.compact()
            assert reader.get(key(3)) == b"v" * 20
            assert {value for _, value in reader.scan()} == {b"v" * 20}
            reader.verify()


def test_a_table_that_is_gone_is_a_change_and_no_damage(tmp_path, monkeypatch):
    # CURRENT, the manifest, one segment
    monkeypatch.setattr(kvraft.disk.read_only, "FILES_HELD_OPEN", 3)
    with Store.open(tmp_path / "s", options=SMALL, segment_bytes=1500) as writer:
        fill(writer, 100)
        writer.flush()
        with Store.open(tmp_path / "s", read_only=True) as reader:
            for i in range(100):
                writer.put(key(i), b"later")
            writer.compact()
            with pytest.raises(FilesChanged, match=r"changed while it was read .*open it again"):
                list(reader.scan())
        with Store.open(tmp_path / "s", read_only=True) as reader:
            assert reader.get(key(3)) == b"later"


def test_real_damage_is_still_damage(tmp_path):
    a_store(tmp_path / "s")
    table = min((tmp_path / "s").glob("*.sst"))
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(Corruption, match=r"000\d+\.sst"):
        Store.open(tmp_path / "s", read_only=True)
    table.unlink()
    with pytest.raises(Corruption, match="is missing"):
        Store.open(tmp_path / "s", read_only=True)


def test_a_directory_that_never_stands_still_is_given_up_on(tmp_path, monkeypatch):
    a_store(tmp_path / "s")
    numbers = iter(range(10**6))

    def list_and_change(disk: ReadOnlyDisk) -> list[str]:
        (tmp_path / "s" / f"x{next(numbers)}").touch()
        return sorted(file.name for file in (tmp_path / "s").iterdir())

    monkeypatch.setattr(ReadOnlyDisk, "_list", list_and_change)
    with pytest.raises(FilesChanged, match="open it again"):
        Store.open(tmp_path / "s", read_only=True)


WRITER = """
import sys
from kvraft.lsm import TreeOptions
from kvraft.store import Store

store = Store.open(sys.argv[1], options=TreeOptions(memtable_bytes=4000), segment_bytes=3000)
print("open", flush=True)
i = 0
while True:
    store.put(b"%08d" % i, b"%d" % i * 10)
    i += 1
    if i % 500 == 0:
        store.compact()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps readers and writers apart")
def test_beside_a_process_that_writes_flushes_compacts_and_truncates(tmp_path):
    path = tmp_path / "s"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        end, opened, changed, seen = time.monotonic() + 3, 0, 0, 0
        while time.monotonic() < end:
            try:
                with Store.open(path, read_only=True) as store:
                    keys = [int(k) for k, _ in store.scan()]
                    store.verify()
            except FilesChanged:
                changed += 1
                continue
            assert keys == list(range(len(keys))), "what is seen is a prefix of what was written"
            assert len(keys) >= seen, "and never goes back"
            seen, opened = len(keys), opened + 1
    finally:
        writer.send_signal(signal.SIGTERM)
        writer.wait()
        if writer.stdout is not None:
            writer.stdout.close()
    assert writer.returncode == -signal.SIGTERM, "the writer never noticed"
    assert seen > 0
    assert opened > changed
