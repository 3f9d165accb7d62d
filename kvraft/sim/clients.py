"""The clients of a simulated world, and the runtime of each.

Clients tick only while they wait for something, so that a world without waiting clients comes to
rest.

Invariant: no two requests in a world have the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kvraft.client import Client, PendingRead, Ticket
from kvraft.sim.seat import Surroundings
from kvraft.sim.timeline import TICK
from kvraft.transaction import Request


class ClientHosts:
    """The clients of ``world`` by name, their request numbers and their ticks."""

    def __init__(self, world: Surroundings) -> None:
        self.clients: dict[str, Client] = {}
        self.world = world
        self.tickets: dict[str, list[Ticket]] = {}
        """What was submitted through the verbs of a run (runs/client_verbs.py), by client."""
        self.answers: dict[tuple[str, bytes], PendingRead] = {}
        """The last read of each key that was begun through a verb, by client and key."""
        self._numbers = 0
        self._ticking: set[str] = set()

    def number(self) -> int:
        """Return a new number for a request."""
        self._numbers += 1
        return self._numbers

    def forget(self, name: str) -> None:
        """Remove a client."""
        del self.clients[name]
        self.tickets.pop(name, None)
        for known in [known for known in self.answers if known[0] == name]:
            del self.answers[known]
        self._ticking.discard(name)

    def keep_ticking(self, name: str) -> None:
        """Plan ticks for a client, while it waits for something."""
        if name not in self._ticking:
            self._ticking.add(name)
            self._plan(name)

    def _plan(self, name: str) -> None:
        time = self.world.time
        time.plan(time.now + TICK, self._tick, name)

    def _tick(self, name: str) -> None:
        client = self.clients.get(name)
        if client is None:
            return  # it was removed
        if client.busy:
            self._ticking.add(name)
            client.tick()
            self._plan(name)
        else:
            self._ticking.discard(name)


class SimRuntime:
    """The :class:`~kvraft.client.runtime.ClientRuntime` of one client in a world."""

    def __init__(self, hosts: ClientHosts, name: str) -> None:
        self._hosts = hosts
        self._world = hosts.world
        self._name = name
        self.number = hosts.number
        self.millis = hosts.world.millis
        self.wall_millis = partial(hosts.world.millis, name)

    def send(self, request: Request) -> None:
        """Send a request to its member."""
        self._world.send(request)
        self._hosts.keep_ticking(self._name)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Step the world until ``condition`` holds."""
        self._world.run_until(condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Step the world until ``condition`` holds."""
        self._world.run_until(condition)
