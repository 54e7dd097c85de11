import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import cast

import pytest
from rich.console import Console

from demo.screen import Screen
from demo.service import Act, Answer, Service, Shown
from demo.show import LIMIT_S, Outcome, ShowError, Stage, play
from demo.story import Customer, Shop, Theme

CUSTOMER = Customer(user_id="u", purchases=40, favourites=(("bags", 30), ("mugs", 10)))
THEME = Theme(
    category="signs",
    acts=(Act(action="click", item_id="s1"), Act(action="add_to_cart", item_id="s1")),
)


def answer(*ids: str, version: int = 5) -> Answer:
    category = {"b": "bags", "s": "signs", "m": "mugs"}
    return Answer(
        items=tuple(
            Shown(
                item_id=item,
                title=f"Title of {item}",
                category=category[item[0]],
                price=1.5,
                score=0.5,
                source="content",
                reason=f"Like [{item}]",
            )
            for item in ids
        ),
        user_version=version,
        embedding_version=version,
        cold_start=False,
        fallbacks=(),
        request_id="r",
    )


BEFORE = answer("b1", "b2", "m1")


@dataclass
class FakeService:
    """Answers one after the other, the last one again and again; a tenth of a second each."""

    answers: list[Answer]
    now_s: float = 0.0
    told: list[tuple[Sequence[Act], str]] = field(default_factory=list)

    async def personalize(self, user_id: str, *, count: int, explain: bool) -> Answer:
        assert (user_id, count, explain) == ("u", 10, True)
        self.now_s += 0.1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def feedback(self, user_id: str, acts: Sequence[Act], *, request_id: str) -> int:
        assert user_id == "u"
        self.told.append((acts, request_id))
        return len(acts)

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


class FakeShop:
    def customer(self) -> Customer:
        return CUSTOMER

    def theme(self, user_id: str, *, shown: set[str]) -> Theme:
        assert (user_id, shown) == ("u", {"bags", "mugs"})
        return THEME


async def show(*answers: Answer) -> tuple[Outcome, FakeService]:
    service = FakeService(list(answers))
    stage = Stage(
        service=cast("Service", service),
        shop=cast("Shop", FakeShop()),
        session="demo-1",
        clock=service.clock,
        sleep=service.sleep,
    )
    outcome = await play(stage, on_before=lambda *_: None, on_theme=lambda _: None)
    return outcome, service


async def test_the_first_changed_answer_and_the_complete_one_are_timed() -> None:
    outcome, service = await show(
        BEFORE,
        BEFORE,
        answer("b1", "s1", "b2", version=6),
        answer("s1", "s2", "b1", version=7),
    )

    assert service.told == [(THEME.acts, "demo-1-r")]
    assert outcome.after.ids == ("s1", "s2", "b1")
    assert outcome.new_ids == ("s1", "s2")
    assert outcome.of_theme == (0, 2)
    assert outcome.changed_ms == pytest.approx(220)
    assert outcome.complete_ms == pytest.approx(340)


async def test_a_list_that_stays_the_same_fails_the_show() -> None:
    with pytest.raises(ShowError, match="knows all 2 events and is the same list as before"):
        await show(BEFORE, answer("b1", "b2", "m1", version=7))


async def test_events_that_never_arrive_fail_the_show() -> None:
    with pytest.raises(ShowError, match=f"after {LIMIT_S:g} s an answer knows 1 of 2 events"):
        await show(BEFORE, answer("b1", "s1", "s2", version=6))


async def test_a_change_that_has_nothing_to_do_with_the_events_fails_the_show() -> None:
    with pytest.raises(ShowError, match="has 0 items of signs after 2 events about it, and had 0"):
        await show(BEFORE, answer("m1", "b2", "b1", version=7))


def outcome() -> Outcome:
    return Outcome(
        customer=CUSTOMER,
        theme=THEME,
        before=BEFORE,
        after=answer("s1", "b2", "b1", version=7),
        accepted=2,
        changed_ms=123.4,
        complete_ms=234.5,
    )


def test_the_screen_is_plain_text_where_there_is_no_terminal() -> None:
    console = Console(width=150, file=StringIO())
    screen = Screen(console)
    screen.before(CUSTOMER, BEFORE, {"s1": "A [red] sign"})
    screen.theme(THEME)
    screen.after(outcome())
    screen.farewell({"the service": "http://127.0.0.1:1/docs"}, {"stop": "freshet stack down"})
    text = console.file.getvalue()  # type: ignore[attr-defined]

    assert "\x1b" not in text
    assert "Customer u: 40 purchases (30 bags, 10 mugs)" in text
    assert "add_to_cart  A [red] sign" in text
    assert "123 ms from the first event to a changed answer, 234 ms until" in text
    assert "0 of the list were signs, now 1 are" in text
    assert "http://127.0.0.1:1/docs" in text


def test_the_screen_says_what_became_of_each_item() -> None:
    console = Console(width=150, file=StringIO())
    Screen(console).after(outcome())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    ends = [line.rstrip().rsplit("  ", 1)[-1] for line in lines if "Like [" in line]
    assert ends == ["new", "Like [b2]", "down 2"]
