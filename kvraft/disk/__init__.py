"""Room."""

from kvraft.disk import frame
from kvraft.disk.disk import (
    TEMPORARY,
    Disk,
    ReadableFiles,
    copy_file,
    create_with,
    is_full,
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
from kvraft.disk.frame import FRAME_OVERHEAD, MAGIC, Frame
from kvraft.disk.identity import (
    ASIDE,
    MEMBER,
    REBUILD,
    check_member,
    claim,
    own_files,
    replacement_name,
    set_aside,
)
from kvraft.disk.read_only import ReadOnlyDisk, open_on
from kvraft.disk.real import RealDisk, refuse_after_fork

__all__ = [
    "ASIDE",
    "CURRENT",
    "FRAME_OVERHEAD",
    "MAGIC",
    "MEMBER",
    "REBUILD",
    "TEMPORARY",
    "Disk",
    "Frame",
    "ReadOnlyDisk",
    "ReadableFiles",
    "RealDisk",
    "check_member",
    "claim",
    "copy_file",
    "create_with",
    "frame",
    "is_full",
    "is_manifest",
    "is_segment",
    "is_torn",
    "manifest_name",
    "manifest_number",
    "open_on",
    "own_files",
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
