"""Stores, trees and views read like a mapping, cost what they look like, and show what they are."""

import pytest

from kvraft.errors import BadInput, WrongType
from kvraft.lsm import Tree, WriteBatch
from kvraft.sim import SimDisk
from kvraft.store import Store


@pytest.fixture(params=[Store, Tree])
def db(request):
    db = request.param.open(SimDisk())
    db[b"b"] = b"2"
    db[b"a"] = b"1"
    return db


def test_it_is_read_and_written_like_a_dict(db):
    assert (db[b"a"], db.get(b"a"), db.get(b"c"), db.get(b"c", b"?")) == (b"1", b"1", None, b"?")
    assert (b"a" in db, b"c" in db, bytearray(b"a") in db) == (True, False, True)
    assert (list(db), list(reversed(db))) == ([b"a", b"b"], [b"b", b"a"])
    assert (list(db.keys()), list(db.values())) == ([b"a", b"b"], [b"1", b"2"])
    assert dict(db.items()) == dict(db.scan()) == {b"a": b"1", b"b": b"2"}
    with pytest.raises(KeyError, match="b'c'"):
        db[b"c"]
    with db.view() as view:
        del db[b"a"]
        assert (view[b"a"], b"a" in view, list(view), view.get(b"c", b"?")) == (
            *(b"1", True),
            [b"a", b"b"],
            b"?",
        )
        assert (b"a" in db, db.get(b"a", b"gone")) == (False, b"gone")
        with pytest.raises(KeyError):
            view[b"c"]
    applied = db.applied
    with pytest.raises(KeyError, match="b'a'"):
        del db[b"a"]
    assert db.applied == applied
    db.delete_range(b"a", b"z")
    assert (b"b" in db, db.get(b"b", b"?")) == (False, b"?")
    db[b"empty"] = b""
    assert (b"empty" in db, db.get(b"empty", b"?")) == (True, b"")


def test_what_would_have_to_read_everything_is_not_offered(db):
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        len(db)
    db.delete_range(b"")
    assert db  # and so truth is not about what it holds


def test_iterating_sees_one_moment(db):
    keys, values = db.keys(), db.values()
    db[b"aa"] = b"later"
    del db[b"b"]
    assert (list(keys), list(values)) == ([b"a", b"b"], [b"1", b"2"])


def test_a_batch_is_written_at_its_end_or_not_at_all(db):
    with db.batch() as batch:
        batch.put(b"c", b"3").delete(b"a")
        assert b"c" not in db
    assert dict(db) == {b"b": b"2", b"c": b"3"}
    with pytest.raises(BadInput), db.batch() as batch:
        batch.put(b"d", b"4").delete_range(b"z", b"a")
    with db.batch():
        pass
    assert dict(db) == {b"b": b"2", b"c": b"3"}


def test_wrong_types_are_what_python_calls_them(db):
    calls = (
        lambda: db["a"],
        lambda: db.__setitem__(b"a", "x"),
        lambda: db.__delitem__("a"),
        lambda: "a" in db,
    )
    for call in calls:
        with pytest.raises(WrongType, match=r"must be bytes, not str: write b'.', or use .encode"):
            call()
    for kind in (TypeError, ValueError, BadInput):
        with pytest.raises(kind):
            db["a"]
    key, value = bytearray(b"k"), bytearray(b"v")
    db[memoryview(key)] = value
    key[0] = value[0] = 0
    assert dict(db.scan(bytearray(b"k"))) == {b"k": b"v"}
    assert db[memoryview(b"k")] == db.version(bytearray(b"k")).value == b"v"


def test_they_show_what_they_are(tmp_path):
    store = Store.open(tmp_path)
    store[b"<k>"] = b"v"
    assert repr(store) == f"<Store {str(tmp_path)!r}: 1 key in the memtable, 0 tables of 0 bytes>"
    with store.view() as view:
        assert repr(view) == f"<View at timestamp 1, of {store!r}>"
    assert repr(view) == "<View at timestamp 1, closed>"
    store.flush()
    assert ": 0 keys in the memtable, 1 table of " in repr(store)
    html = store._repr_html_()
    assert "<td style='text-align:left'>1 segment, " in html
    assert "level 0" in html
    assert "&lt;Store" in html
    store.close()
    assert repr(store) == f"<Store {str(tmp_path)!r}, closed>"
    assert "closed" in store._repr_html_()
    assert repr(Tree.open(SimDisk())).startswith("<Tree in memory: 0 keys")


def test_a_short_batch_shows_the_calls_that_make_it():
    batch = WriteBatch().put(b"a", b"1").delete(b"b").delete_range(b"c").delete_range(b"d", b"e")
    again = eval(repr(batch), {"WriteBatch": WriteBatch})
    assert again.writes == batch.writes
    assert repr(WriteBatch()) == "WriteBatch()"
    assert repr(batch.put(b"x", b"")) == "<WriteBatch of 5 writes>"
    assert repr(WriteBatch().put(b"k", bytes(41))) == "WriteBatch().put(b'k', …)"
