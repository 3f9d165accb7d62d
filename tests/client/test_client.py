"""The client alone, its members played by hand: redirects, retries, stages, what it may claim."""

from itertools import pairwise, permutations
from random import Random

import pytest

from kvraft.client import Client
from kvraft.client.client import MAX_REDIRECTS
from kvraft.client.writing import WriteFailed
from kvraft.errors import BadInput
from kvraft.sim import World
from kvraft.transaction import (
    SESSION_WINDOW,
    Read,
    ReadReply,
    Redirect,
    Register,
    Registered,
    Stage,
    Submit,
    WriteReply,
)


class Hand:
    """A host whose members are played by the test; time passes only as it says.

    Unless told otherwise, whoever is asked to register the client does so at once, at index 7.
    """

    def __init__(self, *, registers=True):
        self.now = 1_000
        self.sent = []
        self.numbers = 0
        self.registers = registers
        self.client = Client("c", ["n1", "n2", "n3"], runtime=self, random=Random(1))

    def millis(self):
        return self.now

    def wall_millis(self):
        return self.now

    def number(self):
        self.numbers += 1
        return self.numbers

    def send(self, request):
        if isinstance(request, Register) and self.registers:
            self.client.receive(Registered(request.to, "c", request.number, 7))
            self.client.leader = None
        else:
            self.sent.append(request)

    def wait(self, condition):
        while not condition():
            self.pass_time(10)

    def pass_time(self, millis):
        for _ in range(0, millis, 10):
            self.now += 10
            self.client.tick()

    def answer(self, submit: Submit, stage: Stage, index=9, stamp=0, attempts=None, sender=""):
        attempts = (submit.attempt,) if attempts is None else attempts
        txn = submit.transaction.id
        reply = WriteReply(sender or submit.to, "c", txn, attempts, stage, index, stamp, "because")
        self.client.receive(reply)

    def redirect(self, request, leader, sender=""):
        name = request.transaction.id if isinstance(request, Submit) else request.number
        self.client.receive(Redirect(sender or request.to, "c", name, request.attempt, leader))


@pytest.fixture
def hand():
    return Hand()


def stages(ticket):
    return [stage.value for _, stage, _ in ticket.history]


def test_a_write_moves_through_its_stages(hand):
    ticket = hand.client.submit({b"k": b"v"})
    (submit,) = hand.sent
    assert ticket.stage is Stage.SENT
    hand.answer(submit, Stage.APPENDED, index=4, stamp=77)
    assert (ticket.stage, ticket.index, ticket.timestamp) == (Stage.APPENDED, 4, 77)
    hand.answer(submit, Stage.APPLIED, index=4, stamp=77)
    hand.answer(submit, Stage.APPENDED)  # late: overtaken on its way
    assert stages(ticket) == ["SENT", "APPENDED", "COMMITTED", "APPLIED"]
    assert ticket.done
    assert not hand.client.busy


def test_what_is_sent_again_is_the_same_transaction_to_another_member(hand):
    ticket = hand.client.submit([(b"a", b"1"), (b"b", None)])
    hand.pass_time(3_000)
    assert len(hand.sent) >= 3
    assert {s.transaction for s in hand.sent} == {ticket.transaction}
    assert {s.to for s in hand.sent} == {"n1", "n2", "n3"}
    assert [s.attempt for s in hand.sent] == list(range(1, len(hand.sent) + 1))


def test_pauses_between_sendings_grow(hand):
    hand.client.submit({b"k": b"v"}, timeout=60_000)
    times, seen = [], 0
    for _ in range(1_000):
        hand.pass_time(10)
        if len(hand.sent) > seen:
            seen = len(hand.sent)
            times.append(hand.now)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[0] < gaps[2] < gaps[3]
    assert max(gaps) <= 1_200 * 1.5 + 20


def test_a_redirect_is_followed_at_once_and_remembered(hand):
    ticket = hand.client.submit({b"k": b"v"})
    asked = hand.sent[0].to
    leader = next(name for name in ("n1", "n2", "n3") if name != asked)
    hand.redirect(hand.sent[0], leader)
    assert [s.to for s in hand.sent] == [asked, leader]
    hand.answer(hand.sent[1], Stage.APPLIED)
    assert ticket.stage is Stage.APPLIED
    hand.client.submit({b"k": b"w"})
    assert hand.sent[-1].to == leader


def test_members_that_name_each_other_do_not_make_it_run_in_circles(hand):
    hand.client.submit({b"k": b"v"})
    for turn in range(50):
        if len(hand.sent) > turn:
            other = "n1" if hand.sent[-1].to != "n1" else "n2"
            hand.redirect(hand.sent[-1], other)
    assert len(hand.sent) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize("roles", list(permutations(("n1", "n2", "n3"))))
@pytest.mark.parametrize("requests", [1, 3])
def test_two_that_are_of_no_help_do_not_keep_a_client_from_the_third(roles, requests):
    """A run of the swarm: one removed member named another, which knew no leader, for ever."""
    removed, other, leader = roles
    hand = Hand()
    tickets = [hand.client.submit({b"k": b"%d" % number}) for number in range(requests)]
    for _ in range(40):
        sent, hand.sent = hand.sent, []
        for submit in sent:
            if submit.to == leader:
                hand.answer(submit, Stage.APPLIED)
            else:
                hand.redirect(submit, removed if submit.to == other else None)
        hand.pass_time(30)
    assert all(ticket.stage is Stage.APPLIED for ticket in tickets)


def test_a_silent_leader_is_left(hand):
    hand.client.leader = "n2"
    hand.client.submit({b"k": b"v"})
    hand.pass_time(1_000)
    assert hand.sent[0].to == "n2"
    assert hand.sent[1].to != "n2"


def test_a_leader_that_answers_others_is_not_left_for_one_it_did_not(hand):
    """With a full window some errand is always overdue: each would send all others astray."""
    lost = hand.client.submit({b"lost": b""})
    hand.redirect(hand.sent[-1], "n2")
    for _ in range(SESSION_WINDOW - 2):
        ticket = hand.client.submit({b"k": b"v"})
        submit = hand.sent[-1]
        assert submit.to == "n2"
        hand.pass_time(60)
        hand.answer(submit, Stage.APPLIED)
        assert ticket.done
    again = [s for s in hand.sent if s.transaction == lost.transaction]
    assert len(again) >= 4
    assert {s.to for s in again[1:]} == {"n2"}
    hand.pass_time(3_000)  # now it is silent altogether
    assert {s.to for s in hand.sent[-2:]} & {"n1", "n3"}


def test_a_discarded_copy_is_sent_again_under_the_same_id(hand):
    ticket = hand.client.submit({b"k": b"v"})
    hand.answer(hand.sent[0], Stage.APPENDED)
    hand.answer(hand.sent[0], Stage.DISCARDED)
    assert len(hand.sent) == 2
    hand.answer(hand.sent[1], Stage.APPLIED)
    assert stages(ticket) == ["SENT", "APPENDED", "DISCARDED", "SENT", "COMMITTED", "APPLIED"]


def test_it_says_aborted_only_if_every_copy_is_known_to_be_dead(hand):
    certain = hand.client.submit({b"k": b"v"}, timeout=100)
    hand.redirect(hand.sent[-1], None)
    hand.now += 200
    hand.client.tick()
    assert certain.stage is Stage.ABORTED

    silent = hand.client.submit({b"k": b"v"}, timeout=100)
    hand.now += 200
    hand.client.tick()
    assert silent.stage is Stage.UNKNOWN

    half = hand.client.submit({b"k": b"v"}, timeout=400)
    first = hand.sent[-1]
    hand.pass_time(300)  # a second copy is sent
    hand.redirect(first, None)
    hand.pass_time(300)
    assert half.stage is Stage.UNKNOWN
    hand.answer(first, Stage.APPLIED)  # too late: what it said, it said
    assert half.stage is Stage.UNKNOWN


def test_an_unknown_write_can_be_taken_up_again_under_its_id(hand):
    ticket = hand.client.submit({b"k": b"v"}, timeout=100)
    with pytest.raises(BadInput, match="nothing to retry"):
        hand.client.retry(ticket)
    hand.now += 200
    hand.client.tick()
    hand.client.retry(ticket)
    assert hand.sent[-1].transaction == ticket.transaction
    hand.answer(hand.sent[-1], Stage.APPLIED)
    assert ticket.stage is Stage.APPLIED


def test_it_keeps_to_the_window_that_sessions_remember(hand):
    tickets = [hand.client.submit({b"%d" % i: b""}) for i in range(SESSION_WINDOW + 5)]
    assert len(hand.sent) == SESSION_WINDOW
    assert tickets[SESSION_WINDOW].stage is Stage.QUEUED
    hand.answer(hand.sent[1], Stage.APPLIED)  # not the oldest: the window stays where it is
    assert len(hand.sent) == SESSION_WINDOW
    hand.answer(hand.sent[0], Stage.APPLIED)
    assert [s.transaction.id.sequence for s in hand.sent[SESSION_WINDOW:]] == [
        SESSION_WINDOW + 1,
        SESSION_WINDOW + 2,
    ]


def test_stamps_follow_what_the_leader_raised(hand):
    ticket = hand.client.submit({b"k": b"v"})
    hand.answer(hand.sent[0], Stage.APPLIED, stamp=ticket.timestamp + 1_000_000_000)
    later = hand.client.submit({b"k": b"w"})
    assert later.transaction.timestamp > ticket.timestamp


def test_a_bad_write_uses_up_no_number(hand):
    with pytest.raises(BadInput):
        hand.client.submit([("k", b"v")])
    assert hand.client.submit({b"k": b"v"}).txn.sequence == 1


def test_waiting_for_a_write_that_fails_says_how(hand):
    with pytest.raises(WriteFailed, match=r"c\.7#1 is UNKNOWN: no final answer") as failed:
        hand.client.put(b"k", b"v")
    assert failed.value.ticket.stage is Stage.UNKNOWN


def test_a_read_finds_the_leader_and_returns_the_value(hand):
    answers = {"n1": None, "n2": ReadReply("n2", "c", 1, b"v", 5), "n3": None}

    def send(request):
        hand.sent.append(request)
        if answers[request.to]:
            hand.client.receive(answers[request.to])
        else:
            hand.redirect(request, "n2")

    hand.send = send
    assert hand.client.get(b"k") == b"v"
    assert all(isinstance(r, Read) for r in hand.sent)
    with pytest.raises(BadInput, match="a key must be bytes"):
        hand.client.get("k")


# ── how it reads ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def client():
    world = World(3, seed=1)
    return world.client("alice")


def test_a_client_reads_like_a_mapping(client):
    client[b"k"] = b"v"
    assert client[b"k"] == b"v"
    assert b"k" in client
    assert client.get(b"none") is None
    assert client.get(b"none", b"0") == b"0"
    assert client.get(b"k", default=b"0") == b"v"
    del client[b"k"]
    assert b"k" not in client
    with pytest.raises(KeyError):
        client[b"k"]
    with pytest.raises(KeyError):
        del client[b"k"]
    client[b"m"] = b"w"
    assert list(client) == [b"m"]


def test_what_can_be_bytes_is_taken_and_text_is_told_how_to_be(client):
    ticket = client.put(bytearray(b"k"), memoryview(b"v"))
    (record,) = ticket.transaction.records
    assert (type(record.key), type(record.value)) == (bytes, bytes)
    assert client.get(memoryview(b"k")) == b"v"
    with client.transaction() as draft:
        assert draft.get(bytearray(b"k")) == b"v"
        draft.put(memoryview(b"k"), bytearray(b"w"))
    assert client[b"k"] == b"w"
    for wrong in (lambda: client.get("k"), lambda: client.put("k", b"v"), lambda: "k" in client):
        with pytest.raises(TypeError, match=r"a key must be bytes, not str: write b'k', or use"):
            wrong()
    with pytest.raises(TypeError, match="the value of key b'k' must be bytes, not str"):
        client.put(b"k", "v")


def test_a_client_and_a_ticket_say_what_they_are(client):
    assert repr(client) == "<Client alice, no leader known, 0 writes under way>"
    ticket = client.put(b"k", b"v")
    assert repr(client).startswith(f"<Client {ticket.txn.session}, leader n")
    assert str(ticket) == f"{ticket.txn} is APPLIED"
    assert "<th>log index</th><td>3</td>" in ticket._repr_html_()


def test_a_ticket_says_in_words_why_it_ended_so_and_what_to_do(hand):
    lost = hand.client.submit({b"k": b"v"}, timeout=100)
    hand.pass_time(200)
    assert str(lost).startswith(
        "c.7#1 is UNKNOWN: no final answer came before the deadline; it may"
    )
    assert "client.retry(ticket) is safe" in lost.advice
    with pytest.raises(WriteFailed, match=r"client\.retry\(ticket\) is safe"):
        hand.client.wait_for(lost)
    lost.reason = "<b>"
    assert "&lt;b&gt;" in lost._repr_html_()
    dead = hand.client.submit({b"k": b"v"}, timeout=100)
    hand.redirect(hand.sent[-1], None)
    hand.now += 200
    hand.client.tick()
    assert dead.advice == "it did not happen: submit it again"


@pytest.mark.parametrize("name", ["", "x" * 65_536, "\ud800", 7])
def test_a_name_that_cannot_be_written_down_is_refused(name):
    with pytest.raises(BadInput, match="a client needs a name"):
        Client(name, ["n1"], runtime=Hand(), random=Random(1))
