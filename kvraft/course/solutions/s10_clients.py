"""Lesson 10: right answers, and plausible wrong ones."""


def verdict(copies):
    """Applied once is applied; silence is not an answer."""
    if "applied" in copies:
        return "APPLIED"
    return "UNKNOWN" if "silent" in copies else "ABORTED"


def silence_is_failure(copies):
    """Takes silence for a refusal."""
    return "APPLIED" if "applied" in copies else "ABORTED"


def always_unknown(copies):
    """Never says anything."""
    return "UNKNOWN"


def only_the_last(copies):
    """Forgets the copies before the last one."""
    return {"applied": "APPLIED", "silent": "UNKNOWN"}.get(copies[-1], "ABORTED")


def silence_first(copies):
    """An answer counts more than silence."""
    if "silent" in copies:
        return "UNKNOWN"
    return "APPLIED" if "applied" in copies else "ABORTED"


def raised(stamp, last):
    """Above all before it, and otherwise as the client gave it."""
    return max(stamp, last + 1)


def as_it_comes(stamp, last):
    """Trusts the clock of each client."""
    return stamp


def not_above(stamp, last):
    """Gives a stamp twice."""
    return max(stamp, last)


def counts_on(stamp, last):
    """Throws the stamp of the client away."""
    return last + 1


def gives_nothing(stamp, last):
    """Forgets to return."""


def stays_below(stamp, last):
    """Takes the smaller one."""
    return min(stamp, last + 1)


def applies(sequence, newest, known):
    """New, and not so old that it may have been forgotten."""
    return sequence > newest - 32 and sequence not in known


def only_the_newest(sequence, newest, known):
    """Takes late for done."""
    return sequence > newest


def never_forgets(sequence, newest, known):
    """Takes forgotten for new."""
    return sequence not in known


def one_too_many(sequence, newest, known):
    """One that was forgotten."""
    return sequence >= newest - 32 and sequence not in known


def one_too_few(sequence, newest, known):
    """One that is remembered."""
    return sequence > newest - 31 and sequence not in known


def always(sequence, newest, known):
    """Whatever comes."""
    return True


def without_known(sequence, newest, known):
    """Twice, if it comes twice."""
    return sequence > newest - 32


RIGHT = {"verdict": verdict, "raised": raised, "applies": applies}
WRONG = {
    "verdict": [
        silence_is_failure,
        always_unknown,
        only_the_last,
        silence_first,
        lambda: "APPLIED",
    ],
    "raised": [as_it_comes, not_above, counts_on, gives_nothing, stays_below],
    "applies": [
        only_the_newest,
        never_forgets,
        one_too_many,
        one_too_few,
        always,
        without_known,
        lambda sequence, newest, known: None,
        lambda sequence, newest, known: known[0],
    ],
}
