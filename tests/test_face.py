"""What ``import kvraft`` gives, and that it loads nothing for it."""

import subprocess
import sys

import pytest

import kvraft

LACKING = """
_multiprocessing _posixshmem curses ensurepip grp idlelib mmap mmh3 msvcrt multiprocessing pwd
readline resource select socket ssl subprocess syslog termios tkinter venv zstandard
"""
"""What a browser's Python lacks, or has in name only: processes, sockets, terminals, mmh3."""
CORE = "kvraft.sim kvraft.check kvraft.viz.panels kvraft.viz.sandbox kvraft.viz.trace kvraft.store"
PLAYED = """
from kvraft import World

world = World(3, seed=5)
client = world.client("ann")
for n in range(40):
    client.put(b"%d" % (n % 7), b"v" * n)
world.crash(world.leader())
client.put(b"k", b"v")
world.replicas[world.leader()].tree.freeze()
world.run_for(2_000)
assert any(type(step.event).__name__ == 'TableWritten' for step in world.trace)
print(client.get(b"k"), len(world.trace), world.trace.digest())
"""


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_kvraft_loads_nothing_but_itself():
    code = "import sys; before = set(sys.modules); import kvraft; dir(kvraft)\n"
    new = python(code + "print(*sorted(set(sys.modules) - before))")
    assert new == ["kvraft"]


@pytest.mark.parametrize("name", kvraft.__all__)
def test_a_name_of_the_face_is_the_very_thing_of_its_module(name):
    code = f"from kvraft import {name}; import sys; print({name}.__module__, {name}.__name__)\n"
    code += f"print(getattr(sys.modules[{name}.__module__], {name!r}) is {name})"
    assert python(code) == [kvraft._HOMES[name], name, "True"]


@pytest.mark.parametrize("name", ["Store", "Tree", "Raft"])
def test_who_wants_a_part_loads_no_simulator(name):
    code = f"from kvraft import {name}; import sys\n"
    loaded = python(code + "print(*sys.modules)")
    assert not [module for module in loaded if module.startswith(("kvraft.sim", "kvraft.check"))]


def test_everything_is_listed_before_it_is_loaded():
    listed = python("import kvraft; print(*dir(kvraft))")
    assert {*kvraft.__all__, "__version__"} <= set(listed)
    names = python("from kvraft import *; print(World.__name__, Store.__name__, Tree.__name__)")
    assert names == ["World", "Store", "Tree"]


def test_a_name_that_is_not_there_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="module 'kvraft' has no attribute 'Wrold'"):
        _ = kvraft.Wrold
    with pytest.raises(ImportError, match="cannot import name 'Wrold' from 'kvraft'"):
        from kvraft import Wrold  # noqa: F401


def test_the_face_works():
    from kvraft import World

    world = World(members=3, seed=1)
    assert world.client("alice").put(b"k", b"v").stage.value == "APPLIED"


def test_the_core_needs_nothing_that_a_browser_lacks():
    code = f"""
import importlib, pkgutil, sys, threading
for name in {LACKING.split()}:
    sys.modules[name] = None  # who imports it now gets an ImportError

def start(thread):
    raise RuntimeError("can't start new thread")

threading.Thread.start = start
for room in {CORE.split()}:
    door = importlib.import_module(room)
    for module in pkgutil.walk_packages(getattr(door, "__path__", ()), room + "."):
        importlib.import_module(module.name)
{PLAYED}
import kvraft.murmur3
assert kvraft.murmur3.digest is kvraft.murmur3.pure_digest
"""
    assert python(code) == python(PLAYED)
