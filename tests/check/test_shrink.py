"""Shrinking: what is left breaks, each thing in it is needed, and nothing is asked twice."""

from hypothesis import given
from hypothesis import strategies as st

from kvraft.check.shrink import shrink


class Question:
    """Whether a list holds all of ``needed``, in their order."""

    def __init__(self, needed):
        self.needed = list(needed)
        self.asked = []

    def __call__(self, items):
        self.asked.append(list(items))
        rest = iter(items)
        return all(any(item == wanted for item in rest) for wanted in self.needed)


@given(st.lists(st.integers(0, 5), max_size=30), st.data())
def test_what_is_left_breaks_and_each_thing_in_it_is_needed(items, data):
    chosen = data.draw(st.sets(st.integers(0, max(len(items) - 1, 0))))
    question = Question([item for at, item in enumerate(items) if at in chosen])
    left = shrink(items, question)
    assert left == question.needed


@given(st.lists(st.integers(0, 3), max_size=12))
def test_without_any_one_item_it_does_not_break(items):
    def breaks(left):  # not monotone: more may break less
        return sum(left) % 3 == sum(items) % 3 and len(left) % 2 == len(items) % 2

    left = shrink(items, breaks)
    assert breaks(left)
    assert not any(breaks(left[:at] + left[at + 1 :]) for at in range(len(left)))


def test_no_list_is_asked_about_twice_and_the_budget_is_kept():
    question = Question([3, 60, 61, 95])
    assert shrink(range(100), question) == [3, 60, 61, 95]
    asked = [tuple(each) for each in question.asked]
    assert len(set(asked)) == len(asked) < 150
    question.asked.clear()
    left = shrink(range(100), question, budget=10)
    assert len(question.asked) == 10
    assert question(left)
