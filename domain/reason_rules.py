"""Which requests a language model is asked about (document 000, decision 3): a table of rules.

A request is selected by the first rule that holds, unless something holds it back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# The document's confidence of 0.8: some 25 rewards counted.
SURE = 0.2
# Four rewards counted, or fewer.
UNSURE = 0.5
# A category that less of a taste goes to is no habit.
HABIT = 0.2
MANY_CATEGORIES = 3
# Who came so often, and mostly for one thing, is known well.
RETURNING = 20
CLEAR_TASTE = 0.5

PURCHASE_PAGES = frozenset({"item_detail", "product", "cart", "basket", "checkout"})
PURCHASE_PLACEMENTS = frozenset({"cart", "basket", "checkout"})


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is known of a request when its list stands.

    `uncertainty` is the mean of the shown items, `shares` how a taste is divided among categories.
    `limited` says that the answer was made with less than it takes, to protect the service.
    """

    asked: bool = False
    cold: bool = False
    uncertainty: float = 0.0
    page_type: str | None = None
    placement: str | None = None
    shares: Mapping[str, float]
    interactions: int = 0
    remembered: bool = False
    limited: bool = False
    time_left_s: float = 0.0

    @property
    def habits(self) -> int:
        """Categories that a good part of the taste goes to."""
        return sum(share >= HABIT for share in self.shares.values())

    @property
    def buys(self) -> bool:
        """Whether a purchase is being considered."""
        return self.page_type in PURCHASE_PAGES or self.placement in PURCHASE_PLACEMENTS

    @property
    def known_well(self) -> bool:
        """Whether the user came often, and mostly for one thing."""
        clear = max(self.shares.values(), default=0.0) >= CLEAR_TASTE
        return not self.cold and self.interactions >= RETURNING and clear


@dataclass(frozen=True)
class Rule:
    """A name that stands in measurements, and when it holds."""

    name: str
    holds: Callable[[Circumstances], bool]


SELECTING: tuple[Rule, ...] = (
    Rule("explanation", lambda one: one.asked),
    Rule("cold_start", lambda one: one.cold),
    Rule("purchase", lambda one: one.buys),
    Rule("cross_domain", lambda one: one.habits >= MANY_CATEGORIES),
    Rule("unsure", lambda one: one.uncertainty > UNSURE),
)
HOLDING_BACK: tuple[Rule, ...] = (
    Rule("limited", lambda one: one.limited),
    Rule("no_time", lambda one: one.time_left_s <= 0),
    Rule("sure_and_remembered", lambda one: one.remembered and one.uncertainty < SURE),
    Rule("known_well", lambda one: one.known_well),
)


def selected_by(circumstances: Circumstances) -> str | None:
    """The first rule that selects the request.

    >>> selected_by(Circumstances(shares={}, cold=True, page_type="cart"))
    'cold_start'
    """
    return _first(SELECTING, circumstances)


def held_back_by(circumstances: Circumstances) -> str | None:
    """The first rule against asking.

    >>> held_back_by(Circumstances(shares={"mugs": 0.8}, interactions=40, time_left_s=0.1))
    'known_well'
    """
    return _first(HOLDING_BACK, circumstances)


def _first(rules: Iterable[Rule], circumstances: Circumstances) -> str | None:
    return next((rule.name for rule in rules if rule.holds(circumstances)), None)
