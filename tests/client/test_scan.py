"""Scans over the network: pages, their bounds, what they promise together, and who may answer."""

from random import Random

import pytest

from kvraft.check import Violation
from kvraft.check.history import Promise, TransactionChecker
from kvraft.client import ReadFailed
from kvraft.errors import BadInput, WrongType
from kvraft.events import MessageSent
from kvraft.record import MAX_KEY_BYTES, RESERVED_PREFIX
from kvraft.replica import Replica, ReplicaOptions
from kvraft.replica.desk import PAGE_BYTES, ReadDesk
from kvraft.sim import World
from kvraft.transaction import PAGE_ROWS, Scan, ScanPage

KEPT = ReplicaOptions(history_millis=600_000)


def elected(seed=1, **options):
    world = World(3, seed=seed, **options)
    world.run_until(lambda: world.leader() is not None)
    return world


def filled(count=10, **options):
    """Return a world, a client, and the rows that it wrote."""
    world = elected(**options)
    client = world.client("c")
    rows = {b"k%02d" % n: b"%d" % n for n in range(count)}
    client.write(rows)
    return world, client, rows


def pages_of(client, **options):
    return [list(page.pairs) for page in client.pages(**options)]


# ── what is there ───────────────────────────────────────────────────────────────────────────────


def test_a_scan_shows_what_a_dict_would_between_any_bounds_in_pages_of_any_size():
    world = elected(options=ReplicaOptions(memtable_bytes=500))
    client, random, model = world.client("c"), Random(7), {}
    keys = [bytes((a, b)) for a in b"abc\xff" for b in b"\x00xy\xff"] + [b"", b"\x00", b"\x00m"]
    for turn in range(30):
        writes = {
            key: None if random.random() < 0.4 else b"%d" % turn * random.choice((1, 40))
            for key in random.sample(keys, 4)
        }
        client.write(writes)
        model = {key: value for key, value in {**model, **writes}.items() if value is not None}
        low, high = sorted(random.choices(keys, k=2))
        stop, rows = random.choice((high, None)), random.choice((1, 2, 3, 100))
        due = sorted(p for p in model.items() if low <= p[0] and (stop is None or p[0] < stop))
        reverse = random.random() < 0.5
        found = list(client.scan(low, stop, page_rows=rows, reverse=reverse))
        assert found == (due[::-1] if reverse else due)
        prefix = random.choice((b"", b"a", b"\xff", b"b\x00", b"\xff\xff"))
        due = sorted(pair for pair in model.items() if pair[0].startswith(prefix))
        assert list(client.scan(prefix=prefix, page_rows=rows)) == due
    assert any(replica.tree.tables for replica in world.replicas.values())


def test_a_page_has_as_many_keys_as_asked_for_and_says_where_the_next_begins():
    _, client, rows = filled(5)
    pairs = sorted(rows.items())
    assert pages_of(client, page_rows=2) == [pairs[:2], pairs[2:4], pairs[4:]]
    assert pages_of(client, page_rows=5) == [pairs]
    backwards = pairs[::-1]
    assert pages_of(client, page_rows=2, reverse=True) == [
        backwards[:2],
        backwards[2:4],
        backwards[4:],
    ]
    assert [page.next for page in client.pages(page_rows=2)] == [b"k02", b"k04", None]
    assert [page.next for page in client.pages(page_rows=2, reverse=True)] == [b"k03", b"k01", None]
    assert pages_of(client, start=b"x") == [[]]


def test_a_member_makes_no_page_huge_whatever_it_is_asked_for():
    world = elected()
    client = world.client("c")
    third = PAGE_BYTES // 3 - 100
    values = {b"a": third, b"b": third, b"c": third, b"d": third, b"e": 2 * PAGE_BYTES, b"f": 1}
    for key, size in values.items():
        client.put(key, b"." * size)
    for reverse, due in ((False, [3, 1, 1, 1]), (True, [1, 1, 3, 1])):
        pages = pages_of(client, reverse=reverse)
        assert [len(page) for page in pages] == due
        for page in pages:
            assert len(page) == 1 or sum(len(k) + len(v) for k, v in page) <= PAGE_BYTES
    rows = {b"%05d" % n: b"" for n in range(PAGE_ROWS + 1)}
    client.write(rows)
    found = pages_of(client, prefix=b"0", page_rows=10 * PAGE_ROWS)
    assert [len(page) for page in found] == [PAGE_ROWS, 1]


def test_what_is_kvrafts_own_is_never_shown_on_whichever_side_a_scan_meets_it():
    world = elected()
    client = world.client("c")
    around = [b"", b"\x00", b"\x00kvraft", b"\x00kvraft0", b"\x01"]
    client.write(dict.fromkeys(around, b"v"))
    for replica in world.replicas.values():
        replica.tree.freeze()  # writes the row of the client's session
    assert list(world.replicas[world.leader()].tree.scan(prefix=RESERVED_PREFIX))
    for rows in (1, 100):
        assert list(client.scan(page_rows=rows)) == [(key, b"v") for key in around]
        backwards = list(client.scan(page_rows=rows, reverse=True))
        assert [key for key, _ in backwards] == around[::-1]
    assert list(client.scan(RESERVED_PREFIX, RESERVED_PREFIX + b"z")) == []
    assert [key for key, _ in client.scan(RESERVED_PREFIX + b"s")] == [b"\x00kvraft0", b"\x01"]
    assert [key for key, _ in client.scan(b"", RESERVED_PREFIX + b"s")] == around[:3]


def test_a_client_is_iterated_like_a_store():
    _, client, rows = filled(4)
    pairs = sorted(rows.items())
    assert list(client) == list(client.keys()) == sorted(rows)
    assert list(reversed(client)) == sorted(rows, reverse=True)
    assert list(client.values()) == [value for _, value in pairs]
    assert dict(client.items()) == rows


def test_bounds_that_make_no_sense_are_refused_at_the_call():
    _, client, _ = filled(1)
    for kind, match, bad in (
        (WrongType, "start of a scan must be bytes, not str", {"start": "k"}),
        (WrongType, "stop of a scan must be bytes", {"stop": 3}),
        (WrongType, "prefix of a scan must be bytes", {"prefix": "k"}),
        (WrongType, "reverse must be True or False", {"reverse": 1}),
        (WrongType, "number of keys in a page must be a whole number", {"page_rows": None}),
        (BadInput, "number of keys in a page must be at least 1", {"page_rows": 0}),
        (BadInput, "a prefix or bounds, not both", {"prefix": b"k", "stop": b"l"}),
        (BadInput, "must not start after its stop", {"start": b"b", "stop": b"a"}),
        (BadInput, "are reserved", {"prefix": RESERVED_PREFIX + b"session/"}),
        (BadInput, "longer than any key", {"stop": b"k" * (MAX_KEY_BYTES + 1)}),
        (BadInput, "a time to read at must be at least 0", {"at": -1}),
        (BadInput, "no member called n9", {"member": "n9"}),
        (BadInput, "the name of a member", {"stale": True}),
        (WrongType, "timeout must be a whole number", {"timeout": 1.5}),
    ):
        with pytest.raises(kind, match=match):
            client.scan(**bad)
        with pytest.raises(kind, match=match):
            client.pages(**bad)


# ── one moment, or many ─────────────────────────────────────────────────────────────────────────


def moved(client):
    """Let a unit go from one key to another, in one transaction."""
    client.write({b"k00": b"-1", b"k09": b"+1", b"k05": None, b"k045": b"new"})


def test_where_history_is_kept_all_pages_show_the_moment_of_the_first():
    world, client, rows = filled(options=KEPT)
    other, pages = world.client("other"), client.pages(page_rows=2)
    seen = [next(pages)]
    moved(other)
    seen += pages
    assert [pair for page in seen for pair in page.pairs] == sorted(rows.items())
    assert {page.timestamp for page in seen} == {seen[0].timestamp}
    assert all(page.history_kept for page in seen)
    assert dict(client.scan(at=seen[0].timestamp)) == rows
    assert dict(client)[b"k09"] == b"+1"


def test_where_none_is_kept_each_page_says_which_moment_it_shows():
    world, client, rows = filled()
    other, pages = world.client("other"), client.pages(page_rows=2)
    seen = [next(pages)]
    moved(other)
    seen += pages
    first, later = seen[0], seen[1:]
    assert first.timestamp < later[0].timestamp == later[-1].timestamp
    assert not any(page.history_kept for page in seen)
    assert first.pairs[0] == (b"k00", b"0")  # as it was before
    after = dict(pair for page in later for pair in page.pairs)
    assert after == {**dict(sorted(rows.items())[2:5]), **dict(sorted(rows.items())[6:]),
                     b"k045": b"new", b"k09": b"+1"}  # fmt: skip


def test_a_scan_that_takes_longer_than_history_is_kept_fails_and_does_not_guess():
    world, client, _ = filled(options=ReplicaOptions(history_millis=100))
    pages = client.pages(page_rows=2)
    next(pages)
    world.run_for(1_000)
    world.client("other").put(b"z", b"1")
    with pytest.raises(
        ReadFailed, match=r"cannot answer the scan from b'k02' to the end: .* may be gone"
    ):
        next(pages)
    with pytest.raises(ReadFailed, match="future"):
        list(client.scan(at=1 << 60))


@pytest.mark.parametrize("options", [ReplicaOptions(), KEPT])
@pytest.mark.parametrize("seed", range(3))
def test_a_scan_goes_on_at_the_next_leader(seed, options):
    world, client, rows = filled(seed=seed, options=options)
    checker = TransactionChecker(world)
    found, crashed = [], []
    for number, page in enumerate(client.pages(page_rows=2)):
        found += page.pairs
        if number in (0, 2):
            crashed.append(world.leader())
            world.crash(crashed[-1])
            if number == 2:
                world.restart(crashed[0])
        world.client("other").put(b"k035", b"%d" % number)
        rows |= {} if options is KEPT or number else {b"k035": b"1"}
    checker.check()
    assert len(set(crashed)) == 2
    assert [pair for pair in found if pair[0] != b"k035"] == sorted(
        pair for pair in rows.items() if pair[0] != b"k035"
    )
    assert (b"k035" in dict(found)) is (options is not KEPT)


# ── who may answer ──────────────────────────────────────────────────────────────────────────────


def test_a_leader_that_was_deposed_answers_no_page():
    world, client, _ = filled()
    old = world.leader()
    rest = [name for name in world.members if name != old]
    world.partition([old], [*rest, "c"])
    client.put(b"k00", b"newer")
    asked = len(world.trace)
    for number in range(50):
        world.send(Scan("c", old, 10_000 + number, 1, b"", None, 5))
        world.run_for(20)
    world.run_for(1_000)
    world.heal()
    world.run_for(1_000)
    sent = [step for step in world.trace[asked:] if isinstance(step.event, MessageSent)]
    kinds = {step.event.kind for step in sent if step.who == old}
    assert "ScanPage" not in kinds
    page = next(client.pages())
    assert page.sender != old
    assert page.pairs[0] == (b"k00", b"newer")


def test_a_deposed_leader_that_clients_still_reach_answers_no_page():
    world, _client, _ = filled()
    old = world.leader()
    rest = [name for name in world.members if name != old]
    world.network.partition([[old], rest])  # clients reach everybody
    world.run_until(lambda: world.leader() not in (None, old))
    asked = len(world.trace)
    for number in range(30):
        world.send(Scan("c", old, 10_000 + number, 1, b"", None, 5))
        world.run_for(20)
    said = [
        s.event for s in world.trace[asked:] if isinstance(s.event, MessageSent) and s.who == old
    ]
    assert "Redirect" in {event.kind for event in said}
    assert "ScanPage" not in {event.kind for event in said}


def test_another_member_answers_with_what_the_cluster_has_and_a_stale_scan_with_what_it_has():
    world, client, rows = filled()
    follower = next(name for name in world.members if name != world.leader())
    page = next(client.pages(member=follower))
    assert page.sender == follower
    assert dict(page.pairs) == rows
    world.partition([follower, "c"], [name for name in world.members if name != follower])
    world.client("other").put(b"k00", b"newer")
    with pytest.raises(ReadFailed, match="nobody answered the scan"):
        list(client.scan(member=follower, timeout=1_000))
    assert dict(client.scan(member=follower, stale=True)) == rows


def test_a_scan_nobody_answers_fails_in_time_and_one_that_is_lost_is_asked_again():
    world, client, rows = filled()
    dropped = []
    post = world.network.post

    def lossy(message, now):
        envelope = post(message, now)
        if isinstance(message, Scan | ScanPage) and len(dropped) < 4:
            dropped.append(world.network.in_flight.pop(envelope.id).message)
        return envelope

    world.network.post = lossy
    assert dict(client.scan(page_rows=4)) == rows
    assert {type(message) for message in dropped} == {Scan}
    assert [message.attempt for message in dropped] == [1, 2, 3, 4]
    assert len({message.number for message in dropped}) == 1
    world.network.loss = 1.0
    before = world.millis()
    with pytest.raises(
        ReadFailed, match=r"nobody answered the scan from b'' to the end within 700"
    ):
        next(client.scan(timeout=700))
    assert 700 <= world.millis() - before <= 800


def test_messages_of_a_scan_are_named():
    world, client, _ = filled(3)
    list(client.scan(b"a", page_rows=2))
    list(client.scan(reverse=True))
    notes = [
        s.event.note for s in world.trace.of(MessageSent) if s.event.kind in ("Scan", "ScanPage")
    ]
    assert notes[0] == "a to the end"
    assert notes[1].startswith("2 keys as of ")
    assert notes[1].endswith(", more to come")
    assert notes[2] == "k02 to the end"
    assert notes[-2] == "the beginning to the end, reversed"


# ── what is wrong is found ──────────────────────────────────────────────────────────────────────


class _LosesTheNext(ReadDesk):
    """The next page begins after the row that did not fit any more."""

    def fill_page(self, request, rows):
        pairs, after = super().fill_page(request, rows)
        return pairs, after if after is None else after + b"\x00"


class _LosesTheLast(ReadDesk):
    """The row that did not fit is taken for read."""

    def fill_page(self, request, rows):
        pairs, after = super().fill_page(request, rows)
        return (pairs, after) if after is None else (pairs[:-1], after)


class _Leaks(ReadDesk):
    """Everything in the tree is shown."""

    def rows(self, request, view):
        return view.scan(request.start, request.stop, reverse=request.reverse)


class _Unlimited(ReadDesk):
    """A page has all there is."""

    def fill_page(self, request, rows):
        return tuple(rows), None


class _ForgetsTheTime(ReadDesk):
    """A page says that it shows the time asked for, and shows what is there now."""

    def page(self, request):
        page = super().page(request._replace(at=None))
        return page if request.at is None else page._replace(timestamp=request.at)


class _Unconfirmed(ReadDesk):
    """Whoever is asked answers at once."""

    def take(self, request):
        super().take(request._replace(stale=True))


PLANTED = (_LosesTheNext, _LosesTheLast, _Leaks, _Unlimited, _ForgetsTheTime)


def scanned(desk):
    """Let clients scan and write under the eyes of the checker, at members with this desk."""
    rule = type("Planted", (Replica,), {"read_desk": desk})
    world = World(3, seed=1, options=KEPT, replica=rule)
    checker = TransactionChecker(world)

    def run(condition):
        while not condition():
            world.step()
            checker.check()

    run(lambda: world.leader() is not None)
    ticket = world.client("c").submit({b"%d" % n: b"v" for n in range(9)})
    run(lambda: ticket.done)
    for replica in world.replicas.values():
        replica.tree.freeze()  # writes the row of the client's session, which no page shows
    at = ticket.timestamp
    after = world.client("c").submit({b"5": b"w", b"6": None})
    run(lambda: after.done)
    for number, (reverse, time) in enumerate(((False, None), (True, None), (False, at))):
        before, bounds = checker.pages, (b"", None)
        while True:
            number += 1_000
            ask = Scan("c", world.leader(), number, 1, *bounds, 2, reverse, at=time)
            heard = []
            world.clients["c"].receive = heard.append
            world.send(ask)
            checker.check()
            run(lambda heard=heard: any(isinstance(r, ScanPage) for r in heard))
            page = next(r for r in heard if isinstance(r, ScanPage))
            if page.next is None:
                break
            bounds = (b"", page.next) if reverse else (page.next, None)
        assert checker.pages > before
    return checker


def test_the_checker_compares_every_page_with_its_model():
    assert scanned(ReadDesk).pages == 4 + 4 + 5


@pytest.mark.parametrize("desk", PLANTED)
def test_a_desk_that_is_wrong_is_found(desk):
    with pytest.raises(Violation) as caught:
        scanned(desk)
    assert caught.value.property is Promise.TRUE_ANSWERS


def test_a_member_that_answers_without_being_sure_is_found():
    rule = type("Planted", (Replica,), {"read_desk": _Unconfirmed})
    world = World(3, seed=1, replica=rule)
    checker = TransactionChecker(world)

    def run(condition):
        while not condition():
            world.step()
            checker.check()

    run(lambda: world.leader() is not None)
    old = world.leader()
    world.network.partition([[old], [name for name in world.members if name != old]])
    run(lambda: world.leader() not in (None, old))
    ticket = world.client("c").submit({b"k": b"v"})
    run(lambda: ticket.done)
    world.send(Scan("c", old, 99_999, 1, b"", None, 5))
    checker.check()
    with pytest.raises(Violation, match="was committed before the request"):
        run(lambda: False)
