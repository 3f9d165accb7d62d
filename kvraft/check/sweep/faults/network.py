"""Faults of the network: partitions, single links, and single messages."""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.transaction import WriteReply

ANY = ("", "", "")
"""Sender, receiver and kind of a message, to be filled in."""


def partition(faults: Faults) -> bool:
    """Cut the network in two; a client may be on either side."""
    if faults.alone:
        return False
    members, random = faults.members, faults.random
    some = random.sample(members, random.randint(1, len(members) - 1))
    client = random.choice(faults.names)
    faults.do("partition", [some + ([client] if random.random() < 0.3 else [])])
    faults.plan(100, 1_200, faults.heal)
    return True


def isolate(faults: Faults) -> bool:
    """Cut one member off from all others; clients still reach it."""
    if faults.alone:
        return False
    faults.do("partition", [[faults.victim()]])
    faults.plan(100, 1_500, faults.heal)
    return True


def churn(faults: Faults) -> bool:
    """Partition the members again and again, while elections begin in all parts.

    So leaders come and go before what they appended is anywhere else, over several terms.
    """
    if faults.alone:
        return False
    _churn(faults, faults.random.randint(4, 12))
    return True


def _churn(faults: Faults, times: int) -> None:
    if not times:
        faults.heal()
        return
    members, random = faults.members, faults.random
    random.shuffle(members)
    cut = random.randint(1, len(members) - 1)
    faults.do("partition", [members[:cut], members[cut:]])
    for name in random.sample(members, min(2, len(members))):
        faults.time_out(name)
    faults.plan(10, 180, partial(_churn, faults, times - 1))


def diverge(faults: Faults) -> bool:
    """Give one of five members entries of two terms that no majority has, as in Raft Figure 7 (f).

    It follows a leader that reaches nobody else, then leads for a moment, and is cut off.
    """
    leader = faults.world.leader()
    if leader is None or faults.leases:
        return False
    voters = faults.world.replicas[leader].raft.configuration.voters
    if len(voters) < 5:
        return False
    follower = faults.random.choice([name for name in voters if name != leader])
    faults.do("partition", [[leader, follower]])
    faults.write_large()
    faults.plan(
        150, 200, partial(_succeed, faults, leader, follower)
    )  # others heard the leader before
    return True


def _succeed(faults: Faults, leader: str, follower: str) -> None:
    faults.do("partition", [[leader]])
    faults.time_out(follower)
    _cut_off(faults, follower, 40)


def _cut_off(faults: Faults, follower: str, times: int) -> None:
    """Cut the follower off as soon as it leads, before anybody has what it appended."""
    if faults.world.leader() == follower:
        faults.do("partition", [[follower]])
        for name in faults.members:
            if name != follower:
                faults.time_out(name)
        faults.plan(200, 500, faults.heal)
    elif times:
        faults.plan(1, 1, partial(_cut_off, faults, follower, times - 1))
    else:
        faults.heal()


def overthrow(faults: Faults) -> bool:
    """Cut off whoever leads as soon as it does, maybe with one other, several times in a row.

    So members gather entries of several terms that no majority has.
    """
    if len(faults.members) < 3:
        return False
    _overthrow(faults, "", faults.random.randint(3, 5), 600)
    return True


def _overthrow(faults: Faults, last: str, times: int, patience: int) -> None:
    """Wait for a leader other than the ``last`` one, and for no more than so many milliseconds."""
    leader, random = faults.world.leader(), faults.random
    if not times or not patience:
        faults.plan(50, 400, faults.heal)
        return
    if leader not in (None, last, *faults.gone):
        assert leader is not None
        others = [name for name in faults.members if name != leader]
        company = random.sample(others, int(len(others) > 2 and random.random() < 0.3))
        faults.do("partition", [[leader, *company]])
        for name in others:
            if random.random() < 0.5:
                faults.time_out(name)
        last, times, patience = leader, times - 1, 600
    faults.plan(1, 1, partial(_overthrow, faults, last, times, patience - 1))


def ring(faults: Faults) -> bool:
    """Have each member reach only its two neighbours in a ring."""
    members = faults.members
    if len(members) < 4:
        return False
    faults.random.shuffle(members)
    for place, name in enumerate(members):
        for other in members[place + 2 : len(members) - (place == 0)]:
            faults.cut(name, other)
    faults.plan(200, 2_000, faults.heal)
    return True


def bridge(faults: Faults) -> bool:
    """Cut the members in two halves which one member alone still joins."""
    if faults.alone:
        return False
    members = faults.members
    faults.random.shuffle(members)
    middle = len(members) // 2
    for name in members[:middle]:
        for other in members[middle + 1 :]:
            faults.cut(name, other)
    _depend_on(faults, [members[middle]])
    faults.plan(200, 2_000, partial(_end_bridge, faults))
    return True


def _end_bridge(faults: Faults) -> None:
    faults.between = []
    faults.heal()


def _depend_on(faults: Faults, names: list[str]) -> None:
    """Note that ``names`` alone join others, and often have one of them fail meanwhile."""
    faults.between = names
    if faults.random.random() < 0.5:
        faults.plan(100, 400, partial(faults.follow, "crash-loop", "rolling-restart", "crash"))


def one_way(faults: Faults) -> bool:
    """Have a member hear others that do not hear it, or the other way round."""
    if faults.alone:
        return False
    name, random = faults.victim(), faults.random
    others = [other for other in faults.members if other != name]
    hears = random.random() < 0.5
    for other in random.sample(others, random.randint(1, len(others))):
        link = (name, other) if hears else (other, name)
        faults.do("cut", *link)
        faults.plan(100, 1_500, partial(faults.do, "repair", *link))
    return True


def sever(faults: Faults) -> bool:
    """Have the leader and some others not reach each other, while all of them reach the rest."""
    leader, random = faults.world.leader(), faults.random
    if faults.alone or leader is None:
        return False
    others = [name for name in faults.members if name != leader]
    some = random.sample(others, random.randint(1, max(1, len(others) - 1)))
    for other in some:
        faults.cut(leader, other)
    _depend_on(faults, [name for name in others if name not in some])
    faults.plan(400, 2_000, partial(_end_severed, faults, leader, some))
    return True


def _end_severed(faults: Faults, leader: str, some: list[str]) -> None:
    faults.between = []
    for other in some:
        faults.reconnect(leader, other)


def flap(faults: Faults) -> bool:
    """Cut two members off from each other again and again."""
    if faults.alone:
        return False
    one, other = faults.random.sample(faults.members, 2)
    _flap(faults, one, other, faults.random.randint(3, 12))
    return True


def _flap(faults: Faults, one: str, other: str, times: int) -> None:
    faults.cut(one, other)
    faults.plan(5, 120, partial(faults.reconnect, one, other))
    if times:
        faults.plan(130, 250, partial(_flap, faults, one, other, times - 1))


def _link(faults: Faults) -> tuple[str, str]:
    """Return a link in one direction; one in three is to or from a client."""
    random, member = faults.random, faults.victim()
    if faults.alone or random.random() < 0.3:
        other = random.choice(faults.names)
    else:
        other = random.choice([name for name in faults.members if name != member])
    return (member, other) if random.random() < 0.5 else (other, member)


def slow_link(faults: Faults) -> None:
    """Make everything on a link take longer, by more than a client waits for an answer at times."""
    link = _link(faults)
    faults.do("slow", *link, faults.random.choice((5, 30, 150, 450)))
    faults.plan(200, 2_000, partial(faults.do, "repair", *link))


def deafen(faults: Faults) -> bool:
    """Have everything sent to the leader take longer, so that it learns late what others did.

    Clients read there meanwhile.
    """
    leader = faults.world.leader()
    if faults.alone or leader is None:
        return False
    slower = faults.random.choice((20, 60, 120))
    for other in faults.members:
        if other != leader:
            faults.do("slow", other, leader, slower)
            faults.plan(150, 700, partial(faults.do, "repair", other, leader))
    for _ in range(8):
        faults.plan(0, 400, partial(faults.read_at, leader))
    return True


def lossy_link(faults: Faults) -> None:
    """Lose much of what is sent on a link."""
    link = _link(faults)
    faults.do("lossy", *link, faults.random.choice((10, 50, 90)))
    faults.plan(200, 2_000, partial(faults.do, "repair", *link))


def clog(faults: Faults) -> bool:
    """Hold back what is sent on some links of a member, and release it in another order."""
    if faults.alone:
        return False
    name, random = faults.victim(), faults.random
    others = [other for other in faults.members if other != name]
    for other in random.sample(others, random.randint(1, len(others))):
        link = (name, other) if random.random() < 0.5 else (other, name)
        faults.plan(0, 60, partial(faults.do, "clog", *link))
        faults.plan(100, 900, partial(faults.do, "repair", *link))
    return True


def lose_messages(faults: Faults) -> None:
    """Lose some of all messages for a while."""
    faults.do("lose", faults.random.choice((5, 30)))
    faults.plan(100, 1_000, partial(faults.do, "lose", 0))


def lose_answers(faults: Faults) -> None:
    """Lose every answer that is in flight to a client, repeatedly for a while."""
    faults.do("drop_all", "", "", WriteReply.__name__)
    if faults.random.random() < 0.95:
        faults.plan(1, 3, partial(lose_answers, faults))


def duplicate(faults: Faults) -> None:
    """Have messages between members arrive twice for a while; the copies may be late."""
    world, random = faults.world, faults.random
    letters = [each for each in world.in_flight if not world.why_never_twice(each)]
    for letter in random.sample(letters, min(3, len(letters))):
        if faults.do("duplicate", letter.id) and random.random() < 0.7:
            late = random.choice((1, 10, 80, 400, 1_000))
            faults.do("delay", world.in_flight[-1].id, *ANY, late)
    if random.random() < 0.97:
        faults.plan(1, 6, partial(duplicate, faults))


def reorder(faults: Faults) -> None:
    """Hold single messages up for a while, so that later ones overtake them."""
    world, random = faults.world, faults.random
    letters = world.in_flight
    for letter in random.sample(letters, min(2, len(letters))):
        faults.do("delay", letter.id, *ANY, random.choice((1, 4, 20, 120)))
    if random.random() < 0.95:
        faults.plan(1, 6, partial(reorder, faults))
