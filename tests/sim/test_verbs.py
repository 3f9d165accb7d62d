"""The verbs: each does what it says, is refused with a reason, and is seen in a look back."""

from collections import Counter

import pytest

from kvraft.errors import BadInput
from kvraft.events import (
    DiskFilled,
    LinkChanged,
    MemberResumed,
    MemberStopped,
    MessageDelayed,
    MessageDelivered,
    MessageDuplicated,
    MessageLost,
    MessageSent,
    ReadEnded,
    RoleChanged,
    TicketMoved,
    TransferEnded,
    TransferStarted,
)
from kvraft.raft import AppendEntries, RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import VERBS, Run, Target, World
from kvraft.viz.trace import TraceHistory, story_line
from tests.helpers.random_runs import SMALL


def elected(seed=1, **options):
    run = Run(3, seed=seed, options=ReplicaOptions(**options) if options else SMALL)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "ann", "a", "1")
    run.run_for(200)
    return run


def others(run):
    return [name for name in run.world.members if name != run.world.leader()]


def story(run, since=0):
    return [story_line(run.trace, n).partition("  ")[2] for n in range(since, len(run.trace))]


def state(run, step=-1):
    """Return what a look back shows after ``step``."""
    return TraceHistory(run.trace).at(step % len(run.trace))


def sent(run, link, since):
    """Return the numbers of the messages sent on ``link`` since step ``since``."""
    steps = run.trace[since:].of(MessageSent, who=link[0])
    return [step.event.id for step in steps if step.event.to == link[1]]


def came(run, ids, kind=MessageDelivered):
    return [step.event.id for step in run.trace.of(kind) if step.event.id in ids]


# ── members ─────────────────────────────────────────────────────────────────────────────────────


def test_a_timer_that_runs_out_by_hand_makes_a_follower_stand_for_election():
    run = elected(raft=RaftOptions(check_quorum=False, pre_vote=False))
    name, since = others(run)[0], len(run.trace)
    run.act("timeout", name)
    run.run_for(20)
    roles = run.trace[since:].of(RoleChanged, who=name)
    assert [step.event.role for step in roles] == ["candidate", "leader"]
    assert f"the timer of {name} runs out by hand" in story(run, since)


def test_a_member_that_is_paused_does_nothing_until_it_is_resumed():
    run = elected()
    leader, since = run.world.leader(), len(run.trace)
    run.act("pause", leader)
    run.run_for(3_000)
    assert not run.trace[since + 1 :].of(MessageSent, who=leader)
    assert run.world.leader() != leader
    assert state(run).members[leader].paused
    assert run.refusal("timeout", leader) == f"timeout: {leader} is paused"
    assert run.refusal("pause", leader) == f"pause: {leader} is paused"
    run.act("resume", leader)
    run.run_for(200)
    assert not state(run).members[leader].paused
    assert state(run, since).members[leader].paused  # then, not today
    assert run.world.replicas[leader].raft.leader == run.world.leader()
    assert run.refusal("resume", leader) == f"resume: {leader} is not paused"


@pytest.mark.parametrize("ticks", [True, False])
def test_the_ticks_of_a_pause_pile_up_or_never_come(ticks):
    run = elected(raft=RaftOptions(check_quorum=False))
    name = others(run)[0]
    run.act("partition", [[name]])
    run.act("pause", name, 400, ticks=ticks)
    since = len(run.trace)
    run.run_for(401)
    assert len(run.trace.of(MemberResumed)) == 1
    stands = [step.event.role for step in run.trace[since:].of(RoleChanged, who=name)]
    assert (stands[:1] == ["pre-candidate"]) is ticks


def test_a_transfer_that_is_cancelled_ends_at_once():
    run = elected()
    to = others(run)[0]
    run.act("pause", to)
    assert run.refusal("cancel_transfer").endswith("is not handing over")
    run.act("transfer", to)
    run.act("cancel_transfer")
    assert len(run.trace.of(TransferStarted)) == len(run.trace.of(TransferEnded)) == 1
    assert run.refusal("transfer", run.world.leader()).endswith("leads already")


def test_a_member_whose_disk_is_wiped_does_not_start_and_is_replaced_by_another():
    run = elected()
    name = others(run)[0]
    assert run.refusal("wipe", name) == f"wipe: {name} runs, so its files are in use"
    assert run.refusal("rebuild", name) == f"rebuild: {name} runs, so its files are in use"
    run.act("crash", name)
    run.act("wipe", name)
    assert run.refusal("wipe", name) == "wipe: it is empty"
    run.act("restart", name)
    (stopped,) = run.trace.of(MemberStopped, who=name)
    assert "was lost" in stopped.event.reason or "empty" in stopped.event.reason
    run.act("rebuild", name)
    successor = run.world.members[-1]
    voters = [n for n in run.world.members if n not in (name, successor)]
    run.act("change", voters, [successor])
    run.run_for(300)
    run.act("change", [*voters, successor])
    run.run_for(300)
    assert run.world.replicas[successor].raft.configuration.voters == (*voters, successor)
    assert run.refusal("rebuild", name).endswith("was started there already")
    assert run.refusal("wipe", name) == f"wipe: {successor} runs, so its files are in use"


def test_a_clock_that_is_set_is_seen_in_a_look_back():
    run = elected()
    run.act("set_clock", "ann", -5_000)
    then = len(run.trace) - 1
    assert story(run)[-1] == "the clock of ann is 5,000 ms slow"
    run.act("set_clock", "ann", 0)
    assert (state(run, then).clocks, state(run).clocks) == ({"ann": -5_000}, {"ann": 0})


# ── links and messages ──────────────────────────────────────────────────────────────────────────


def test_a_link_is_cut_one_way_and_a_look_back_shows_the_cuts_of_that_time():
    run = elected()
    leader, (name, _) = run.world.leader(), others(run)
    since = len(run.trace)
    run.act("cut", name, leader)
    cut = len(run.trace) - 1
    run.run_for(100)
    one_way, back = sent(run, (name, leader), since), sent(run, (leader, name), since)
    assert one_way
    assert came(run, one_way, MessageLost) == one_way
    assert came(run, back)
    assert run.refusal("cut", name, leader) == f"cut: {name} does not reach {leader}"
    run.act("repair", name, leader)
    assert run.refusal("repair", name, leader).endswith("works")
    mended = len(run.trace)
    run.run_for(100)
    assert came(run, sent(run, (name, leader), mended))
    assert list(state(run, cut).links) == [(name, leader)]
    assert not state(run, cut - 1).links
    assert not state(run).links


def test_what_is_sent_on_a_clogged_link_waits_and_then_arrives_in_order():
    run = elected()
    leader, (name, _) = run.world.leader(), others(run)
    run.act("clog", leader, name)
    since = len(run.trace)
    run.run_for(100)
    waiting = sent(run, (leader, name), since)
    assert len(waiting) > 1
    assert not came(run, waiting)
    run.act("deliver", waiting[1])  # a hand reaches through it
    assert came(run, waiting) == [waiting[1]]
    run.act("repair", leader, name)
    run.step()
    assert came(run, waiting) == [waiting[1], waiting[0], *waiting[2:]]


def test_heal_repairs_every_link_and_releases_what_waited():
    run = elected()
    leader, (name, other) = run.world.leader(), others(run)
    run.act("clog", leader, name)
    run.act("cut", leader, other)
    run.act("slow", other, leader, 70)
    run.act("lossy", name, leader, 100)
    assert len(state(run).links) == 4
    since = len(run.trace)
    run.run_for(60)
    waiting = sent(run, (leader, name), since)
    run.act("heal")
    run.run_for(200)
    assert came(run, waiting) == waiting
    assert not state(run).links
    assert run.world.leader() is not None


def test_a_slow_link_and_a_lossy_link_are_that_and_no_others_are():
    run, calm = elected(), elected()
    leader, (name, other) = run.world.leader(), others(run)
    since = len(run.trace)
    run.act("slow", leader, name, 40)
    run.act("lossy", name, leader, 100)
    run.run_for(100)
    calm.run_for(100)
    lost = sent(run, (name, leader), since)
    assert came(run, lost, MessageLost) == lost
    at = {s.event.id: s.at for s in run.trace.of(MessageSent, MessageDelivered) if s.event.id}
    slow = [n for n in sent(run, (leader, name), since) if came(run, [n])]
    begun = {s.event.id: s.at for s in run.trace.of(MessageSent)}
    assert slow
    assert all(at[n] - begun[n] > 40_000 for n in slow)
    assert flights(run, (leader, other), since) == flights(calm, (leader, other), since)


def flights(run, link, since):
    """Return how long the messages on ``link`` took that were sent in the next 80 ms."""
    begun = {s.event.id: s.at for s in run.trace.of(MessageSent)}
    ended = {s.event.id: s.at for s in run.trace.of(MessageDelivered)}
    last = run.now - 20_000
    return [ended[n] - begun[n] for n in sent(run, link, since) if begun[n] < last]


@pytest.mark.parametrize("verb", ["drop", "duplicate", "delay", "deliver"])
@pytest.mark.parametrize("seed", range(3))
def test_a_verb_on_one_message_leaves_all_others_their_delays(verb, seed):
    """They may be other messages; but the *n*-th on each link takes as long as before."""
    run, calm = (World(3, seed=seed, reorder=True) for _ in range(2))
    for world in (run, calm):
        world.run_until(lambda world=world: appends(world))
    one = appends(run)[0]
    VERBS[verb].do(run, *VERBS[verb].bind(run, [one]))
    for world in (run, calm):
        world.run_for(200)
    copies = {step.event.copy for step in run.trace.of(MessageDuplicated)}
    ours, theirs = drawn(run, one, copies), drawn(calm, one, copies=set())
    both = ours.keys() & theirs.keys()
    assert {place: ours[place] for place in both} == {place: theirs[place] for place in both}
    assert len(both) > 20


def appends(world):
    return [e.id for e in world.in_flight if isinstance(e.message, AppendEntries)]


def drawn(run, one, copies):
    """Return how long messages took, by link and place on it, but for message ``one``."""
    took, begun, places = {}, {}, Counter()
    for at, who, event in run.trace:
        if isinstance(event, MessageSent) and event.id not in copies:
            begun[event.id] = ((who, event.to, places[who, event.to]), at)
            places[who, event.to] += 1
        elif isinstance(event, MessageDelivered) and event.id in begun and event.id != one:
            place, since = begun[event.id]
            took[place] = at - since
    return took


def flying(run, kind):
    """Go on until a message of ``kind`` between members is in flight; return it."""
    run.run_until(lambda: any(type(e.message).__name__ == kind for e in run.world.in_flight))
    return next(e for e in run.world.in_flight if type(e.message).__name__ == kind)


def test_a_message_is_delayed_duplicated_delivered_and_dropped():
    run = elected()
    first = flying(run, "AppendEntries")
    run.act("duplicate", first.id)
    (copy,) = [s.event.copy for s in run.trace.of(MessageDuplicated)]
    assert run.act("delay", first.id, millis=30).arguments[:2] == (first.id, first.message.sender)
    (delayed,) = run.trace.of(MessageDelayed)
    assert delayed.event.arrives == first.arrives + 30_000
    assert state(run).delayed == {first.id: delayed.event.arrives}
    run.run_for(20)
    assert came(run, {first.id, copy}) == [copy]
    run.run_for(20)
    assert came(run, {first.id, copy}) == [copy, first.id]
    assert not state(run).delayed
    second = flying(run, "AppendEntriesReply")
    run.act("deliver", second.id)
    assert run.trace.of(MessageDelivered)[-1] == (
        run.now,
        second.message.to,
        MessageDelivered(second.id),
    )
    third = flying(run, "AppendEntries")
    run.act("drop", third.id)
    assert run.trace[-1].event == MessageLost(third.id, "dropped")
    assert run.refusal("drop", third.id) == f"drop: message {third.id} is not in flight"


def test_a_message_that_is_another_one_is_refused():
    run = elected()
    found = flying(run, "AppendEntries")
    to = found.message.to
    why = run.refusal("drop", found.id, found.message.sender, to, "RequestVote")
    assert why.startswith(f"drop: message {found.id} is AppendEntries from ")
    assert why.endswith(f"not RequestVote from {found.message.sender} to {to}")


def test_a_message_of_a_client_never_comes_twice():
    run = elected()
    run.act("put", "ann", "b", "2")
    found = flying(run, "Submit")
    assert run.refusal("duplicate", found.id) == (
        "duplicate: the connection of ann never delivers a message twice"
    )


def test_what_cannot_be_reached_is_not_delivered_to():
    run = elected()
    found = flying(run, "AppendEntries")
    run.act("crash", found.message.to)
    assert run.refusal("deliver", found.id) == f"deliver: {found.message.to} is down"
    run.act("cut", found.message.sender, found.message.to)
    assert "does not reach" in run.refusal("deliver", found.id)


# ── disks ───────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_is_filled_and_extended():
    run = elected()
    leader = run.world.leader()
    assert (
        run.refusal("extend", leader) == f"extend: the disk of {leader} has all the room it wants"
    )
    run.act("fill", leader, 10)
    assert state(run).members[leader].limited
    run.act("put", "ann", "b", "2" * 50)
    run.run_for(100)
    assert run.trace.of(DiskFilled, who=leader)
    run.act("extend", leader)
    run.run_for(2_000)
    assert not state(run).members[leader].limited
    assert run.trace.of(TicketMoved)[-1].event.stage == "APPLIED"


def test_a_member_flushes_when_it_is_asked_to():
    run = elected()
    name = others(run)[0]
    flushed = run.world.replicas[name].marks.flushed
    run.act("flush", name)
    run.run_for(50)
    assert run.world.replicas[name].marks.flushed > flushed
    run.act("flush", name) if not run.refusal("flush", name) else None
    run.run_for(50)
    assert run.refusal("flush", name) == f"flush: {name} has nothing to flush"


def test_a_damaged_byte_stops_the_member_that_starts_on_it_with_file_and_offset():
    run = elected()
    name = others(run)[0]
    run.act("crash", name)
    run.act("corrupt", name, "MEMBER", 20)
    run.act("restart", name)
    (stopped,) = run.trace.of(MemberStopped, who=name)
    assert "MEMBER" in stopped.event.reason
    assert run.refusal("corrupt", name, "NONE", 0).startswith("corrupt: there is no file 'NONE'")
    size = run.world.disk(name).size("MEMBER")
    assert run.refusal("corrupt", name, "MEMBER", size).endswith(f"bytes, and none at {size}")


# ── clients ─────────────────────────────────────────────────────────────────────────────────────


def test_several_operations_of_several_clients_are_under_way_at_once():
    run = elected()
    run.act("put", "bob", "b", "2")
    run.act("get", "ann", "a")
    run.act("write", "ann", [("c", "3"), ("a", None)])
    run.act("get", "bob", "a", others(run)[0], True)
    run.act("delete", "bob", "b")
    assert run.now == run.actions[-1].at == run.actions[-5].at
    run.run_for(400)
    stages = Counter(s.event.stage for s in run.trace.of(TicketMoved))
    assert stages["APPLIED"] == 4
    reads = {(s.who, s.event.key, s.event.value) for s in run.trace.of(ReadEnded)}
    assert reads == {("ann", "a", "1"), ("bob", "a", "1")}


def test_a_read_that_nobody_answers_fails_and_says_so():
    run = elected()
    for name in run.world.members:
        run.act("crash", name)
    run.act("get", "ann", "a")
    run.run_for(11_000)
    assert story(run)[-1].startswith("client ann: the read of a failed: nobody answered")


# ── refusals ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (("jump", "n1"), "there is no verb 'jump': crash, restart, "),
        ((7,), "there is no verb 7"),
        (("crash",), "crash needs the argument 'member'"),
        (("crash", "n9"), "there is no member called n9: n1, n2, n3"),
        (("crash", 1), "the argument 'member' must be text, not 1"),
        (("crash", "n1", "half"), "a crash comes after begin or save, not after 'half'"),
        (("crash", "n1", "save", "n2"), "crash takes at most 2 arguments, not 3"),
        (("restart", "n1"), "restart: n1 runs already"),
        (("cut", "n1", "n1"), "cut: there is no link from n1 to itself"),
        (("cut", "n1", "zoe"), "there is no member or client called zoe"),
        (("lossy", "n1", "n2", 101), "the argument 'percent' must be at most 100, not 101"),
        (("slow", "n1", "n2", -1), "the argument 'millis' must be at least 0, not -1"),
        (("drop", 999_999), "drop: message 999999 is not in flight"),
        (("partition", [["n1"], ["n1"]]), "partition: n1 cannot be in two groups"),
        (("partition", []), "partition: a partition needs at least one group"),
        (("partition", "n1"), "the argument 'groups' must be a list of lists, not 'n1'"),
        (("put", "n1", "k", "v"), "n1 is a member, so it cannot be a client"),
        (("put", "", "k", "v"), "the argument 'client' must not be empty"),
        (("put", "ann", "k", "x" * 5_000), "the argument 'value' has 5000 characters"),
        (("put", "ann", "\ud800", "v"), "the argument 'key' has half of a character"),
        (("put", "ann", 5, "v"), "the argument 'key' must be text, not 5"),
        (("put", "ann", "\0kvraft/", "v"), "put: keys that begin with b'"),
        (("write", "ann", []), "write: a transaction needs at least one write"),
        (("write", "ann", [("k",)]), "the argument 'writes' must have pairs of a key and a value"),
        (("get", "ann", "k", "", True), "get: a stale read needs the name of a member"),
        (("pause", "n1", 5, 1), "the argument 'ticks' must be True or False, not 1"),
        (("add", "n1"), "there is a member or client called n1 already"),
        (("corrupt", "n1", "MEMBER", 3, 0), "the argument 'mask' must be at least 1, not 0"),
        (("transfer", "n9"), "there is no member called n9"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence_and_leaves_no_trace(call, why):
    run = Run(3, seed=1)
    run.run_to(0)
    before = run.trace.digest()
    assert why in run.refusal(*call)
    assert "\n" not in run.refusal(*call)
    with pytest.raises(BadInput) as found:
        run.act(*call)
    assert str(found.value) == run.refusal(*call)
    assert (run.actions, run.trace.digest()) == ((), before)


def test_nobody_can_hand_over_where_nobody_leads():
    run = Run(3, seed=1)
    assert run.refusal("transfer", "n1") == "transfer: no member leads"
    assert run.refusal("change", ["n1"]) == "change: no member leads"


def test_arguments_have_names():
    run = elected()
    name = others(run)[0]
    action = run.act("pause", name, millis=20, ticks=False)
    assert action.as_python() == f'run.act("pause", "{name}", 20, False)'
    for named in ({"member": name, "mil": 3}, {"to": name}):
        assert "by none of its names" in run.refusal("pause", **named)
    assert "'member' twice" in run.refusal("pause", name, member=name)


def test_every_verb_is_described():
    for verb in VERBS.values():
        assert verb.sentence.endswith(".")
        assert isinstance(verb.target, Target)


def test_a_disk_that_is_real_is_left_alone(tmp_path):
    from kvraft.disk import RealDisk

    world = World(1, disk=lambda name: RealDisk(tmp_path / name))
    with pytest.raises(BadInput, match="the disk of n1 is not simulated"):
        world.fill_disk("n1")
    world.close()


def test_a_link_event_says_what_the_link_is_like():
    run = elected()
    run.act("slow", "n1", "n2", 7)
    run.act("lossy", "n1", "n2", 30)
    assert run.trace[-1].event == LinkChanged("n1", "n2", False, False, 7_000, 30)
    assert story(run)[-1] == (
        "the link from n1 to n2 takes 7 ms longer and loses 30 % of its messages"
    )
