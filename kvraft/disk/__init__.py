"""The disk: the only way to the file system, and what every file on it has in common.

Log, tables and manifest read and write through the :class:`Disk` protocol alone.  So a simulated
disk (``kvraft.sim.disk``) that loses unsynced bytes, tears writes or fails can replace a real one::

    read_only     a directory as it was at one moment, while another process may write to it
    │  real       a directory of the operating system, locked against other processes
    │  │
    │  │  identity     MEMBER: whose disk this is, and whether it has forgotten anything
    │  │  │  └──► frame     checksummed frames: how a torn write is distinguished from damage
    ▼  ▼  ▼
    disk          the protocol, and what is written in terms of it: replace, create, copy, read back
    filenames     the names of tables, manifests and segments

Invariants:

- Bytes are durable after ``sync``, names after ``sync_dir``, and nothing is durable before.
- A sync that failed is never repeated, and a file that replaces another is read back first.
- A frame is accepted only in the file, and for the owner, that it was written for.
- ``MEMBER`` is durable before the first file of the log exists.
- A directory belongs to one process; a reader in another one takes no lock and changes nothing.

Sources: LevelDB Env and log_format; Rebello et al., *Can Applications Recover from fsync
Failures?*, ATC 2020; Alagappan et al., *Protocol-Aware Recovery*, FAST 2018.
"""

from kvraft.disk import frame
from kvraft.disk.disk import (
    TEMPORARY_SUFFIX,
    Disk,
    ReadableFiles,
    copy_file,
    create_file,
    is_disk_full,
    replace_file,
    verify_written,
    write_mismatch,
)
from kvraft.disk.filenames import (
    CURRENT,
    is_manifest,
    is_segment,
    is_torn,
    manifest_name,
    manifest_number,
    segment_name,
    table_name,
    table_number,
    torn_name,
)
from kvraft.disk.frame import FRAME_MAGIC, FRAME_OVERHEAD, Frame
from kvraft.disk.identity import (
    ASIDE_PREFIX,
    MEMBER,
    REBUILD_ADVICE,
    check_owner,
    claim_disk,
    live_files,
    replacement_name,
    set_aside,
)
from kvraft.disk.read_only import ReadOnlyDisk, open_on_disk
from kvraft.disk.real import RealDisk, refuse_after_fork

__all__ = [
    "ASIDE_PREFIX",
    "CURRENT",
    "FRAME_MAGIC",
    "FRAME_OVERHEAD",
    "MEMBER",
    "REBUILD_ADVICE",
    "TEMPORARY_SUFFIX",
    "Disk",
    "Frame",
    "ReadOnlyDisk",
    "ReadableFiles",
    "RealDisk",
    "check_owner",
    "claim_disk",
    "copy_file",
    "create_file",
    "frame",
    "is_disk_full",
    "is_manifest",
    "is_segment",
    "is_torn",
    "live_files",
    "manifest_name",
    "manifest_number",
    "open_on_disk",
    "refuse_after_fork",
    "replace_file",
    "replacement_name",
    "segment_name",
    "set_aside",
    "table_name",
    "table_number",
    "torn_name",
    "verify_written",
    "write_mismatch",
]
