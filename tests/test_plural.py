"""How many of something: every plural that kvraft says."""

import pytest

from kvraft.plural import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "table", "0 tables"), (1, "table", "1 table"), (2, "table", "2 tables"),
        (1, "entry", "1 entry"), (3, "entry", "3 entries"), (2, "key", "2 keys"),
        (2, "flush", "2 flushes"), (2, "log segment", "2 log segments"),
        (1234, "row", "1,234 rows"), (2, "life", "2 lives"),
    ],
)  # fmt: skip
def test_one_is_not_many(number, noun, said):
    assert counted(number, noun) == said
