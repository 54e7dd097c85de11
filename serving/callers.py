"""Who asks, and what they may do and whose."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["anonymous", "key", "user", "admin"]
Tier = Literal["premium", "standard", "free"]
Scope = Literal["serve", "feedback", "admin"]

# A user's token gets no others, whatever it claims: its reach is that user.
USER_SCOPES: frozenset[Scope] = frozenset({"serve", "feedback"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request. `user_id` is the one user they may reach, None for any.

    `tier` None means that no limits hold.
    """

    kind: Kind
    scopes: frozenset[Scope] = frozenset()
    tier: Tier | None = None
    user_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether they may do this; administrators may do everything.

        >>> of_key("standard", ["serve"]).may("feedback")
        False
        """
        return scope in self.scopes or "admin" in self.scopes

    def may_reach(self, user_id: str) -> bool:
        """Whether they may ask for this user, or tell of them.

        >>> of_user("u1", "free", USER_SCOPES).may_reach("u2")
        False
        """
        return self.user_id is None or self.user_id == user_id


NOBODY = Caller(kind="anonymous")
ADMIN = Caller(kind="admin", scopes=frozenset({"admin"}))


def anybody(tier: Tier | None) -> Caller:
    """Whoever asks a service that needs no key.

    >>> anybody(None).may("serve"), anybody(None).may("admin")
    (True, False)
    """
    return Caller(kind="anonymous", scopes=USER_SCOPES, tier=tier)


def of_key(tier: Tier, scopes: Iterable[Scope]) -> Caller:
    """A program that speaks for many users.

    >>> of_key("premium", ["admin"]).kind
    'admin'
    """
    given = frozenset(scopes)
    return Caller(kind="admin" if "admin" in given else "key", scopes=given, tier=tier)


def of_user(user_id: str, tier: Tier, scopes: Iterable[Scope]) -> Caller:
    """A user with a token of their own.

    >>> of_user("u1", "free", ["serve", "admin"]).may("admin")
    False
    """
    return Caller(kind="user", scopes=USER_SCOPES & set(scopes), tier=tier, user_id=user_id)
