"""A run in a link comes out as it went in, or the link is refused."""

import zlib
from base64 import urlsafe_b64encode
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.viz.playground.link import LONGEST_LINK, LONGEST_TEXT, PREFIX, link_of, text_of

quick = settings(deadline=None, derandomize=True, max_examples=200)
OF_ADDRESSES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.text(max_size=300))
@quick
def test_a_text_comes_back_as_it_was(text):
    link = link_of(text)
    assert set(link.removeprefix(PREFIX)) <= set(OF_ADDRESSES)
    assert text_of(link) == text


@given(st.text(max_size=60), st.data())
@quick
def test_a_link_that_lost_or_changed_a_character_is_refused(text, data):
    link = link_of(text)
    at = data.draw(st.integers(len(PREFIX), len(link) - 1))
    other = data.draw(st.sampled_from(OF_ADDRESSES + "*= \u00e4"))
    for broken in (link[:at], link[:at] + link[at + 1 :], link[:at] + other + link[at + 1 :]):
        try:
            assert text_of(broken) == text  # the last character has bits that mean nothing
        except BadInput as error:
            assert "damaged" in str(error)


def test_what_is_too_long_is_refused_both_ways():
    with pytest.raises(BadInput, match="too long for a link"):
        link_of(Random(1).randbytes(LONGEST_LINK).hex())
    bomb = urlsafe_b64encode(zlib.compress(b" " * (LONGEST_TEXT + 1))).decode()
    with pytest.raises(BadInput, match="damaged"):
        text_of(PREFIX + bomb)
    with pytest.raises(BadInput, match="at most"):
        text_of(PREFIX + "A" * 40_000)
    with pytest.raises(BadInput, match="#run="):
        text_of("#walk=x")
