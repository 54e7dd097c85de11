"""Says why an item is shown, from what was seen on the way to showing it."""

from dataclasses import dataclass

from schemas.types import CandidateSource

# Below these, a likeness or a habit is too weak to be given as a reason.
SIMILAR = 0.35
HABIT = 0.2
FITTING_PRICE = 0.6

DONE = {
    "view": "viewed",
    "click": "clicked",
    "add_to_cart": "added to your cart",
    "purchase": "bought",
    "like": "liked",
    "share": "shared",
    "dwell": "looked at",
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one shown item. Places count from 1.

    `source` is what put it into the list, `found_by` what brought it among the candidates.
    """

    source: CandidateSource
    found_by: CandidateSource | None = None
    similar_title: str | None = None
    similar_action: str = "view"
    similarity: float = 0.0
    category: str | None = None
    category_share: float = 0.0
    price_affinity: float = 0.0
    trending_place: int | None = None
    popular_place: int | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The strongest reason as a sentence, and the name of every reason that holds."""

    primary_reason: str
    signals: tuple[str, ...]


def explain(evidence: Evidence) -> Explanation:
    """The reasons that hold for an item, the strongest first.

    >>> explain(Evidence(source="content", similar_title="Red mug", similar_action="click",
    ...                  similarity=0.8)).primary_reason
    'Similar to Red mug, which you clicked'
    """
    reasons = _reasons(evidence)
    if evidence.source == "exploration":
        reasons.append(("exploration", "Something new to try"))
    if not reasons:
        reasons.append((evidence.source, "Chosen from the catalogue for you"))
    return Explanation(primary_reason=reasons[0][1], signals=tuple(signal for signal, _ in reasons))


def _reasons(evidence: Evidence) -> list[tuple[str, str]]:
    reasons = []
    if evidence.found_by == "repeat":
        reasons.append(("bought_again", "You buy it again and again"))
    if evidence.similar_title and evidence.similarity >= SIMILAR:
        done = DONE.get(evidence.similar_action, "met")
        reasons.append(
            (f"{_past(done)}_similar", f"Similar to {evidence.similar_title}, which you {done}")
        )
    if evidence.found_by == "neighbour":
        reasons.append(("met_together", "Often met together with what you looked at lately"))
    if evidence.category and evidence.category_share >= HABIT:
        interest = f"Based on your recent interest in {evidence.category}"
        reasons.append(("category_match", interest))
    if evidence.trending_place is not None:
        reasons.append(("trending", f"Number {evidence.trending_place} among what is trending now"))
    if evidence.popular_place is not None:
        reasons.append(("popular", f"Number {evidence.popular_place} of the most popular"))
    if evidence.price_affinity >= FITTING_PRICE:
        reasons.append(("price_match", "Within your usual price range"))
    return reasons


def _past(done: str) -> str:
    return done.split(" ")[0]
