"""One small family of errors, which Python's own names for a caller's mistakes catch, too."""

from collections.abc import Callable

import pytest

from kvraft import errors
from kvraft.errors import BadInput, DiskFull, KvraftError, WrongType
from kvraft.lsm import TreeOptions, WriteBatch
from kvraft.memtable import check_range_tombstone, check_row
from kvraft.transaction import check_key, check_write

WRONG_TYPES: list[Callable[[], object]] = [
    lambda: check_key("k"),
    lambda: check_write(b"k", "v"),
    lambda: check_row(("k", 1, b"v")),  # type: ignore[arg-type]
    lambda: check_row((b"k", 1.0, b"v")),  # type: ignore[arg-type]
    lambda: check_row((b"k", 1, "v")),  # type: ignore[arg-type]
    lambda: check_row([b"k", 1, b"v"]),  # type: ignore[arg-type]
    lambda: check_range_tombstone((b"k", 1, None)),
    lambda: WriteBatch().put("k", b"v"),  # type: ignore[arg-type]
    lambda: WriteBatch().put(b"k", None),  # type: ignore[arg-type]
    lambda: TreeOptions(block_bytes="4096"),  # type: ignore[arg-type]
    lambda: TreeOptions(history=None),  # type: ignore[arg-type]
]
WRONG_VALUES: list[Callable[[], object]] = [
    lambda: check_key(bytes(70_000)),
    lambda: check_row((b"k", -1, b"v")),
    lambda: check_range_tombstone((b"k", 1, b"a")),
]


@pytest.mark.parametrize("mistake", WRONG_TYPES)
@pytest.mark.parametrize("name", [KvraftError, BadInput, ValueError, TypeError])
def test_a_wrong_type_is_caught_by_each_of_its_names(mistake, name):
    with pytest.raises(name) as caught:
        mistake()
    assert type(caught.value) is WrongType


@pytest.mark.parametrize("mistake", WRONG_VALUES)
def test_a_wrong_value_is_a_value_error_and_not_a_type_error(mistake):
    with pytest.raises(BadInput) as caught:
        mistake()
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, TypeError)


def test_only_a_callers_mistake_and_a_full_disk_are_pythons_own_errors():
    family = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert all(issubclass(kind, KvraftError) for kind in family)
    theirs = {kind for kind in family if issubclass(kind, ValueError | TypeError | OSError)}
    assert theirs == {BadInput, WrongType, DiskFull}
