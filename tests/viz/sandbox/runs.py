"""Random runs of worlds, filmed: what pictures are tried on."""

from contextlib import suppress
from random import Random

from kvraft.errors import KvraftError
from kvraft.replica import ReplicaOptions
from kvraft.sim import World
from kvraft.viz.sandbox.film import Film


def go(world: World, film: Film, millis: int) -> None:
    until = world.now + 1_000 * millis
    while (due := world.time.next) is not None and due <= until:
        world.step()
        film.glance(world)


def random_film(members: int, seed: int, acts: int = 14) -> tuple[World, Film]:
    """Return a world to which many things were done, with its film."""
    random = Random(f"{members}/{seed}")
    options = ReplicaOptions(
        memtable_bytes=1_200,
        segment_bytes=700,
        log_bytes=3_000,
        retain_bytes=2_500,
        reserve_bytes=0,
    )
    world = World(members, seed=seed, options=options)
    film = Film(world.trace)
    go(world, film, random.randrange(1_200))
    for _ in range(acts):
        with suppress(KvraftError):
            _act(world, random)
        go(world, film, random.choice((1, 2, 3, 30, 300)))
    return world, film


def _act(world: World, random: Random) -> None:
    name = random.choice(world.members)
    match random.randrange(9):
        case 0:
            world.crash(name)
        case 1 | 2:
            for down in [n for n in world.members if n not in world.replicas]:
                world.restart(down)
        case 3 if len(world.members) > 1:
            world.partition(random.sample(world.members, random.randrange(1, len(world.members))))
        case 4:
            world.heal()
        case 5 if len(world.members) > 1:
            _change_link(world, random, *random.sample(world.members, 2))
        case _:
            client = world.client(random.choice(("alice", "bob")))
            writes = [(f"k{random.randrange(40)}".encode(), b"v" * random.randrange(140))]
            client.submit(writes if random.random() < 0.6 else [*writes, (b"other", b"x")])


def _change_link(world: World, random: Random, sender: str, to: str) -> None:
    match random.randrange(4):
        case 0:
            world.cut_link(sender, to)
        case 1:
            world.slow_link(sender, to, 20)
        case 2:
            world.clog_link(sender, to)
        case _:
            world.lose_on_link(sender, to, 30)
