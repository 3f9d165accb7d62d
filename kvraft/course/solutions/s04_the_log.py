"""Answers to notebooks/04_the_log.ipynb."""

from struct import unpack_from
from zlib import crc32

from kvraft.disk import FRAME_MAGIC, FRAME_OVERHEAD


def scan_segment(data, seed):
    """Frame by frame, each checked at the place where it stands."""
    offsets, at = [], 0
    while at + FRAME_OVERHEAD <= len(data) and data[at : at + 4] == FRAME_MAGIC:
        end = at + FRAME_OVERHEAD + unpack_from("<I", data, at + 8)[0]
        if end > len(data):
            break
        if crc32(data[at : end - 4], seed ^ at) != unpack_from("<I", data, end - 4)[0]:
            break
        offsets.append(at)
        at = end
    return offsets, at


def believes_lengths(data, seed):
    """Follows lengths and checks nothing."""
    offsets, at = [], 0
    while at + FRAME_OVERHEAD <= len(data) and data[at : at + 4] == FRAME_MAGIC:
        end = at + FRAME_OVERHEAD + unpack_from("<I", data, at + 8)[0]
        if end > len(data):
            break
        offsets.append(at)
        at = end
    return offsets, at


def without_the_head(data, seed):
    """Checks only payloads: a flipped bit in a head goes undetected."""
    offsets, at = [], 0
    while at + FRAME_OVERHEAD <= len(data) and data[at : at + 4] == FRAME_MAGIC:
        end = at + FRAME_OVERHEAD + unpack_from("<I", data, at + 8)[0]
        if end > len(data):
            break
        if crc32(data[at + 20 : end - 4], seed ^ at) != unpack_from("<I", data, end - 4)[0]:
            break
        offsets.append(at)
        at = end
    return offsets, at


def without_the_offset(data, seed):
    """Takes a copy of a frame, at another place, for a frame of this place."""
    offsets, at = [], 0
    while at + FRAME_OVERHEAD <= len(data) and data[at : at + 4] == FRAME_MAGIC:
        end = at + FRAME_OVERHEAD + unpack_from("<I", data, at + 8)[0]
        if end > len(data):
            break
        if crc32(data[at : end - 4], seed) != unpack_from("<I", data, end - 4)[0]:
            break
        offsets.append(at)
        at = end
    return offsets, at


def without_the_seed(data, seed):
    """Starts its checksums from nothing."""
    return scan_segment(data, 0)


def takes_the_torn_one(data, seed):
    """Counts a frame that is cut short."""
    offsets, end = scan_segment(data, seed)
    if data[end : end + 4] == FRAME_MAGIC:
        return [*offsets, end], len(data)
    return offsets, end


def ends_where_the_file_ends(data, seed):
    """The frames are right, the end is not."""
    return scan_segment(data, seed)[0], len(data)


def skips_what_is_bad(data, seed):
    """Looks for the next magic and goes on, as some logs do: then entries are missing between."""
    offsets, at, end = [], 0, 0
    while (at := data.find(FRAME_MAGIC, at)) >= 0:
        more, size = scan_segment(data[at:], seed)
        offsets += [at + offset for offset in more]
        end = at + size if more else end
        at += max(size, 1)
    return offsets, end


def runs_off_the_end(data, seed):
    """Asks for bytes that are not there."""
    offsets, at = [], 0
    while at < len(data):
        end = at + FRAME_OVERHEAD + unpack_from("<I", data, at + 8)[0]
        if crc32(data[at : end - 4], seed ^ at) != unpack_from("<I", data, end - 4)[0]:
            break
        offsets.append(at)
        at = end
    return offsets, at


def forgets_the_last_checksum(data, seed):
    """The next frame begins four bytes later than this believes."""
    offsets, end = scan_segment(data, seed)
    return offsets[:1], min(end, 20 + unpack_from("<I", data, 8)[0] if offsets else 0)


def gives_only_offsets(data, seed):
    """Forgets the end."""
    return scan_segment(data, seed)[0]


def torn_or_damage(frames_after, offset):
    """A later frame that was written after a sync of those bytes makes it damage."""
    return "damage" if any(frame.synced > offset for frame in frames_after) else "torn"


def anything_after(frames_after, offset):
    """Takes a write that lost its middle for damage."""
    return "damage" if frames_after else "torn"


def at_least(frames_after, offset):
    """One too many: synced is the first offset that is not promised."""
    return "damage" if any(frame.synced >= offset for frame in frames_after) else "torn"


def by_place(frames_after, offset):
    """Where a frame is says nothing about when it was synced."""
    return "damage" if any(frame.offset > offset for frame in frames_after) else "torn"


def only_the_next(frames_after, offset):
    """The next frame may be of the same save."""
    return "damage" if frames_after and frames_after[0].synced > offset else "torn"


def all_of_them(frames_after, offset):
    """One promise is enough; and where there is no frame, all of them promise."""
    return "damage" if all(frame.synced > offset for frame in frames_after) else "torn"


def always_torn(frames_after, offset):
    """Cuts whatever it cannot read: what was promised is lost without a word."""
    return "torn"


def always_damage(frames_after, offset):
    """Refuses after every power cut in the middle of a write."""
    return "damage"


def gives_a_truth_value(frames_after, offset):
    """The right thought in the wrong type."""
    return any(frame.synced > offset for frame in frames_after)


def raises(frames_after, offset):
    """There need not be a frame after it."""
    return "damage" if max(frame.synced for frame in frames_after) > offset else "torn"


RIGHT = {"refused": "bdgh", "scan_segment": scan_segment, "torn_or_damage": torn_or_damage}
WRONG = {
    "refused": [
        "abcdefgh",
        "",
        "bcdgh",  # the last frame of a log that is open looks like a torn write
        "bdegh",  # both frames of the last save have one sync
        "bgh",  # the frame that closes a log shields the one before it
        "bdh",  # a sealed segment has no torn tail
        "bdfgh",  # zeros are not a frame, and nobody promised them
        None,
    ],
    "scan_segment": [
        believes_lengths,
        without_the_head,
        without_the_offset,
        without_the_seed,
        takes_the_torn_one,
        ends_where_the_file_ends,
        skips_what_is_bad,
        runs_off_the_end,
        forgets_the_last_checksum,
        gives_only_offsets,
    ],
    "torn_or_damage": [
        anything_after,
        at_least,
        by_place,
        only_the_next,
        all_of_them,
        always_torn,
        always_damage,
        gives_a_truth_value,
        raises,
    ],
}
