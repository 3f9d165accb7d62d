"""What happens to one message changes no other one's luck: each link has a stream of its own."""

from collections import defaultdict
from functools import partial
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.events import MessageDelivered, MessageSent
from kvraft.raft import PreVote
from kvraft.sim import Cluster, World
from kvraft.sim.mail import MessagesInFlight
from kvraft.sim.network import Network

NAMES = ("n1", "n2", "n3", "c")


def message(link):
    sender, to = link
    return PreVote(sender, to, 1, 0, 0)


def network_delay(network, link):
    """Send a message on ``link`` and return how long it takes."""
    sent = message(link)
    envelope = network.post(sent, 0)
    network.why_lost(sent)
    return envelope.arrives


def mail_delay(mail, link):
    mail.post(message(link), 0)
    return list(mail.in_flight.values())[-1].due


MAKERS = {
    "a world's": (
        partial(Network, fastest=300, slowest=2_500, reorder=True),
        network_delay,
    ),
    "a cluster's": (partial(MessagesInFlight, latency=(1, 1_000), report=None), mail_delay),
}

links = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda it: it[0] != it[1])


@pytest.mark.parametrize("kind", MAKERS)
@given(
    seed=st.integers(0, 9), sent=st.lists(links, min_size=1, max_size=60), which=st.integers(0, 59)
)
def test_a_message_that_is_left_out_changes_no_delay_on_any_other_link(kind, seed, sent, which):
    make, delay = MAKERS[kind]
    out = which % len(sent)
    all_of, some_of = make(seed), make(seed)
    every = [(link, delay(all_of, link)) for link in sent]
    some = [(link, delay(some_of, link)) for at, link in enumerate(sent) if at != out]
    others = [pair for pair in every if pair[0] != sent[out]]
    assert [pair for pair in some if pair[0] != sent[out]] == others


@given(seed=st.integers(0, 9), sent=st.lists(links, max_size=60), loss=st.floats(0, 1))
def test_neither_losses_nor_partitions_change_a_delay(seed, sent, loss):
    calm, rough = (Network(seed, fastest=300, slowest=2_500, reorder=True) for _ in range(2))
    rough.loss = loss
    rough.partition([["n1"], ["n2", "n3"]])
    assert [network_delay(calm, link) for link in sent] == [
        network_delay(rough, link) for link in sent
    ]


def delays(world, link):
    """Return how long the messages on ``link`` took that arrived, by their place on it."""
    sent, taken = {}, {}
    for at, who, event in world.trace:
        if isinstance(event, MessageSent) and (who, event.to) == link:
            sent[event.id] = (len(sent), at)
        elif isinstance(event, MessageDelivered) and event.id in sent:
            place, since = sent[event.id]
            taken[place] = at - since
    return taken


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 30))
def test_a_message_that_is_dropped_in_a_world_leaves_all_other_messages_their_delays(seed, steps):
    """They may be other messages; but the *n*-th on a link takes as long as before."""
    calm, rough = (World(3, seed=seed, reorder=True) for _ in range(2))
    for world in (calm, rough):
        world.run_until(lambda world=world: world.leader() is not None)
        for _ in range(steps):
            world.step()
    rough.drop(rough.in_flight[0].id if rough.in_flight else -1)
    for world in (calm, rough):
        world.run_for(300)
    compared = 0
    for link in permutations(world.members, 2):
        before, after = delays(calm, link), delays(rough, link)
        both = before.keys() & after.keys()
        assert {place: before[place] for place in both} == {place: after[place] for place in both}
        compared += len(both)
    assert compared > 20


def test_streams_derive_from_the_seed_and_the_link_alike_on_every_machine():
    """Recorded once: neither the platform nor the seed of hashes may change them."""
    network = Network(7, fastest=0, slowest=999_999)
    links = [("n1", "n2"), ("n2", "n1"), ("n1", "n2"), ("é/", "n1"), ("é", "/n1")]
    assert [network_delay(network, link) for link in links] == RECORDED
    assert len(set(RECORDED)) == len(RECORDED)


RECORDED = [382595, 572489, 722913, 93832, 742835]


def test_on_one_link_messages_arrive_in_order_unless_they_may_overtake():
    for reorder in (False, True):
        network = Network(1, fastest=1, slowest=1_000, reorder=reorder)
        arrivals = [network_delay(network, ("n1", "n2")) for _ in range(50)]
        assert all(one <= other for one, other in pairwise(arrivals)) is not reorder


def test_delays_are_spread_evenly_over_all_that_is_allowed():
    network = Network(3, fastest=10, slowest=13, reorder=True)
    counts = defaultdict(int)
    for _ in range(4_000):
        counts[network_delay(network, ("n1", "n2"))] += 1
    assert sorted(counts) == [10, 11, 12, 13]
    assert all(900 < count < 1_100 for count in counts.values())


def test_a_client_that_was_removed_leaves_no_stream():
    world = World(3, seed=1)
    world.client("c").put(b"k", b"v")
    world.run_for(100)
    world.dismiss("c")
    assert not [link for link in world.network.streams if "c" in link]


def test_a_cluster_by_clock_is_the_same_again():
    one, two = (Cluster(3, seed=5, latency=(1, 4)) for _ in range(2))
    for cluster in (one, two):
        cluster.loss = 0.2
        cluster.run(300)
    assert one.trace.digest() == two.trace.digest()
