"""Room."""

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
