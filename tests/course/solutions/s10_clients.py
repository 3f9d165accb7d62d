"""Lesson 10: right answers, and plausible wrong ones."""


def verdict(copies):
    if "applied" in copies:
        return "APPLIED"
    return "UNKNOWN" if "silent" in copies else "ABORTED"


def silence_is_failure(copies):
    return "APPLIED" if "applied" in copies else "ABORTED"


def always_unknown(copies):
    return "UNKNOWN"


def only_the_last(copies):
    return {"applied": "APPLIED", "silent": "UNKNOWN"}.get(copies[-1], "ABORTED")


def silence_first(copies):
    if "silent" in copies:
        return "UNKNOWN"
    return "APPLIED" if "applied" in copies else "ABORTED"


def raised(stamp, last):
    return max(stamp, last + 1)


def as_it_comes(stamp, last):
    return stamp


def not_above(stamp, last):
    return max(stamp, last)


def counts_on(stamp, last):
    return last + 1


def gives_nothing(stamp, last):
    return None


def stays_behind(stamp, last):
    return min(stamp, last + 1)


def carry_out(sequence, newest, known):
    return sequence > newest - 32 and sequence not in known


def only_the_newest(sequence, newest, known):
    return sequence > newest


def never_forgets(sequence, newest, known):
    return sequence not in known


def one_too_many(sequence, newest, known):
    return sequence >= newest - 32 and sequence not in known


def one_too_few(sequence, newest, known):
    return sequence > newest - 31 and sequence not in known


def always(sequence, newest, known):
    return True


def without_known(sequence, newest, known):
    return sequence > newest - 32


RIGHT = {"verdict": verdict, "raised": raised, "carry_out": carry_out}
WRONG = {
    "verdict": [
        silence_is_failure,
        always_unknown,
        only_the_last,
        silence_first,
        lambda: "APPLIED",
    ],
    "raised": [as_it_comes, not_above, counts_on, gives_nothing, stays_behind],
    "carry_out": [
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
