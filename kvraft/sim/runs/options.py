"""Options of members as JSON: only what differs from the defaults, so that a file stays small.

::

    {"memtable_bytes": 2000, "raft": {"pre_vote": false},
     "strategy": {"kind": "Tiered", "similar": 2}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from kvraft.display import listed
from kvraft.errors import BadInput
from kvraft.lsm import Levelled, Tiered
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions

_STRATEGIES = {kind.__name__: kind for kind in (Levelled, Tiered)}


def options_to_json(options: ReplicaOptions) -> dict[str, Any]:
    """Return options as JSON.

    Raises :class:`~kvraft.errors.BadInput` for a strategy that is not one of kvraft's.
    """
    changed = _changed(options)
    if "raft" in changed:
        changed["raft"] = _changed(options.raft)
    if "strategy" in changed:
        kind = type(options.strategy)
        if _STRATEGIES.get(kind.__name__) is not kind:
            known = listed(tuple(_STRATEGIES))
            raise BadInput(f"a run with the strategy {kind.__name__} cannot be saved: only {known}")
        changed["strategy"] = {"kind": kind.__name__, **_changed(options.strategy)}
    return changed


def options_from_json(data: Mapping[str, Any]) -> ReplicaOptions:
    """Return the options that :func:`options_to_json` wrote; ``BadInput`` names a wrong one."""
    given = dict(data)
    if "raft" in given:
        raft = _table(given["raft"], "raft")
        _check_names(raft, fields(RaftOptions), "raft ")
        given["raft"] = RaftOptions(**raft)
    if "strategy" in given:
        row = dict(_table(given["strategy"], "strategy"))
        kind = _STRATEGIES.get(str(row.pop("kind", "")))
        if kind is None:
            raise BadInput(f"the option strategy has a 'kind': {listed(tuple(_STRATEGIES))}")
        _check_names(row, fields(kind), "strategy ")
        given["strategy"] = kind(**row)
    _check_names(given, fields(ReplicaOptions), "")
    return ReplicaOptions(**given)


def _changed(options: Any) -> dict[str, Any]:
    """Return the fields that do not have their defaults."""
    return {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if getattr(options, field.name) != _default(field)
    }


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"the option {name} must be a table, not {value!r:.60}")
    return value


def _check_names(data: Mapping[str, Any], known: Iterable[Field[Any]], prefix: str) -> None:
    names = [field.name for field in known]
    if unknown := [name for name in data if name not in names]:
        raise BadInput(f"there is no {prefix}option {unknown[0]!r}: {', '.join(names)}")
