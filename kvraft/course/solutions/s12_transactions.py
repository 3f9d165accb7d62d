"""Answers to notebooks/12_transactions.ipynb."""


def gather(entries):
    """Follow the rule: another transaction, or what is not data, ends the one that is open."""
    complete, discarded, open_ = [], [], []
    for entry in entries:
        record = entry.record
        if open_ and record.txn != open_[0].record.txn:
            discarded.append([each.index for each in open_])
            open_ = []
        if record.kind.is_data:
            open_.append(entry)
            if record.commit:
                complete.append([each.index for each in open_])
                open_ = []
    return complete, discarded


def _gather(entries, ends):
    """Gather with another idea of what ends an open transaction."""
    complete, discarded, open_ = [], [], []
    for entry in entries:
        record = entry.record
        if open_ and ends(record, open_[0].record):
            discarded.append([each.index for each in open_])
            open_ = []
        if record.kind.is_data:
            open_.append(entry)
            if record.commit:
                complete.append([each.index for each in open_])
                open_ = []
    return complete, discarded


def only_a_noop_ends_it(entries):
    """Forgets that another transaction ends it, too."""
    return _gather(entries, lambda record, first: not record.kind.is_data)


def only_another_ends_it(entries):
    """Forgets the no-op."""
    return _gather(entries, lambda r, first: r.kind.is_data and r.txn != first.txn)


def by_client(entries):
    """Takes all that a client writes for one transaction."""
    return _gather(entries, lambda r, first: r.txn.client != first.txn.client)


def by_sequence(entries):
    """Takes ann#1 and bob#1 for the same."""
    return _gather(entries, lambda r, first: r.txn.sequence != first.txn.sequence)


def discards_what_is_open(entries):
    """Takes what has not ended for discarded."""
    complete, discarded = gather(entries)
    seen = {index for part in (*complete, *discarded) for index in part}
    rest = [e.index for e in entries if e.record.kind.is_data and e.index not in seen]
    return complete, [*discarded, *([rest] if rest else [])]


def never_discards(entries):
    """Keeps a torn prefix and lets the next mark complete it."""
    return _gather(entries, lambda record, first: False)


def by_transaction(entries):
    """Looks for all records of a transaction, wherever they are."""
    groups = {}
    for entry in entries:
        if entry.record.kind.is_data:
            groups.setdefault(entry.record.txn, []).append(entry)
    whole = [[e.index for e in g] for g in groups.values() if g[-1].record.commit]
    torn = [[e.index for e in g] for g in groups.values() if not g[-1].record.commit]
    return whole, torn


def turned_round(entries):
    """Gives discarded first."""
    return gather(entries)[::-1]


def flat(entries):
    """Gives indexes, not lists of them."""
    complete, discarded = gather(entries)
    return [i for part in complete for i in part], [i for part in discarded for i in part]


def returns_nothing(entries):
    """Forgets to return."""


def wrong_name(entries):
    """Asks an entry for what its record has."""
    return [[entry.index] for entry in entries if entry.commit], []


def holds(reads, versions):
    """Each key carries what it carried; a tombstone carries nothing."""
    for key, timestamp in reads.items():
        version = versions.get(key)
        carried = version.timestamp if version and version.value is not None else 0
        if carried != timestamp:
            return False
    return True


def counts_tombstones(reads, versions):
    """Takes the timestamp of a tombstone for what its key carries."""
    return all((versions[k].timestamp if k in versions else 0) == t for k, t in reads.items())


def not_later(reads, versions):
    """Only asks if the key was written later than it was read; misses what is gone."""
    return all(
        k not in versions or versions[k].value is None or versions[k].timestamp <= t
        for k, t in reads.items()
    )


def any_key(reads, versions):
    """As if one key that holds were enough."""
    return not reads or any(holds({k: t}, versions) for k, t in reads.items())


def forgets_keys_that_held_nothing(reads, versions):
    """Does not check what was not there when it was read."""
    return holds({k: t for k, t in reads.items() if t}, versions)


def all_must_be_there(reads, versions):
    """Every key that was read must hold something."""
    return holds(reads, versions) and all(k in versions for k in reads)


def always(reads, versions):
    """No condition at all."""
    return True


def never(reads, versions):
    """Nothing is ever done."""
    return False


def gives_none(reads, versions):
    """Forgets to return."""


def key_error(reads, versions):
    """Forgets keys that are not there."""
    return all(versions[key].timestamp == at for key, at in reads.items())


VALUES = [[111, 11], [1, 11], [101, 1], [101, 111], [5, 1], [1, 11]]

RIGHT = {"gather": gather, "holds": holds, "values": VALUES}
WRONG = {
    "gather": [
        only_a_noop_ends_it,
        only_another_ends_it,
        by_client,
        by_sequence,
        discards_what_is_open,
        never_discards,
        by_transaction,
        turned_round,
        flat,
        returns_nothing,
        wrong_name,
        7,
    ],
    "holds": [
        counts_tombstones,
        not_later,
        any_key,
        forgets_keys_that_held_nothing,
        all_must_be_there,
        always,
        never,
        gives_none,
        key_error,
        7,
    ],
    "values": [
        [[111, 11], [101, 11], [101, 11], [101, 111], [5, 11], [1, 11]],  # no validation
        [[111, 11], [1, 11], [101, 1], [101, 111], [5, 11], [1, 11]],
        [[111, 11], [1, 11], [101, 1], [101, 111], [5, 1], [1, 5]],  # blind writes conflict
        [[111, 11], [111, 11], [101, 111], [101, 111], [5, 15], [1, 11]],  # as if it retried
        [[1, 1]] * 6,
        None,
    ],
}
