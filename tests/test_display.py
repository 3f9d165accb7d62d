"""How counts are shown, and what a notebook shows of worlds, clusters and consensus modules."""

from html.parser import HTMLParser

import pytest

from kvraft.display import counted, html_table
from kvraft.sim import Cluster, World


class Cells(HTMLParser):
    """The text of each row of a table, by cells; every tag must be closed."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.open, self.caption = [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "caption":
            self.caption += data
        else:
            self.rows[-1][-1] += data


def test_a_table_escapes_what_it_shows():
    page = html_table("<a>", [("<b>", 1, "&")], ("x", "<y>", "z"))
    assert "<a>" not in page
    found = Cells(page)
    assert (found.caption, found.rows) == ("<a>", [["x", "<y>", "z"], ["<b>", "1", "&"]])
    assert Cells(html_table("c", [])).rows == []


def test_a_world_shows_its_members_and_their_marks():
    world = World(3, seed=1)
    assert repr(world) == "<World of 3 members, 3 running, leader unknown, 0.0 ms, seed 1>"
    world.client("c").put(b"k", b"v")
    world.settle()
    down = next(name for name in world.members if name != world.leader())
    world.crash(down)
    assert f"2 running, leader {world.leader()}, " in repr(world)
    found = Cells(world._repr_html_())
    assert found.caption == repr(world)
    head, *rows = found.rows
    assert head == ["member", "role", "term", "first", "flushed", "applied", "committed", "last"]
    assert [row[0] for row in rows] == list(world.members)
    for name, role, *numbers in rows:
        if name == down:
            assert (role, set(numbers)) == ("down", {""})
        else:
            replica = world.replicas[name]
            m = replica.marks
            marks = (replica.raft.term, m.first, m.flushed, m.applied, m.committed, m.last)
            assert (role, numbers) == (replica.raft.role.value, [str(mark) for mark in marks])


def test_a_cluster_and_a_status_show_what_there_is():
    cluster = Cluster(3)
    assert repr(cluster) == (
        "<Cluster of 3 members, 3 running, leader unknown, 0 messages in flight, seed 0>"
    )
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.run(20)
    leader = cluster.leader()
    cluster.crash(next(name for name in cluster.members if name != leader))
    head, *rows = Cells(cluster._repr_html_()).rows
    assert head == ["member", "role", "term", "vote", "committed", "last"]
    assert sorted(row[1] for row in rows) == ["down", "follower", "leader"]
    assert f"2 running, leader {leader}" in repr(cluster)
    status = cluster.rafts[leader].status()
    found = Cells(status._repr_html_())
    assert found.caption == f"{leader}: leader"
    shown = dict(found.rows)
    assert shown["leader"] == leader
    assert shown["log"] == "1 to 1"
    others = [name for name in cluster.members if name != leader]
    assert all(shown[name].endswith("match 1") for name in others)


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "table", "0 tables"), (1, "table", "1 table"), (2, "table", "2 tables"),
        (1, "entry", "1 entry"), (3, "entry", "3 entries"), (2, "key", "2 keys"),
        (2, "flush", "2 flushes"), (2, "log segment", "2 log segments"),
        (1234, "row", "1,234 rows"), (2, "life", "2 lives"),
    ],
)  # fmt: skip
def test_one_is_not_many(number, noun, said):
    assert counted(number, noun) == said
