"""Random runs: actions drawn from the table of verbs, whatever verbs there are."""

from random import Random

from kvraft.errors import Busy
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import VERBS, ParameterKind, Run

SMALL = ReplicaOptions(
    memtable_bytes=1_500,
    segment_bytes=1_000,
    log_bytes=4_000,
    retain_bytes=2_000,
    reserve_bytes=0,
    raft=RaftOptions(max_batch_bytes=400),
)
"""Options with which little is written before something is flushed, merged and truncated."""
CALM = ("put", "delete", "write")
"""Verbs that are drawn more often than others, so that there is something to break."""


def draw(random: Random, run: Run, kind: ParameterKind) -> object:
    """Return a random argument of ``kind``, which need not make sense."""
    world = run.world
    match kind:
        case ParameterKind.MEMBER:
            return random.choice(world.members)
        case ParameterKind.NAME:
            return random.choice((*world.members, *world.clients))
        case ParameterKind.CLIENT:
            return random.choice(("ann", "bob", "zoë"))
        case ParameterKind.NAMES:
            return random.sample(world.members, random.randint(1, len(world.members)))
        case ParameterKind.GROUPS:
            return [random.sample(world.members, random.randint(1, 2))]
        case ParameterKind.NEW:
            return f"m{len(world.members)}"
        case ParameterKind.NUMBER if world.in_flight and random.random() < 0.5:
            return random.choice(world.in_flight).id
        case ParameterKind.NUMBER:
            return random.choice((0, 1, 5, 30, 120))
        case ParameterKind.TEXT:
            return random.choice(("", "k", "ß", b"\xff\x00", "'\"", "v" * 150))
        case ParameterKind.WRITES:
            return [(f"k{n}", random.choice((None, "x" * 90))) for n in range(random.randint(1, 4))]
        case ParameterKind.DRAIN_STEP:
            return random.choice(("", "begin", "save"))
    raise AssertionError(kind)


def act_at_random(random: Random, run: Run, verbs: tuple[str, ...] = tuple(VERBS)) -> bool:
    """Draw an action and do it; return whether it could be done."""
    name = random.choice(CALM) if random.random() < 0.4 else random.choice(verbs)
    given = []
    for parameter in VERBS[name].parameters:
        if parameter.default is not None and random.random() < 0.3:
            break
        given.append(draw(random, run, parameter.kind))
    if run.refusal(name, *given):
        return False
    try:
        run.act(name, *given)
    except Busy:
        return False
    return True


def go_on_at_random(random: Random, run: Run) -> None:
    """Make a little time pass."""
    match random.randrange(4):
        case 0:
            run.step()
        case 1:
            run.run_for(random.choice((1, 7, 40)))
        case 2:
            run.run_for(random.choice((100, 400)))
        case _:
            pass  # another action in the same microsecond


def random_run(seed: int, actions: int, members: int = 3) -> Run:
    """Return a run after ``actions`` random actions."""
    random, run = Random(seed), Run(members, seed=seed, options=SMALL)
    if random.random() < 0.9:
        run.run_until(lambda: run.world.leader() is not None)
    while len(run.actions) < actions:
        act_at_random(random, run)
        go_on_at_random(random, run)
    return run
