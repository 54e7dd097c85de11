from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.reason_share import KEPT_FOR_ASKED, MOST_SAVED, Allowance

shares = st.floats(0.001, 1.0)
# None: the request isn't selected; else whether it asks for an explanation.
requests = st.lists(st.sampled_from([None, False, True]), max_size=400)


def calls(share: float, wishes: Sequence[bool | None]) -> list[bool]:
    """Whether each request made a call."""
    allowance, made = Allowance(share), []
    for asked in wishes:
        allowance = allowance.earned()
        left = None if asked is None else allowance.spent(asked=asked)
        made.append(left is not None)
        allowance = left or allowance
    return made


@given(share=shares, wishes=requests)
def test_of_the_first_requests_never_more_than_the_share_make_calls(
    share: float, wishes: list[bool | None]
) -> None:
    made = calls(share, wishes)
    for n in range(len(made) + 1):
        assert sum(made[:n]) <= Fraction(share) * n


@given(share=shares, wishes=requests, start=st.integers(0, 400))
def test_of_any_in_a_row_only_what_was_saved_comes_on_top(
    share: float, wishes: list[bool | None], start: int
) -> None:
    window = calls(share, wishes)[start:]
    assert sum(window) <= Fraction(share) * len(window) + MOST_SAVED


def test_where_all_ask_the_share_is_used_up() -> None:
    assert sum(calls(0.1, [True] * 1_000)) == 100
    assert sum(calls(1.0, [True] * 50)) == 50


def test_what_was_saved_is_bounded() -> None:
    quiet_then_busy: list[bool | None] = [None] * 10_000 + [True] * 50
    assert sum(calls(0.1, quiet_then_busy)) == MOST_SAVED + 4


def test_some_is_left_for_those_who_ask() -> None:
    assert sum(calls(0.1, [False] * 1_000)) == 100 - KEPT_FOR_ASKED
    assert calls(0.1, [False] * 1_000 + [True] * KEPT_FOR_ASKED)[-KEPT_FOR_ASKED:] == [True] * 5


def test_the_same_requests_make_the_same_calls() -> None:
    wishes: list[bool | None] = [True, None, False] * 200
    assert calls(0.07, wishes) == calls(0.07, wishes)
