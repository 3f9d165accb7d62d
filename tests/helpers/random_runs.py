"""Random runs: actions drawn from the table of verbs, whatever verbs there are."""

from contextlib import suppress
from random import Random

from kvraft.errors import BadInput, Busy
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import VERBS, Parameter, ParameterKind, Run, Verb

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


def draw(random: Random, run: Run, parameter: Parameter) -> object:
    """Return a random argument, which need not make sense."""
    world, flying = run.world, run.world.in_flight
    names = (*world.members, *world.clients)
    choices = {
        ParameterKind.MEMBER: world.members,
        ParameterKind.NAME: names,
        ParameterKind.CLIENT: ("ann", "bob", "zoë"),
        ParameterKind.NEW: (f"m{len(world.members)}",),
        ParameterKind.FLAG: (True, False),
        ParameterKind.TEXT: ("", "k", "ß", b"\xff\x00", "'\"", "v" * 150, "7"),
        ParameterKind.DRAIN_STEP: ("begin", "save"),
    }
    match parameter.kind:
        case ParameterKind.NAMES:
            return random.sample(world.members, random.randint(1, len(world.members)))
        case ParameterKind.GROUPS:
            return [random.sample(names, random.randint(1, 2))]
        case ParameterKind.FILE:
            return random.choice([f for m in world.members for f in world.disk(m).names()] or ["x"])
        case ParameterKind.NUMBER if parameter.name == "message" and flying:
            return random.choice(flying).id
        case ParameterKind.NUMBER:
            return random.choice((parameter.least, 1, 5, 30, 120))
        case ParameterKind.TEXTS | ParameterKind.WRITES if parameter.name in ("reads", "amounts"):
            read = [key.decode("utf-8", "surrogateescape") for _, key in world.hosts.answers]
            keys = random.sample(read, min(1, len(read)))
            return keys if parameter.name == "reads" else [(key, "3") for key in keys]
        case ParameterKind.WRITES:
            return [(f"k{n}", random.choice((None, "x" * 90))) for n in range(random.randint(1, 4))]
    return random.choice(choices[parameter.kind])


def arguments(random: Random, run: Run, verb: Verb) -> list[object]:
    """Return random arguments for ``verb``, the last ones perhaps left out."""
    drawn = []
    for parameter in verb.parameters:
        if parameter.default is not None and random.random() < 0.4:
            break
        drawn.append(draw(random, run, parameter))
    return drawn


def act_at_random(random: Random, run: Run) -> bool:
    """Draw a verb, and do it if one of a few draws of arguments can be done; return whether."""
    verb = VERBS[random.choice(CALM if random.random() < 0.3 else tuple(VERBS))]
    for _ in range(8):
        given = arguments(random, run, verb)
        if not run.refusal(verb.name, *given):
            with suppress(BadInput, Busy):  # which the leader finds
                run.act(verb.name, *given)
                if verb.name == "transfer" and random.random() < 0.5:
                    run.act("cancel_transfer")  # a transfer is over soon
                return True
    return False


def go_on_at_random(random: Random, run: Run) -> None:
    """Make a little time pass, or none: then the next action comes in the same microsecond."""
    match random.randrange(4):
        case 0:
            run.step()
        case 1:
            run.run_for(random.choice((1, 7, 40)))
        case 2:
            run.run_for(random.choice((100, 300)))


def random_run(seed: int, actions: int, members: int = 3) -> Run:
    """Return a run after ``actions`` random actions."""
    random, run = Random(seed), Run(members, seed=seed, options=SMALL)
    if seed % 8:
        run.run_until(lambda: run.world.leader() is not None)
    while len(run.actions) < actions:
        act_at_random(random, run)
        go_on_at_random(random, run)
    return run
