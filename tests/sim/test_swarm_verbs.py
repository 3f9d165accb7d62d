"""What the swarm does to disks and messages and asks of clients, most of it without a button."""

from dataclasses import replace

import pytest

from kvraft.errors import BadInput
from kvraft.events import MemberCrashed, MemberStopped, MessageLost, ReadEnded
from kvraft.sim import SYNC, VERBS, NotNow, Run
from kvraft.transaction import Stage
from kvraft.viz.sandbox.choices import choices
from tests.helpers.random_runs import SMALL


def elected(options=SMALL):
    run = Run(3, seed=1, options=options)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "ann", "a", "1")
    run.run_for(200)
    return run


def other(run):
    return next(name for name in run.world.members if name != run.world.leader())


def done(run, verb, *arguments):
    """Do what a verb says and let it end; return what comes of it."""
    result = run.perform(verb, *arguments)
    run.run_until(lambda: result.done)
    return result


# ── disks ───────────────────────────────────────────────────────────────────────────────────────


def test_a_call_to_a_disk_fails_or_the_power_is_cut_in_it_as_the_seed_has_it():
    for verb, event in (("break_disk", MemberStopped), ("cut_power", MemberCrashed)):
        run, name = elected(), None
        name = other(run)
        run.act(verb, name, 2, seed=7)
        run.act("put", "ann", "b", "2")
        run.run_for(50)
        assert run.trace.of(event, who=name)
        again = Run.parse(run.to_text())
        assert again.trace.digest() == run.trace.digest()
        run.act("restart", name)
        run.run_for(200)
        assert name in run.world.replicas


def test_a_disk_is_made_slow_and_repaired_with_all_that_was_planned_for_it():
    run = elected()
    name = other(run)
    assert run.refusal("repair_disk", name) == (
        f"repair_disk: the disk of {name} works as it should"
    )
    for verb, arguments in (
        ("slow_disk", (9_000,)),
        ("fill", (10,)),
        ("cut_power", (3,)),
        ("break_disk", (3, True)),
        ("crash", ("save",)),
    ):
        run.act(verb, name, *arguments)
        run.act("repair_disk", name)
        assert run.refusal("repair_disk", name)
    assert run.world.seats[name].sync_micros == SYNC
    run.act("put", "ann", "b", "2")
    run.run_for(100)
    assert set(run.world.replicas) == set(run.members)


def test_a_machine_is_switched_off_when_its_process_is_down():
    run = elected()
    name = other(run)
    assert run.refusal("switch_off", name).endswith("runs, so its files are in use")
    run.act("break_disk", name, 2)
    run.act("put", "ann", "b", "2")
    run.run_for(50)
    run.act("switch_off", name, 3, True)
    run.act("restart", name)
    run.run_for(200)
    assert run.world.replicas[name].tree.get(b"b") == b"2"


def test_a_member_refuses_to_start_on_an_old_copy_of_its_disk():
    run = elected()
    name = other(run)
    assert run.refusal("bring_copy", name).endswith("runs, so its files are in use")
    run.act("copy_disk", name)
    run.act("crash", name)
    run.act("bring_copy", name)
    assert run.refusal("bring_copy", name) == f"bring_copy: there is no copy of the disk of {name}"
    assert run.perform("restart", name) is not None
    assert name not in run.world.replicas


# ── messages ────────────────────────────────────────────────────────────────────────────────────


def test_all_messages_of_a_sender_or_of_a_kind_are_lost_at_once():
    run = elected()
    run.act("put", "ann", "b", "2")
    run.run_until(lambda: any(e.message.sender == run.world.leader() for e in run.world.in_flight))
    left = [e.id for e in run.world.in_flight if e.message.sender != run.world.leader()]
    run.act("drop_all", run.world.leader())
    assert [e.id for e in run.world.in_flight] == left
    assert run.refusal("drop_all", "", "", "RequestVote") == (
        "drop_all: no such message is in flight"
    )


def test_a_share_of_all_messages_is_lost_until_it_is_ended():
    run = elected()
    assert run.refusal("lose", 0) == "lose: 0 % of all messages are lost already"
    run.act("lose", 100)
    since = len(run.trace)
    run.run_for(100)
    assert run.trace[since:].of(MessageLost)
    run.act("lose", 0)
    run.run_for(2_000)
    assert run.world.leader() is not None


# ── clients ─────────────────────────────────────────────────────────────────────────────────────


def test_numbers_are_added_to_what_a_client_last_read_unless_somebody_was_faster():
    run = elected()
    assert run.refusal("increment", "ann", [("n", "1")]) == (
        "increment: ann has not read 'n', or is still at it"
    )
    for name in ("ann", "bob"):
        done(run, "get", name, "n")
    assert done(run, "increment", "ann", [("n", "2")]).stage is Stage.APPLIED
    late = done(run, "increment", "bob", [("n", "5")])
    assert (late.stage, late.conflict) == (Stage.ABORTED, b"n")
    done(run, "get", "bob", "n")
    assert done(run, "increment", "bob", [("n", "-5")]).stage is Stage.APPLIED
    assert done(run, "get", "cy", "n").answer.value == b"-3"
    done(run, "get", "ann", "a")
    assert "is not a number that could be added" in run.refusal("increment", "ann", [("a", "x")])


def test_a_write_depends_on_what_was_read():
    run = elected()
    for name in ("ann", "bob"):
        done(run, "get", name, "a")
    assert done(run, "write", "bob", [("a", "2")], ["a"]).stage is Stage.APPLIED
    assert done(run, "write", "ann", [("b", "3")], ["a"]).conflict == b"a"


def test_a_key_is_read_as_of_a_timestamp_and_a_scan_page_by_page():
    run = elected(replace(SMALL, history_millis=60_000))
    first = done(run, "get", "ann", "a").answer.timestamp
    done(run, "put", "ann", "a", "2")
    done(run, "put", "ann", "b", "3")
    assert done(run, "get", "ann", "a", "", False, first).answer.value == b"1"
    assert len(run.trace.of(ReadEnded)) == 2
    page = done(run, "scan", "bob", "", "", 1).answer
    assert list(page.pairs) == [(b"a", b"2")]
    page = done(run, "scan", "bob", page.next, "", 1, True, other(run)).answer
    assert list(page.pairs) == [(b"b", b"3")]


def test_a_large_transaction_is_there_in_full():
    run = elected()
    assert done(run, "write_large", "ann", 40, "xy", 100).stage is Stage.APPLIED
    assert done(run, "get", "ann", "large/39").answer.value == b"xy" * 100


def test_what_ended_unknown_is_tried_again_under_its_number_and_a_client_leaves():
    run = elected()
    run.act("partition", [["n1", "n2", "n3"], ["ann"]] if "ann" in run.world.clients else [])
    ticket = done(run, "write", "ann", [("b", "2")], (), 300)
    assert ticket.stage in (Stage.ABORTED, Stage.UNKNOWN)
    run.act("heal")
    assert run.refusal("retry", "ann", 9).endswith("has submitted 2 transactions so far")
    assert run.refusal("retry", "ann", 1).endswith("there is nothing to retry")
    run.act("retry", "ann", 2)
    assert run.refusal("dismiss", "ann") == "dismiss: ann waits for something"
    run.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.APPLIED
    run.act("dismiss", "ann")
    with pytest.raises(NotNow, match="there is no client called ann"):
        run.act("dismiss", "ann")
    assert run.refusal("retry", "ann", 1).endswith("has submitted 0 transactions so far")


# ── the table ───────────────────────────────────────────────────────────────────────────────────


def test_the_sandbox_has_a_button_for_what_the_table_says():
    run = elected()
    seen = {
        choice.verb.name
        for what in ("", f"member {other(run)}", "client ann", "link n1 n2")
        for choice in choices(run, what)
    }
    offered = {name for name, verb in VERBS.items() if verb.offered}
    assert seen <= offered
    assert offered - seen <= {"drop", "duplicate", "delay", "deliver"}


def test_what_cannot_be_done_now_is_told_from_what_makes_no_sense():
    run = elected()
    with pytest.raises(NotNow):
        run.act("restart", other(run))
    with pytest.raises(BadInput) as found:
        run.act("restart", "n9")
    assert not isinstance(found.value, NotNow)
