"""Checkers may leave out members that did not move: those are as they were."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check import News
from kvraft.sim import World
from tests.sim.test_drains import TINY, act


def state(replica):
    """Return all of a member that a checker looks at."""
    if replica is None:
        return None
    raft, tree = replica.raft, replica.tree
    seen = (raft.term, raft.vote, raft.role, raft.commit_index, raft.log.base, raft.log.last_index)
    held = (tree.applied, tree.flushed, replica.wal.hard_state, replica.marks)
    return (id(replica), *seen, raft.lease, raft.configuration, *held, id(replica.unsaved))


class Followed(World):
    """A world that compares every member that did not move with what it was before the step."""

    known = None

    def stepped(self):
        if self.known is None:
            self.moved, self.known = News(self), {}
        self.moved.gather()
        moved = self.moved.members
        for name, seat in self.seats.items():
            now = state(seat.replica)
            assert name in moved or now == self.known[name], name
            self.known[name] = now


STORY = ("write", "wait", "crash", "restart", "pause", "full", "room")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 50), st.lists(st.tuples(st.sampled_from(STORY), st.integers(0, 50))))
def test_who_did_not_move_has_not_changed(seed, story):
    world = Followed(3, seed=seed, options=TINY)
    for what, number in story:
        act(world, what, number)
    world.run_for(400)


def gathered(news):
    news.gather()
    return news.members


def test_a_member_that_comes_or_goes_has_moved():
    world = World(3, seed=1)
    news = News(world)
    assert gathered(news) == ["n1", "n2", "n3"]
    assert gathered(news) == []
    world.crash("n2")
    assert gathered(news) == ["n2"]
    world.restart("n2")
    world.add("n4")
    assert gathered(news) == ["n2", "n4"]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 50), st.lists(st.tuples(st.sampled_from(STORY), st.integers(0, 50))))
def test_each_message_that_is_still_in_flight_after_its_step_is_news_once(seed, story):
    class Collecting(World):
        news, sent, seen = None, (), ()

        def stepped(self):
            if self.news is None:
                self.news, self.sent, self.seen = News(self), {}, []
            self.sent |= {envelope.id: envelope.message for envelope in self.in_flight}
            self.news.gather()
            self.seen += self.news.messages

    world = Collecting(3, seed=seed, options=TINY)
    for what, number in story:
        act(world, what, number)
    world.run_for(400)
    assert world.seen == sorted(world.sent.items())
