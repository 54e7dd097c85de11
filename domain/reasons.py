"""Says in words why an item was shown, from facts and the weight of each factor: three styles.

The facts are a plain mapping, so that whoever writes better sentences can be given the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from domain.explanation import DONE

Style = Literal["concise", "detailed", "conversational"]
Facts = Mapping[str, Any]

# What says little of this very item is no headline, unless nothing else is there.
WEAK = frozenset({"rewards", "variety", "quality", "freshness", "novelty", "ranker"})
# Below this a factor isn't put into a sentence.
WORTH_A_SENTENCE = 0.05
SENTENCES = {"concise": 1, "detailed": 12, "conversational": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A part of why an item stands where it stands; `weight` is its share of the whole."""

    factor: str
    weight: float
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned:
    """An explanation for people."""

    headline: str
    detailed: str
    factors: tuple[Factor, ...]


def reasoned(facts: Facts, *, style: Style) -> Reasoned:
    """Put an explanation into words; `facts["weights"]` has the factors, greatest first.

    >>> facts = {"weights": {"category_affinity": 0.7, "trending": 0.3}, "category": "mugs",
    ...     "category_actions": 3, "trending_place": 2}
    >>> said = reasoned(facts, style="concise")
    >>> said.headline
    'Recommended because you like mugs'
    >>> [one.description for one in said.factors]
    ['You had 3 actions in mugs lately', 'Number 2 among what is trending now']
    """
    weights: Mapping[str, float] = facts["weights"]
    factors = tuple(
        Factor(factor=name, weight=weight, description=described(name, facts))
        for name, weight in weights.items()
    )
    return Reasoned(
        headline=_headline(facts, style),
        detailed=_detailed(factors, facts, style),
        factors=factors,
    )


def leading(facts: Facts) -> str:
    """The factor that the headline is about: the greatest that says something of this very item.

    >>> leading({"weights": {"rewards": 0.6, "trending": 0.3, "exploration": 0.1}})
    'trending'
    """
    weights: Mapping[str, float] = facts["weights"]
    names = list(weights)
    strong = [name for name in names if name not in WEAK and weights[name] >= WORTH_A_SENTENCE]
    # That something was tried is said where nothing better is to be said.
    better = [name for name in strong if name != "exploration"]
    return (better or strong or names)[0]


def described(name: str, facts: Facts) -> str:
    """A factor as a sentence without its full stop.

    >>> described("price_match", {})
    'Within your usual price range'
    """
    return DESCRIPTIONS[name](facts)


def _headline(facts: Facts, style: Style) -> str:
    because = BECAUSE[leading(facts)](facts)
    if style == "conversational":
        return f"You see this because {because}"
    return f"Recommended because {because}"


def _detailed(factors: tuple[Factor, ...], facts: Facts, style: Style) -> str:
    first = leading(facts)
    # What says something of this very item comes before what holds of nearly all.
    ordered = sorted(factors, key=lambda one: (one.factor != first, one.factor in WEAK))
    worth = [one for one in ordered if one.factor == first or one.weight >= WORTH_A_SENTENCE]
    said = worth[: SENTENCES[style]]
    if style == "detailed":
        return " ".join(f"{one.description} ({one.weight:.0%})." for one in said)
    if style == "conversational":
        return _talked([one.description for one in said])
    return f"{said[0].description}."


def _talked(sentences: list[str]) -> str:
    """Sentences as one would say them.

    >>> _talked(["Trending now", "New in the catalogue"])
    'Trending now. Also: new in the catalogue.'
    """
    first, *others = sentences
    rest = "; ".join(one[0].lower() + one[1:] for one in others)
    return f"{first}. Also: {rest}." if rest else f"{first}."


def _similar(facts: Facts) -> str:
    return f"Similar to {facts['similar_title']}, which you {_done(facts['similar_action'])}"


def _done(action: str) -> str:
    return DONE.get(action, "met")


def _has(facts: Facts, *names: str) -> bool:
    return all(facts.get(name) for name in names)


def _describe_similar(facts: Facts) -> str:
    if _has(facts, "met_action"):
        return f"You {_done(facts['met_action'])} it lately"
    if _has(facts, "similar_title"):
        return _similar(facts)
    return "Similar to what you looked at lately"


def _describe_category(facts: Facts) -> str:
    if _has(facts, "category", "category_actions"):
        count = facts["category_actions"]
        actions = "action" if count == 1 else "actions"
        return f"You had {count} {actions} in {facts['category']} lately"
    return f"In a category that you like: {facts.get('category')}"


def _describe_neighbour(facts: Facts) -> str:
    if _has(facts, "neighbour_title"):
        did = _done(facts["neighbour_action"])
        return f"Often met together with {facts['neighbour_title']}, which you {did}"
    return "Often met together with what you looked at lately"


def _describe_again(facts: Facts) -> str:
    bought = facts.get("bought", 0)
    return f"You have bought it {bought} times lately" if bought > 1 else "You buy it again"


def _describe_trending(facts: Facts) -> str:
    if _has(facts, "trending_place"):
        return f"Number {facts['trending_place']} among what is trending now"
    return "Trending now"


def _describe_popular(facts: Facts) -> str:
    if _has(facts, "popular_place"):
        return f"Number {facts['popular_place']} of the most popular"
    return "Popular with everybody"


def _describe_rewards(facts: Facts) -> str:
    if _has(facts, "posterior_version"):
        return "People in a situation like yours respond to it"
    return "How people respond to it isn't known yet, so it counts as average"


def _always(text: str) -> Callable[[Facts], str]:
    return lambda _: text


DESCRIPTIONS: Mapping[str, Callable[[Facts], str]] = {
    "similar_items": _describe_similar,
    "long_term_taste": _always("Fits what you have liked over time"),
    "neighbour": _describe_neighbour,
    "category_affinity": _describe_category,
    "price_match": _always("Within your usual price range"),
    "trending": _describe_trending,
    "popularity": _describe_popular,
    "bought_again": _describe_again,
    "quality": _always("The catalogue says that it is of good quality"),
    "freshness": _always("New in the catalogue"),
    "novelty": _always("You haven't met it lately"),
    "variety": _always("Unlike what stands above it, so the list is varied"),
    "rewards": _describe_rewards,
    "mood": _always("Suits how your visit goes"),
    "exploration": _always("Something new to try"),
    "ranker": _always("Chosen from the catalogue for you"),
}


def _because_similar(facts: Facts) -> str:
    if _has(facts, "met_action"):
        return f"you {_done(facts['met_action'])} it lately"
    if _has(facts, "similar_title"):
        return f"you {_done(facts['similar_action'])} {facts['similar_title']}"
    return "it is like what you looked at lately"


def _because_neighbour(facts: Facts) -> str:
    if _has(facts, "neighbour_title"):
        return f"it is often met together with {facts['neighbour_title']}"
    return "it is often met together with what you looked at"


BECAUSE: Mapping[str, Callable[[Facts], str]] = {
    "similar_items": _because_similar,
    "long_term_taste": _always("it fits what you have liked over time"),
    "neighbour": _because_neighbour,
    "category_affinity": lambda facts: f"you like {facts.get('category')}",
    "price_match": _always("its price is in your usual range"),
    "trending": _always("it is trending now"),
    "popularity": _always("it is popular"),
    "bought_again": _always("you buy it again and again"),
    "quality": _always("it is of good quality"),
    "freshness": _always("it is new"),
    "novelty": _always("you haven't met it lately"),
    "variety": _always("it brings variety to your list"),
    "rewards": _always("people respond to it"),
    "mood": _always("it suits how your visit goes"),
    "exploration": _always("it is something new to try"),
    "ranker": _always("it was chosen from the catalogue for you"),
}
