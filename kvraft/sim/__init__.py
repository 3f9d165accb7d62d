"""A whole cluster in one process, under one seed: network, clocks and disks are simulated.

>>> from kvraft.sim import World
>>> world = World(members=3, seed=1)
>>> client = world.client("alice")
>>> client.put(b"greeting", b"hello").stage.value
'APPLIED'
>>> world.settle()
>>> {name: member.tree.get(b"greeting") for name, member in world.replicas.items()}
{'n1': b'hello', 'n2': b'hello', 'n3': b'hello'}
"""

from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.network import Envelope
from kvraft.sim.single_member import SingleMember
from kvraft.sim.world import World

__all__ = ["SingleMember", "Envelope", "PowerCut", "SimDisk", "World"]
