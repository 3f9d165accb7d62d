"""Lesson 04: what its checks say of readers of frames; its answers are true."""

import pytest

from kvraft.course.answers import digest
from kvraft.course.exercises import log
from kvraft.course.exercises.log import check_scan, check_torn_or_damage, damaged, files, situations
from kvraft.course.solutions import s04_the_log as solutions
from kvraft.disk import Frame, frame
from kvraft.errors import KvraftError
from kvraft.wal import Wal
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


# ── eight logs ──────────────────────────────────────────────────────────────────────────────────


def opened(disk):
    try:
        return Wal.open(disk, "n1").last_index
    except KvraftError:
        return None


def test_the_refused_ones_are_those_that_do_not_open():
    found = {letter: opened(case.disk) for letter, case in damaged().items()}
    refused = "".join(letter for letter, last in found.items() if last is None)
    assert refused == solutions.RIGHT["refused"]
    assert {letter: last for letter, last in found.items() if last} == {
        **dict.fromkeys("ace", 5),
        "f": 6,
    }
    assert digest(refused) == "53b504b2c3cb"


def test_what_happened_to_each_is_what_is_said():
    whole, starts = log.saved()
    (name,) = whole.names()
    good = whole.read(name)
    logs = {letter: case.disk.read(case.disk.names()[0]) for letter, case in damaged().items()}
    assert logs["a"] == good[:-5]
    assert logs["f"] == good + bytes(100)
    pieces = [frame.decode(good, at, seed=frame.checksum_seed("n1", name)) for at in starts]
    assert all(isinstance(each, Frame) for each in pieces)
    hard_state_end = pieces[5].end
    for letter, low, high in (
        ("b", starts[1], pieces[1].end),
        ("c", hard_state_end, len(good)),
        ("d", hard_state_end, len(good)),
        ("e", starts[5], hard_state_end),
    ):
        (changed,) = [at for at in range(len(good)) if logs[letter][at] != good[at]]
        assert low <= changed < high, letter
    assert len(logs["d"]) == len(good) + frame.FRAME_OVERHEAD
    split, _ = log.saved(log.SMALL)
    assert logs["g"] == split.read(split.names()[0])[:-5]
    left = damaged()["h"].disk.names()
    assert left == [*split.names()[:1], *split.names()[2:]]
    assert len(split.names()) > 2


# ── scanning ────────────────────────────────────────────────────────────────────────────────────


def by_decode(data, seed):
    offsets, at = [], 0
    while at < len(data) and isinstance(found := frame.decode(data, at, seed=seed), Frame):
        offsets.append(at)
        at = found.end
    return offsets, at


@pytest.mark.parametrize("scanner", [solutions.scan_segment, by_decode])
def test_a_right_scan_is_told_so(capsys, scanner):
    words = said(capsys, check_scan, scanner)
    assert words.startswith(
        f"Right. It agrees with kvraft.disk.frame.scan on all {len([*files()])} "
    )


@pytest.mark.parametrize(
    ("scanner", "hint"),
    [
        (solutions.believes_lengths, "1 frame, 27 bytes, with a bit flipped at offset 4"),
        (solutions.without_the_head, "1 frame, 27 bytes: yours gives ([], 0), right is ([0], 27)"),
        (solutions.without_the_offset, "1 frame, 27 bytes, and a copy of all of it"),
        (solutions.without_the_seed, "1 frame, 27 bytes: yours gives ([], 0), right is ([0], 27)"),
        (solutions.takes_the_torn_one, "where the head of a frame is cut short"),
        (solutions.ends_where_the_file_ends, "truncated after byte 1"),
        (solutions.skips_what_is_bad, "1 frame, 27 bytes, and a copy of all of it"),
        (solutions.runs_off_the_end, "runs_off_the_end raised error: unpack_from"),
        (solutions.gives_only_offsets, "give two things, a list of offsets and the end"),
        (lambda data, seed: None, "your function gives None"),
    ],
)
def test_a_wrong_scan_is_told_the_shortest_file(capsys, scanner, hint):
    words = said(capsys, check_scan, scanner)
    assert words.startswith("Not yet. A"), words
    assert hint in words
    assert words.count("\n") == 1


def test_files_are_cut_and_flipped_at_every_byte_and_grow():
    says = [case.description for case in files()]
    whole = log.rows()
    counts = [int(text.split()[3]) for text in says[1:]]
    assert counts == sorted(counts)
    for count, data in enumerate(whole[1:], 1):
        flips = {text.split()[-1] for text in says if f" {count} frame" in text and "flipp" in text}
        assert flips == {str(at) for at in range(len(data))}
    cut = {len(case.data) for case in files()}
    assert set(range(len(whole[-1]) + 1)) <= cut


# ── torn or damaged ─────────────────────────────────────────────────────────────────────────────


def test_a_right_rule_is_told_so(capsys):
    words = said(capsys, check_torn_or_damage, solutions.torn_or_damage)
    assert words.startswith(
        f"Right. It agrees with kvraft.disk.frame.scan on all {len([*situations()])}"
    )


@pytest.mark.parametrize(
    ("judge", "hint"),
    [
        (solutions.anything_after, "one save of 2 frames; frame 1, at offset 0"),
        (solutions.at_least, "one save of 2 frames; frame 1, at offset 0"),
        (solutions.by_place, "none was written after a sync of the byte at 0"),
        (solutions.only_the_next, "The valid frames after it have synced 0 and 54"),
        (solutions.all_of_them, "No valid frame follows it"),
        (solutions.always_torn, "one was written after a sync of the byte at 0"),
        (solutions.always_damage, "Your rule says 'damage', right is 'torn'"),
        (solutions.gives_a_truth_value, 'gives False: give "torn" or "damage"'),
        (solutions.raises, "raised ValueError"),
        (lambda after, offset: None, "gives None"),
    ],
)
def test_a_wrong_rule_is_told_the_shortest_log(capsys, judge, hint):
    words = said(capsys, check_torn_or_damage, judge)
    assert words.startswith("Not yet. A log of"), words
    assert hint in words
    assert words.count("\n") == 1


def test_the_real_module_says_both_words_in_logs_of_one_frame_and_more():
    found = [*situations()]
    assert {case.right for case in found} == {"torn", "damage"}
    assert {case.right for case in found if not case.after} == {"torn"}
    assert {case.right for case in found if case.after} == {"torn", "damage"}


@pytest.mark.parametrize("check", [check_scan, check_torn_or_damage])
def test_no_answer_is_told_so(capsys, check):
    assert said(capsys, check, lambda one, two: ...).startswith("Not answered yet")
