"""Murmur3 in Python alone equals the one in C: a browser reads and writes the same files."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import murmur3
from kvraft.murmur3 import Murmur3, PureMurmur3, digest, digests, pure_digest, pure_digests

quick = settings(deadline=None, derandomize=True, max_examples=200)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
@quick
def test_it_equals_the_one_in_c_however_the_bytes_are_cut(data, cuts):
    whole = mmh3.mmh3_x64_128_utupledigest(data)
    assert pure_digest(data) == digest(data) == whole
    pure, in_c = PureMurmur3(), Murmur3()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        pure.update(data[start:stop])
        in_c.update(data[start:stop])
        fork = pure.copy()
        fork.update(b"what the original never sees")
        assert pure.utupledigest() == in_c.utupledigest()
    assert pure.utupledigest() == whole


@pytest.mark.parametrize("byte", [0, 0x5A, 0xFF])
def test_it_equals_the_one_in_c_for_every_length(byte):
    for length in range(201):
        data = bytes((byte * at + byte) % 256 for at in range(length))
        assert pure_digest(data) == mmh3.mmh3_x64_128_utupledigest(data), length


@given(st.lists(st.binary(max_size=40)))
@quick
def test_many_keys_are_hashed_as_one_by_one(keys):
    assert list(digests(keys)) == list(pure_digests(keys)) == [digest(key) for key in keys]


def test_it_is_used_where_the_one_in_c_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmh3", None)
    spec = spec_from_file_location("kvraft_murmur3_alone", murmur3.__file__)
    alone = module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.digest is alone.pure_digest
    assert alone.digests is alone.pure_digests
    assert alone.Murmur3 is alone.PureMurmur3
    assert alone.digest(b"kvraft") == digest(b"kvraft")
