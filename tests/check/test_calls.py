"""What clients called and got, judged from outside the client library."""

import pytest

from kvraft.check import Violation
from kvraft.check.bugs import find_bug
from kvraft.check.history import (
    NotLinearizable,
    Operation,
    TransactionChecker,
    Verdict,
    judge_calls,
    points_of,
    record,
)
from kvraft.client import Client, ReadFailed, WriteFailed
from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import World
from kvraft.transaction import Stage


def nowhere(txn):
    return 0


def started(client=Client, consensus=Raft, **raft):
    options = ReplicaOptions(history_millis=60_000, raft=RaftOptions(**raft))
    world = World(3, seed=1, client=client, consensus=consensus, options=options)
    calls = record(world)
    world.run_until(lambda: world.leader() is not None)
    return world, calls


def busy(world):
    """Do everything that a client can do once."""
    ann, bob = world.client("ann"), world.client("bob")
    ann.write({b"a": b"1", b"b": b"1"})
    stamp = bob.put(b"a", b"2").timestamp
    bob.delete(b"b")
    with ann.transaction() as draft:
        draft.put(b"c", (draft.get(b"a") or b"") + b"!")
    pending = ann.start_read(b"c")
    assert ann.get(b"a", at=stamp - 1) == b"1"
    assert bob.get(b"c", member="n2") == b"2!"
    assert dict(bob.scan(page_rows=1)) == {b"a": b"2", b"c": b"2!"}
    assert list(ann.scan(reverse=True, page_rows=1)) == [(b"c", b"2!"), (b"a", b"2")]
    bob.get(b"a", member="n3", stale=True)
    world.run_until(lambda: pending.done)


def test_right_answers_are_ordered_as_the_log_has_them():
    world, calls = started()
    busy(world)
    assert len(calls.writes) == 4
    judged = judge_calls(calls, nowhere)
    assert judged.how == "log"
    assert judged.operations == len(judged.points)
    orders = [point.at for point in judged.points]
    assert orders == sorted(orders)


def test_recording_changes_nothing():
    options = ReplicaOptions(history_millis=60_000)
    one, two = (World(3, seed=1, options=options) for _ in range(2))
    record(two)
    for world in (one, two):
        busy(world)
    assert one.trace.digest() == two.trace.digest()


def test_clients_are_recorded_from_the_start_and_once():
    world = World(3, seed=1)
    world.client("ann")
    with pytest.raises(BadInput, match="from the start"):
        record(world)
    world = World(3, seed=1)
    record(world)
    with pytest.raises(BadInput, match="from the start"):
        record(world)


def test_any_change_of_what_was_got_is_found():
    """Each answer is replaced by another value, one after the other."""
    world, calls = started()
    busy(world)
    fresh = [read for read in calls.reads if read.one and read.at is None and not read.stale]
    assert len(fresh) >= 3
    for read in calls.reads:
        if not read.one:
            continue
        answer = read.answer
        for value in (b"9", b"1" if answer.value != b"1" else b"2"):
            read.answer = answer._replace(value=value)
            with pytest.raises(Violation):
                judge_calls(calls, nowhere)
        read.answer = answer
    pages = [read for read in calls.reads if not read.one]
    first = pages[0].answer
    pages[0].answer = first._replace(pairs=((b"a", b"1"),))
    with pytest.raises(NotLinearizable):
        judge_calls(calls, nowhere)
    pages[0].answer = first
    judge_calls(calls, nowhere)


def test_a_read_at_a_time_has_the_newest_version_of_that_time():
    world, calls = started()
    ann = world.client("ann")
    old, new = ann.put(b"a", b"1").timestamp, ann.put(b"a", b"2").timestamp
    ann.get(b"a", at=new)
    (read,) = calls.reads
    for value, stamp in ((b"1", old), (None, 0)):
        read.answer = read.answer._replace(value=value, timestamp=stamp)
        with pytest.raises(Violation, match="is due"):
            judge_calls(calls, nowhere)
    read.at = old
    read.answer = read.answer._replace(value=b"2", timestamp=new)
    with pytest.raises(Violation, match="is due"):
        judge_calls(calls, nowhere)


def test_a_stale_read_may_be_old_but_not_invented():
    world, calls = started()
    ann = world.client("ann")
    old = ann.put(b"a", b"1").timestamp
    ann.put(b"a", b"2")
    ann.get(b"a", member="n1", stale=True)
    (read,) = calls.reads
    read.answer = read.answer._replace(value=b"1", timestamp=old)
    judge_calls(calls, nowhere)
    read.answer = read.answer._replace(value=b"2", timestamp=old)
    with pytest.raises(Violation, match="but the version"):
        judge_calls(calls, nowhere)
    read.answer = read.answer._replace(value=b"3", timestamp=old + 1)
    with pytest.raises(Violation, match="which nobody had written"):
        judge_calls(calls, nowhere)


def test_an_unknown_write_is_ordered_where_the_log_has_it_or_wherever_it_fits():
    world, calls = started()
    ann, bob = world.client("ann"), world.client("bob")
    checker = TransactionChecker(world)
    ann.put(b"a", b"1")
    world.drop(lambda message: False)
    leader = world.leader()
    for member in world.members:
        world.cut_link(member, "ann")  # it hears nothing
    ticket = ann.submit({b"a": b"2"}, timeout=500)
    with pytest.raises(WriteFailed):
        ann.wait_for(ticket)
    assert ticket.stage is Stage.UNKNOWN
    assert bob.get(b"a") == b"2"
    checker.check()
    assert checker.model.outcome(ticket.txn) is not None
    assert judge_calls(calls, lambda txn: checker.model.outcome(txn).index).how == "log"
    assert judge_calls(calls, nowhere).how == "search"
    assert leader in world.members


def test_a_retry_after_a_certain_abort_counts_from_the_retry_on():
    world, calls = started()
    ann = world.client("ann")
    ann.register()
    for member in world.members:
        world.crash(member)
    ticket = ann.submit({b"a": b"1"}, timeout=0)
    world.run_until(lambda: ticket.done)
    unsure = ticket.stage is Stage.UNKNOWN
    for member in world.members:
        world.restart(member)
    called = calls.writes[0].called
    ann.retry(ticket)
    ann.wait_for(ticket)
    (write,) = calls.writes
    assert write.returned >= world.now
    assert (write.called == called) == unsure


def stale_read(consensus=Raft):
    """A client writes past a leader that is cut off, and another one reads there."""
    world, calls = started(consensus=consensus, check_quorum=False)
    ann, bob = world.client("ann"), world.client("bob")
    ann.put(b"x", b"0")
    old = world.leader()
    bob.get(b"x")
    world.partition([old, "bob"], [*(m for m in world.members if m != old), "ann"])
    ann.put(b"x", b"1")
    try:
        bob.read(b"x", timeout=300)
    except ReadFailed:
        assert consensus is Raft
    world.heal()
    return calls


def test_a_stale_read_of_a_leader_that_was_cut_off_is_found_and_told():
    judge_calls(stale_read(), nowhere)
    with pytest.raises(
        NotLinearizable, match=r"bob saw b'x' = b'0' .* allows only b'x' = b'1'"
    ) as found:
        judge_calls(stale_read(find_bug("reads unconfirmed").consensus), nowhere)
    verdict = found.value.verdict
    assert [o.client for o in verdict.stuck.window] == ["ann", "bob"]
    assert verdict.story.count("STUCK") == 1
    assert "ann: put b'x' = b'1'" in verdict.story


def late_answer(client):
    world, calls = started(client)
    ann = world.client("ann")
    ann.write({b"x": b"of x", b"y": b"of y"})
    leader = world.leader()
    world.slow_link(leader, "ann", 300)
    with pytest.raises(ReadFailed):
        ann.read(b"x", timeout=200)
    ann.read(b"y", timeout=2_000)
    return calls


def retried_write(client):
    world, calls = started(client)
    ann, bob = world.client("ann"), world.client("bob")
    ann.put(b"x", b"0")
    bob.put(b"x", b"1")
    world.slow_link("ann", world.leader(), 300)
    ticket = ann.submit({b"x": b"2"})  # and again, as no answer comes
    ann.wait_for(ticket)
    bob.put(b"x", b"3")
    bob.get(b"x")
    world.run_for(500)  # the second copy arrives
    bob.get(b"x")
    return calls


@pytest.mark.parametrize(
    ("play", "bug"),
    [(late_answer, "late answers taken"), (retried_write, "retries under new ids")],
)
def test_a_bug_of_the_client_library_is_found_in_what_callers_got(play, bug):
    judge_calls(play(Client), nowhere)
    with pytest.raises(Violation):
        judge_calls(play(find_bug(bug).client), nowhere)


def test_an_order_that_is_given_is_checked():
    put = Operation("ann", 0, 10, {}, {b"x": b"1"})
    get = Operation("bob", 5, 20, {b"x": b"1"}, {})
    assert [at for _, at in points_of([put, get])] == [0, 5]
    assert points_of([get, put]) is None
    late = Operation("bob", 11, 20, {b"x": None}, {})
    assert points_of([late, put]) is None


def test_a_search_that_is_too_hard_is_given_up():
    world, calls = started()
    busy(world)
    for write in calls.writes:  # the log's order is spoilt, and nothing else
        write.ticket.index = 100 - write.ticket.index
    assert judge_calls(calls, nowhere).how == "search"
    assert judge_calls(calls, nowhere, most=0).how == "too hard"


def test_a_history_is_drawn_with_its_order_or_with_the_window_that_has_none(tmp_path):
    pytest.importorskip("matplotlib")
    from kvraft.viz.figures import plot_history, save, title_of

    world, calls = started()
    busy(world)
    judged = judge_calls(calls, nowhere)
    figure = plot_history(Verdict(judged.points, None))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert [str(n) in texts for n in range(1, judged.operations + 1)] == [True] * judged.operations
    assert title_of(figure) == f"An order explains {judged.operations} operations: here is one"
    assert {"ann", "bob"} == {label.get_text() for label in axes.get_yticklabels()}

    with pytest.raises(NotLinearizable) as found:
        judge_calls(stale_read(find_bug("reads unconfirmed").consensus), nowhere)
    verdict = found.value.verdict
    figure = plot_history(verdict)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert title_of(figure) == "No order of these 2 operations explains what bob saw"
    assert texts.count("no moment fits") == 1
    assert texts.count("1") == 1  # the put has a moment, and the read has none
    assert "2" not in texts
    save(figure, tmp_path / "history.svg", verdict.story)
    assert "every order of the operations allows" in (tmp_path / "history.svg").read_text()
    with pytest.raises(BadInput, match="nobody called"):
        plot_history(Verdict((), None))
