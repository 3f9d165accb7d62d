"""The Bloom filter: never a false "certainly not here", and no more "maybe" than theory says."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import bloom as module
from kvraft.bloom import MIN_BITS, BloomFilter
from kvraft.errors import BadInput

quick = settings(deadline=None, derandomize=True, max_examples=200)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.sets(st.binary(max_size=8)), st.integers(1, 40))
@quick
def test_no_key_that_was_added_is_ever_denied(keys, bits_per_key):
    keys = {b"", b"\xff\xfe", *keys}
    bloom = BloomFilter.build(sorted(keys), bits_per_key)
    again = BloomFilter.from_bytes(bloom.to_bytes())
    assert all(key in bloom and key in again for key in keys)


@pytest.mark.parametrize("bits_per_key", [1, 5, 10, 14])
def test_false_positives_are_within_a_tenth_of_the_theory(bits_per_key):
    number = 20_000
    bloom = BloomFilter.build((b"in %d" % at for at in range(number)), bits_per_key)
    probes = 150_000 if bits_per_key > 9 else 20_000  # enough to meet a hundred and more
    passed = sum(b"out %d" % at in bloom for at in range(probes))
    assert 0.9 < passed / probes / bloom.expected_fpr(number) < 1.1


def test_small_filters_have_no_more_than_two_percent_of_false_positives():
    # A filter of ten bits a key and few keys would be so small that its bits collide.
    for number in (1, 2, 5, 8, 12, 20, 40):
        bloom = BloomFilter.build(b"in %d" % at for at in range(number))
        assert sum(b"out %d" % at in bloom for at in range(5_000)) <= 100


def test_an_empty_filter_denies_everything():
    bloom = BloomFilter.build([])
    assert bloom.m == MIN_BITS
    assert not any(key in bloom for key in (b"", b"a", b"\xff"))
    assert bloom.expected_fpr(0) == 0


def test_the_bits_are_the_same_for_ever():
    # k = 6 and m = 128 in front; were hash, seed or bit order to change, old tables would lie.
    found = BloomFilter.build([b"", b"a", b"kvraft"]).to_bytes().hex()
    assert found == "060000008000000003029000000004202008000008004200"


def test_a_reader_goes_by_the_stored_k_and_m():
    keys = [b"%d" % at for at in range(100)]
    other = BloomFilter(3, 1009, bytearray(1009))  # neither k nor m is what build would choose
    other.add(keys)
    read = BloomFilter.from_bytes(other.to_bytes())
    assert (read.k, read.m) == (3, 1009)
    assert all(key in read for key in keys)
    assert sum(b"out %d" % at in read for at in range(1000)) < 200


@given(st.sets(st.binary(max_size=8)), st.integers(1, 40))
@quick
def test_the_fast_way_to_build_sets_the_same_bits(keys, bits_per_key):
    slow = BloomFilter.sized(len(keys), bits_per_key)
    slow.add(keys)
    assert BloomFilter.build(keys, bits_per_key).to_bytes() == slow.to_bytes()


@given(st.binary(max_size=60))
@quick
def test_bytes_that_make_no_filter_are_refused(data):
    whole = BloomFilter.build([b"a", b"b"]).to_bytes()
    for damaged in (data, data + whole, whole + data[:1], whole[: len(data) % len(whole)]):
        if damaged != whole:
            try:
                bloom = BloomFilter.from_bytes(damaged)
            except ValueError:
                continue
            assert bloom.to_bytes() == damaged
            assert (b"a" in bloom) in (True, False)


def test_less_than_one_bit_a_key_is_refused():
    with pytest.raises(BadInput, match="at least 1 bit"):
        BloomFilter.build([b"a"], 0)
