"""Keeps the share of requests for which a model is asked: a bucket that requests fill, not time.

Each request adds its share of a call, each call takes a whole one. So among the first n requests,
and in any n + MOST_SAVED / share in a row, no more than that share is asked about.
"""

from dataclasses import dataclass

# Exact, where tenths added up as floats are not.
WHOLE = 1_000_000
# Quiet times are not made up for by more calls than this.
MOST_SAVED = 10
# So many are left to those who ask for an explanation.
KEPT_FOR_ASKED = 5


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be spent on calls, in millionths of one."""

    share: float
    saved: int = 0

    def earned(self) -> "Allowance":
        """The allowance after one more request.

        >>> Allowance(0.1).earned().saved
        100000
        """
        saved = self.saved + int(self.share * WHOLE)
        return Allowance(self.share, min(saved, MOST_SAVED * WHOLE))

    def spent(self, *, asked: bool) -> "Allowance | None":
        """The allowance after one more call; None where it may not be made.

        >>> Allowance(0.1, WHOLE).spent(asked=True).saved
        0
        """
        kept = 0 if asked else KEPT_FOR_ASKED * WHOLE
        left = self.saved - WHOLE
        return Allowance(self.share, left) if left >= kept else None
