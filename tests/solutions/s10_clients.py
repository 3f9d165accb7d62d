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


RIGHT = {"verdict": verdict, "raised": raised, "refused": [3, 5]}
WRONG = {
    "verdict": [
        silence_is_failure,
        always_unknown,
        only_the_last,
        silence_first,
        lambda: "APPLIED",
    ],
    "raised": [as_it_comes, not_above, counts_on, gives_nothing, stays_behind],
    "refused": [[3], [2, 3, 5], [1, 2, 4], [], 3],
}
