"""Snapshots: who needs more than the log still holds is sent one (Raft §7)."""

from dataclasses import replace
from zlib import crc32

import pytest

from kvraft.errors import BadInput
from kvraft.events import MessageRejected, ProgressChanged, SnapshotReceived
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    InstallSnapshot,
    InstallSnapshotReply,
    ReadIndex,
    ReadIndexReply,
    ReadReady,
    ReceivedSnapshot,
    Role,
)
from kvraft.raft.interface import SnapshotChunk
from kvraft.record import Position
from kvraft.sim.member import InMemorySnapshot
from tests.helpers.raft_member import (
    PAPER,
    THREE,
    ack,
    append,
    at,
    entries,
    finish,
    leader,
    member,
    ticks,
)

from tests.helpers.raft_member import record, refuse, round_of, terms_of  # isort: skip

CHUNKS = replace(PAPER, max_batch_bytes=4)
SNAPSHOT = InMemorySnapshot(Position(8, 1), Configuration(THREE), b"0123456789")


def behind(**keywords):
    """A leader whose log begins at 9, of which n2 has everything and n3 nothing."""
    raft = leader("n2", terms=[1] * 9, committed=9, options=CHUNKS, **keywords)
    raft.compact(8, SNAPSHOT)
    finish(raft)
    refuse(raft, "n3", 9, (0, 0))
    return raft


def take(raft, offset, done=False, index=8):
    raft.step(InstallSnapshotReply("n3", "n1", raft.term, index, offset, done))


def chunk(offset, data, *, last=(8, 1), size=10, term=1, sender="n2", voters=THREE, number=0):
    place = (size, offset, data, crc32(data), number)
    return InstallSnapshot(sender, "n1", term, *last, Configuration(voters), *place)


def test_one_that_said_nothing_yet_is_asked_whether_it_can_go_on_behind_the_cut():
    """It may hold all that is gone; a snapshot is for one that says it does not."""
    raft = leader("n2", terms=[1] * 9, committed=9, options=CHUNKS)
    raft.compact(
        10, InMemorySnapshot(Position(10, raft.log.term(10)), Configuration(THREE), b"01234567")
    )
    ticks(raft, CHUNKS.heartbeat_ticks)
    assert [(type(m), m.prev_index) for m in finish(raft).to("n3")] == [(AppendEntries, 10)]
    refuse(raft, "n3", 10, (4, 1))
    assert isinstance(finish(raft).to("n3")[0], InstallSnapshot)


# ── the leader ──────────────────────────────────────────────────────────────────────────────────


def test_an_answer_that_comes_twice_does_not_double_the_stream():
    """Else whatever was sent twice once, for want of patience, is so to the last chunk."""
    raft = behind()
    assert [m.offset for m in finish(raft).to("n3")] == [0]
    for offset, sent in ((4, [4]), (4, []), (8, [8]), (4, [4])):  # the last: it begins anew
        take(raft, offset)
        assert [m.offset for m in finish(raft).to("n3")] == sent


def test_a_snapshot_goes_out_chunk_by_chunk_and_the_log_follows_on_it():
    raft, data = behind(), b""
    for offset in (0, 4, 8):
        (sent,) = finish(raft).to("n3")
        assert (sent.last_index, sent.last_term, sent.size, sent.offset) == (8, 1, 10, offset)
        assert sent.configuration == Configuration(THREE)
        assert raft.status().progress["n3"].state == "snapshot"
        data += sent.data
        if offset < 8:
            take(raft, offset + len(sent.data))
    assert data == SNAPSHOT.data
    take(raft, 10, done=True)
    assert [(m.prev_index, len(m.entries)) for m in finish(raft).to("n3")] == [(8, 1), (9, 1)]
    assert raft.status().progress["n3"].state == "replicate"


def test_heartbeats_go_on_meanwhile():
    raft = behind()
    finish(raft)
    for round in (2, 3, 4):
        ticks(raft, 5)
        (beat,) = finish(raft).to("n3")
        assert (type(beat), beat.entries, beat.round) == (AppendEntries, (), round)
        assert (beat.prev_index, beat.commit) == (0, 10), "it can be taken by anyone"


def test_a_chunk_that_was_lost_is_sent_again_once_the_follower_answers_a_later_heartbeat():
    raft = behind()
    finish(raft)
    ack(raft, "n3", 0, round=1)
    assert not finish(raft).to("n3"), "that round is from before the chunk"
    ticks(raft, 5)
    finish(raft)
    ack(raft, "n3", 0, round=2)
    assert [m.offset for m in finish(raft).to("n3")] == [0]


def test_the_follower_says_where_to_go_on():
    raft = behind()
    finish(raft)
    take(raft, 4)
    assert [m.offset for m in finish(raft).to("n3")] == [4]
    take(raft, 0)  # it began anew
    assert [m.offset for m in finish(raft).to("n3")] == [0]
    take(raft, 11)  # there is no such place
    assert not finish(raft).to("n3")


def test_an_answer_about_another_snapshot_is_none():
    raft = behind()
    finish(raft)
    take(raft, 4, index=7)
    take(raft, 10, done=True, index=7)
    assert not finish(raft).to("n3")
    assert at(raft, "n3")[1] == 0


def test_who_caught_up_some_other_way_needs_no_snapshot_any_more():
    """The last answer was lost, or another leader's entries came late."""
    raft = behind()
    finish(raft)
    ack(raft, "n3", 9)
    assert raft.status().progress["n3"].state == "replicate"
    assert [(m.prev_index, len(m.entries)) for m in finish(raft).to("n3")] == [(9, 1)]


def test_without_a_snapshot_nothing_is_sent_that_cannot_be():
    raft = leader("n2", terms=[1] * 9, committed=9)
    raft.compact(8)
    finish(raft)
    refuse(raft, "n3", 9, (0, 0))
    assert not finish(raft).to("n3")
    raft.compact(8, SNAPSHOT)
    assert [type(m) for m in finish(raft).to("n3")] == [InstallSnapshot]


def test_a_snapshot_that_ends_before_the_log_begins_helps_nobody():
    raft = leader("n2", terms=[1] * 9, committed=9)
    with pytest.raises(BadInput, match="a snapshot through entry 8 is of no use"):
        raft.compact(9, SNAPSHOT)
    raft.compact(9)
    with pytest.raises(BadInput, match="the log begins after 9"):
        raft.compact(raft.log.base.index, SNAPSHOT)
    finish(raft)
    refuse(raft, "n3", 9, (0, 0))
    assert not finish(raft).to("n3")


def test_a_snapshot_of_what_is_not_committed_is_none():
    raft = leader("n2")
    raft.propose([record()])
    finish(raft)
    with pytest.raises(BadInput, match="committed through 1"):
        raft.compact(0, InMemorySnapshot(Position(2, 1), Configuration(THREE), b"x"))
    assert raft.snapshot is None


@pytest.mark.parametrize("index", [2, 3, -1, "1", 1.0, True])
def test_only_what_is_durable_and_was_handed_out_is_forgotten(index):
    raft = leader("n2")
    raft.propose([record()])
    finish(raft)
    with pytest.raises(BadInput):
        raft.compact(index)
    assert raft.log.first_index == 1


def test_what_a_majority_of_others_committed_is_not_forgotten_before_it_is_durable_here():
    raft = leader("n2", "n3")
    raft.propose([record()])
    ready = raft.ready()
    assert ready.entries
    ack(raft, "n2", 2)
    ack(raft, "n3", 2)
    assert raft.commit_index == 2
    with pytest.raises(BadInput, match="1 is the last"):
        raft.compact(2)
    raft.advance()
    assert finish(raft).committed[0].index == 2
    raft.compact(2)


def test_a_snapshot_under_way_is_finished_when_a_newer_one_is_there():
    raft = behind()
    finish(raft)
    raft.compact(10, InMemorySnapshot(Position(10, 2), Configuration(THREE), b"new"))
    take(raft, 4)
    (sent,) = finish(raft).to("n3")
    assert (sent.last_index, sent.offset) == (8, 4)
    take(raft, 10, done=True)
    (sent,) = finish(raft).to("n3")
    assert (sent.last_index, sent.data) == (10, b"new"), "for the log begins behind the old one"


# ── the follower ────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_stands_in_for_the_log_once_it_is_whole():
    events = []
    raft = member([1, 1], report=events.append)
    raft.step(chunk(0, b"01234", voters=("n2", "n3")))
    done = finish(raft)
    assert (done.snapshots, raft.log.last_index) == ([], 2)
    assert done.messages == [InstallSnapshotReply("n1", "n2", 1, 8, 5, False)]
    raft.step(chunk(5, b"56789", voters=("n2", "n3")))
    ready = raft.ready()
    assert ready.chunks == (SnapshotChunk(5, b"56789"),)
    assert ready.snapshot == ReceivedSnapshot(Position(8, 1), Configuration(("n2", "n3")), 10)
    assert ready.messages == (InstallSnapshotReply("n1", "n2", 1, 8, 10, True),)
    assert (ready.early, ready.committed, ready.entries) == ((), (), ())
    raft.advance()
    assert (raft.log.base, raft.log.last_index, raft.commit_index) == (Position(8, 1), 8, 8)
    assert raft.durable_index == 8
    assert raft.configuration.voters == ("n2", "n3")
    assert SnapshotReceived(8, 1, 10) in events
    raft.step(append([1], after=(8, 1), commit=9))
    assert [e.index for e in finish(raft).committed] == [9]


def test_chunks_that_come_twice_late_or_after_a_gap_do_no_harm():
    raft = member()
    offsets = []
    for offset in (4, 0, 0, 8, 4, 0, 8):
        raft.step(chunk(offset, SNAPSHOT.data[offset : offset + 4]))
        offsets += [m.offset for m in finish(raft).messages]
    assert offsets == [0, 4, 4, 4, 8, 4, 4], "the first one begins anew, the same as before"
    for offset in (4, 8):
        raft.step(chunk(offset, SNAPSHOT.data[offset : offset + 4]))
    assert raft.commit_index == 8


def kept(raft):
    """What the owner of ``raft`` holds of a snapshot, by the contract of a Chunk."""
    data = bytearray()
    while raft.has_ready():
        for part in raft.ready().chunks:
            del data[part.offset :]
            data += part.data
        raft.advance()
    return bytes(data)


@pytest.mark.parametrize("number", [0, 1], ids=["unnumbered", "numbered"])
def test_two_snapshots_of_one_size_and_end_are_never_mixed(number):
    """The first chunk begins anew (Figure 13); what is late of the one before counts for none."""
    raft = member()
    raft.step(chunk(0, b"AAAA"))
    raft.step(chunk(0, b"BBBB", number=number))
    if number:
        raft.step(chunk(4, b"AAAA"))
    raft.step(chunk(4, b"BBBB", number=number))
    raft.step(chunk(8, b"BB", number=number))
    assert kept(raft) == b"B" * 10


def test_a_leader_numbers_the_snapshots_that_it_begins_to_send():
    raft = behind()
    (first,) = finish(raft).to("n3")
    take(raft, 10, done=True)
    raft.step(AppendEntriesReply("n3", "n1", raft.term, False, 10, 0, 0, 0, 1))
    raft.compact(10, InMemorySnapshot(Position(10, 2), Configuration(THREE), b"new"))
    (second,) = finish(raft).to("n3")
    assert (first.snapshot_number, second.snapshot_number) == (1, 2)


@pytest.mark.parametrize(
    "other",
    [{"sender": "n3", "term": 2}, {"term": 3}, {"size": 12}, {"last": (9, 1)}, {"number": 1}],
)
def test_chunks_of_two_snapshots_are_never_mixed(other):
    raft = member()
    raft.step(chunk(0, b"01234"))
    raft.step(chunk(5, b"xxxxx", **other))
    assert [m.offset for m in finish(raft).messages] == [5, 0]
    assert raft.commit_index == 0


def test_a_snapshot_of_what_the_log_holds_keeps_what_follows():
    """It is committed, the sender says; the entries behind it may be committed, too."""
    raft = member([1] * 10)
    raft.step(chunk(0, b"0"))
    done = finish(raft)
    assert (raft.log.last_index, raft.commit_index, done.snapshots) == (10, 8, [])
    assert done.messages == [InstallSnapshotReply("n1", "n2", 1, 8, 10, True)]


def test_a_snapshot_of_another_history_replaces_all_of_the_log():
    raft = member([1] * 7 + [2] * 3, term=3)
    raft.step(chunk(0, SNAPSHOT.data, last=(8, 3), term=3))
    finish(raft)
    assert (raft.log.base, terms_of(raft)) == (Position(8, 3), [])


def test_a_snapshot_that_is_older_than_what_is_committed_is_only_answered():
    raft = member([1] * 9, committed=9)
    raft.step(chunk(0, b"0", last=(3, 1)))
    done = finish(raft)
    assert (done.snapshots, raft.commit_index, raft.log.last_index) == ([], 9, 9)
    assert done.messages == [InstallSnapshotReply("n1", "n2", 1, 3, 10, True)]


def test_a_snapshot_of_a_leader_of_long_ago_is_not_taken():
    raft = member(term=4)
    raft.step(chunk(0, SNAPSHOT.data))
    done = finish(raft)
    assert (done.snapshots, raft.commit_index) == ([], 0)
    assert done.messages == [InstallSnapshotReply("n1", "n2", 4, 8, 0, False)]


def test_who_is_sent_a_snapshot_hears_from_a_leader():
    raft = member()
    for _ in range(5):
        ticks(raft, 14)
        raft.step(chunk(0, b"0"))
    assert raft.role is Role.FOLLOWER


def test_a_read_that_waits_for_what_a_snapshot_brings_is_served():
    raft = member()
    raft.step(append(after=(0, 0)))
    raft.read_index(7)
    (ask,) = finish(raft).of(ReadIndex)
    raft.step(ReadIndexReply("n2", "n1", 1, ask.incarnation, ask.token, 8))
    raft.step(chunk(0, SNAPSHOT.data))
    assert finish(raft).reads == [ReadReady(7, 8)]


def test_entries_on_their_way_to_the_disk_are_not_durable_after_a_snapshot():
    raft = member()
    raft.step(append([1] * 9))
    assert len(raft.ready().entries) == 9
    raft.step(chunk(0, SNAPSHOT.data, last=(8, 2), term=2))
    raft.advance()
    assert raft.durable_index == raft.log.last_index == 8
    assert finish(raft).snapshots


def test_appends_from_before_a_snapshot_still_fit():
    raft = member()
    raft.step(chunk(0, SNAPSHOT.data))
    finish(raft)
    raft.step(append([1] * 9))
    (reply,) = finish(raft).of(AppendEntriesReply)
    assert (reply.success, reply.match) == (True, 9)
    assert raft.log.slice(9) == entries([1], 9)


# ── chunks, one by one ──────────────────────────────────────────────────────────────────────────


def test_a_chunk_whose_bytes_are_not_what_was_sent_is_refused_and_sent_again():
    events = []
    raft = member(report=events.append)
    raft.step(chunk(0, b"0123"))
    finish(raft)
    raft.step(chunk(4, b"4567")._replace(data=b"4x67"))
    done = finish(raft)
    assert (done.messages, done.snapshots) == ([], [])
    assert [e.reason for e in events if isinstance(e, MessageRejected)] == [
        "the bytes of the chunk at 4 do not match their checksum"
    ]
    raft.step(chunk(4, b"4567"))
    raft.step(chunk(8, b"89"))
    assert finish(raft).snapshots == [ReceivedSnapshot(Position(8, 1), Configuration(THREE), 10)]


def test_a_snapshot_goes_on_where_it_was_after_the_connection_was_lost_for_long():
    raft = behind()
    finish(raft)
    take(raft, 4)
    finish(raft)  # the chunk at 4 is lost, and so is all that follows for ten election timeouts
    for _ in range(10):
        ticks(raft, 15)
        ack(raft, "n2", 9)
        finish(raft)
    assert raft.status().progress["n3"].snapshot == 8
    raft.step(AppendEntriesReply("n3", "n1", raft.term, True, 0, 0, round=round_of(raft)))
    (sent,) = [m for m in finish(raft).to("n3") if isinstance(m, InstallSnapshot)]
    assert sent.offset == 4


def test_a_follower_that_stays_silent_pins_nothing_and_is_sent_a_newer_one_later():
    events = []
    raft = behind(report=events.append)
    finish(raft)
    assert events[-1] == ProgressChanged("n3", "snapshot", 1, 0)
    for _ in range(40):
        ticks(raft, 15)
        ack(raft, "n2", 9)
        finish(raft)
    assert raft.status().progress["n3"].snapshot == 0
    assert events[-1] == ProgressChanged("n3", "probe", 1, 0)
    newer = InMemorySnapshot(Position(9, 1), Configuration(THREE), b"newer")
    raft.compact(9, newer)
    assert not [m for m in finish(raft).to("n3") if isinstance(m, InstallSnapshot)]
    raft.step(AppendEntriesReply("n3", "n1", raft.term, True, 0, 0, round=round_of(raft)))
    (sent,) = [m for m in finish(raft).to("n3") if isinstance(m, InstallSnapshot)]
    assert (sent.last_index, sent.offset, sent.data) == (9, 0, b"newe")


def test_what_is_on_its_way_may_be_all_that_was_cut():
    """A probed follower's ``next`` stands still; the cut overtakes it, not what was sent."""
    raft = leader("n2", terms=[1] * 9, committed=9, options=replace(PAPER, max_batch_bytes=1 << 16))
    refuse(raft, "n3", 9, (4, 1))
    (sent,) = finish(raft).to("n3")
    assert (sent.prev_index, len(sent.entries)) == (4, 6)  # 5 … 10: not answered yet
    raft.compact(8, SNAPSHOT)
    assert raft.status().progress["n3"].next_unsent == 11
    assert not finish(raft).to("n3")
    ack(raft, "n3", 10)
    assert at(raft, "n3") == (11, 10)
    assert not finish(raft).to("n3")


def test_what_was_on_its_way_and_got_lost_makes_a_snapshot_necessary():
    raft = leader("n2", terms=[1] * 9, committed=9, options=replace(PAPER, max_batch_bytes=1 << 16))
    refuse(raft, "n3", 9, (4, 1))
    finish(raft)
    raft.compact(8, SNAPSHOT)
    ticks(raft, PAPER.heartbeat_ticks)
    (heartbeat,) = finish(raft).to("n3")
    raft.step(AppendEntriesReply("n3", "n1", raft.term, True, 0, 0, round=heartbeat.round))
    (sent,) = finish(raft).to("n3")
    assert isinstance(sent, InstallSnapshot)


def test_who_left_is_sent_no_snapshot():
    """It would be let go before it had all of it; and tables and log were kept for nothing."""
    raft = leader("n2", terms=[1] * 9, committed=9, options=CHUNKS)
    refuse(raft, "n3", 9, (4, 1))
    ack(raft, "n3", 4)
    raft.propose_change(["n1", "n2"])
    for _ in range(3):
        finish(raft)
        ack(raft, "n2")
    assert raft.configuration == Configuration(("n1", "n2"))
    refuse(raft, "n3", 9, (4, 1))
    assert at(raft, "n3") == (5, 4)
    raft.compact(8, SNAPSHOT)
    ticks(raft, PAPER.heartbeat_ticks)
    assert {type(message) for message in finish(raft).to("n3")} == {AppendEntries}
    assert raft.status().progress["n3"].snapshot == 0


def test_who_leaves_while_it_is_sent_a_snapshot_is_sent_no_more_of_it():
    raft = behind()
    assert isinstance(finish(raft).to("n3")[0], InstallSnapshot)
    raft.propose_change(["n1", "n2"])
    for _ in range(3):
        finish(raft)
        ack(raft, "n2")
    assert raft.configuration == Configuration(("n1", "n2"))
    take(raft, 4)
    assert not finish(raft).of(InstallSnapshot)
    assert list(raft.status().progress) == ["n2"]


def test_two_snapshots_that_come_before_the_first_is_taken_are_not_mixed_up():
    raft = member()
    raft.step(chunk(0, SNAPSHOT.data))
    raft.step(chunk(0, b"abc", last=(9, 2), term=2, size=3, sender="n3"))
    ready = raft.ready()
    assert (ready.chunks, ready.snapshot.last) == ((SnapshotChunk(0, SNAPSHOT.data),), (8, 1))
    raft.advance()
    raft.step(chunk(0, b"abc", last=(9, 2), term=2, size=3, sender="n3"))
    assert finish(raft).snapshots[0].last == (9, 2)


def test_a_snapshot_is_opened_only_when_somebody_who_is_there_needs_it():
    opened = []

    class Offer:
        last = Position(8, 1)

        def open(self):
            opened.append(1)
            return SNAPSHOT

    raft = leader("n2", terms=[1] * 9, committed=9, options=CHUNKS)
    raft.compact(8, Offer())
    finish(raft)
    assert opened == []
    refuse(raft, "n3", 9, (0, 0))
    finish(raft)
    assert opened == [1]
