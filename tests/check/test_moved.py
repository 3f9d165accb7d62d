"""Checkers may leave out members that did not move: those are as they were."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.check.moved import MovedMembers
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

    def step(self):
        super().step()
        if self.known is None:
            self.moved, self.known = MovedMembers(self), {}
        moved = self.moved.names()
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


def test_a_member_that_comes_or_goes_has_moved():
    world = World(3, seed=1)
    moved = MovedMembers(world)
    assert moved.names() == ["n1", "n2", "n3"]
    assert moved.names() == []
    world.crash("n2")
    assert moved.names() == ["n2"]
    world.restart("n2")
    world.add("n4")
    assert moved.names() == ["n2", "n4"]
