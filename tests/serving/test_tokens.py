import base64
import hmac
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from serving.tokens import TokenReader, TokenRefusedError, token_reader
from settings import Settings, SettingsError
from tests.clock import Clock
from tests.serving.callers_at_hand import AUDIENCE, ISSUER, JWT_SECRET, claims, token

READER = TokenReader(algorithm="HS256", key=JWT_SECRET, issuer=ISSUER, audience=AUDIENCE)


def soon(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def by_hand(header: dict[str, Any], payload: Any, *, secret: bytes | None) -> str:
    """A token that no library would make."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part, default=lambda at: at.timestamp()).encode())
        for part in (header, payload)
    ]
    signed = b".".join(part.rstrip(b"=") for part in parts)
    digest = hmac.digest(secret, signed, "sha256") if secret is not None else b""
    return (signed + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


def pems(private: Any) -> tuple[str, str]:
    """A private key and its public one."""
    secret = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret.decode(), public.decode()


RSA = pems(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))
EC = pems(ec.generate_private_key(ec.SECP256R1()))
ED = pems(ed25519.Ed25519PrivateKey.generate())


def test_a_token_tells_its_user_tier_and_scopes() -> None:
    caller = READER.caller(token("u1", tier="premium", scope="openid feedback admin"))
    assert (caller.kind, caller.user_id, caller.tier) == ("user", "u1", "premium")
    assert caller.scopes == {"feedback"}
    assert not caller.may("admin")


def test_a_token_that_says_little_is_of_a_free_user() -> None:
    caller = READER.caller(token("u1"))
    assert caller.tier == "free"
    assert caller.scopes == {"serve", "feedback"}


def test_a_token_without_any_scope_of_ours_opens_nothing() -> None:
    assert READER.caller(token("u1", scope="openid")).scopes == frozenset()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"exp": soon(seconds=-1)}, "the token has expired"),
        ({"nbf": soon(days=1)}, "the token is not valid yet"),
        ({"iat": soon(days=1)}, "the token is not valid yet"),
        ({"iss": "https://login.other"}, "the token is of another issuer"),
        ({"iss": ISSUER[:-1]}, "the token is of another issuer"),
        ({"iss": ISSUER + "/"}, "the token is of another issuer"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"aud": "fresh"}, "the token is for another audience"),
        ({"aud": ["other", "another"]}, "the token is for another audience"),
        *(({name: None}, "lacks one of the claims") for name in ("exp", "iss", "aud", "sub")),
        ({"tier": "gold"}, "the token's tier must be one of premium, standard, free"),
        ({"tier": ["free"]}, "the token's tier must be one of"),
        ({"scope": ["serve"]}, "the token's scope must be text"),
        ({"sub": ""}, "the token's sub must have 1 to 256 bytes"),
        ({"sub": "é" * 129}, "the token's sub must have 1 to 256 bytes"),
    ],
)
def test_a_token_that_isnt_good_is_refused_with_the_reason(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(TokenRefusedError, match=says):
        READER.caller(jwt.encode(claims(**changed), JWT_SECRET))


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (claims() | {"sub": 5}, "the token's sub is no text"),
        (claims() | {"sub": ["u1"]}, "the token's sub is no text"),
        (claims() | {"exp": "soon"}, "no token that can be read"),
        (claims() | {"exp": float("inf")}, "no token that can be read"),
        (claims() | {"exp": float("nan")}, "no token that can be read"),
        (claims() | {"exp": [1]}, "no token that can be read"),
        ([], "no token that can be read"),
        ("text", "no token that can be read"),
    ],
)
def test_claims_of_wrong_kinds_are_refused(payload: Any, says: str) -> None:
    with pytest.raises(TokenRefusedError, match=says):
        READER.caller(by_hand({"alg": "HS256"}, payload, secret=JWT_SECRET.encode()))


def test_a_clock_may_differ_by_the_leeway() -> None:
    patient = TokenReader(
        algorithm="HS256", key=JWT_SECRET, issuer=ISSUER, audience=AUDIENCE, leeway_s=30
    )
    assert patient.caller(token(exp=soon(seconds=-20), nbf=soon(seconds=20)))
    with pytest.raises(TokenRefusedError, match="expired"):
        patient.caller(token(exp=soon(seconds=-40)))


def test_one_among_several_audiences_will_do() -> None:
    assert READER.caller(token(aud=["other", AUDIENCE]))


def test_another_secret_is_a_wrong_signature() -> None:
    with pytest.raises(TokenRefusedError, match="signature is wrong"):
        READER.caller(token(secret="b" * 36))
    head, payload, signature = token("u1").split(".")
    other = token("u2").split(".")[1]
    assert other != payload
    with pytest.raises(TokenRefusedError, match="signature is wrong"):
        READER.caller(f"{head}.{other}.{signature}")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", "HS384", "RS256"])
def test_an_algorithm_of_the_tokens_choice_is_refused(name: str) -> None:
    for secret in (None, b"", JWT_SECRET.encode()):
        with pytest.raises(TokenRefusedError, match=r"algorithm that is taken here|can be read"):
            READER.caller(by_hand({"alg": name, "typ": "JWT"}, claims(), secret=secret))


@pytest.mark.parametrize(
    ("algorithm", "pair"), [("RS256", RSA), ("PS256", RSA), ("ES256", EC), ("EdDSA", ED)]
)
def test_a_public_key_is_no_secret(algorithm: str, pair: tuple[str, str]) -> None:
    """Who knows only the public key can't sign with it as if it were a shared secret."""
    reader = TokenReader(algorithm=algorithm, key=pair[1], issuer=ISSUER, audience=AUDIENCE)
    assert reader.caller(jwt.encode(claims(), pair[0], algorithm=algorithm)).user_id == "u1"
    for secret in (pair[1].encode(), pair[1].strip().encode()):
        with pytest.raises(TokenRefusedError, match="algorithm that is taken here"):
            reader.caller(by_hand({"alg": "HS256"}, claims(), secret=secret))
    with pytest.raises(TokenRefusedError, match="algorithm that is taken here"):
        reader.caller(by_hand({"alg": "none"}, claims(), secret=None))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        "\udcff",
        "null",
        base64.urlsafe_b64encode(b"[" * 40_000).decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": ' + b"9" * 5_000 + b"}").decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": {}}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": "HS256", "kid": 5}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg": "HS256", "crit": ["x"]}').decode() + ".e30.e30",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        READER.caller(text)


class Counted(TokenReader):
    """Counts how many tokens it really checks."""

    checked: ClassVar[list[str]] = []

    def _claims(self, token: str) -> dict[str, Any]:
        self.checked.append(token)
        return super()._claims(token)


def remembering(**changed: Any) -> Counted:
    Counted.checked.clear()
    told = {"algorithm": "HS256", "key": JWT_SECRET, "issuer": ISSUER, "audience": AUDIENCE}
    return Counted(**{**told, "kept": 3, **changed})


def test_a_good_token_is_checked_once() -> None:
    reader, sent = remembering(), token("u1", tier="premium", scope="serve")
    callers = [reader.caller(sent) for _ in range(3)]
    assert reader.checked == [sent]
    assert callers == [READER.caller(sent)] * 3


def test_a_token_is_remembered_for_no_longer_than_it_is_valid() -> None:
    now = datetime.now(UTC)
    clock = Clock()
    clock.now = now.timestamp()
    reader = remembering(leeway_s=5, clock=clock)
    sent = token("u1", exp=now - timedelta(seconds=1))
    assert reader.caller(sent).user_id == "u1"
    clock.now = int(now.timestamp()) - 1 + 4.9
    assert reader.caller(sent).user_id == "u1"
    assert len(reader.checked) == 1
    clock.now += 0.1
    reader.caller(sent)
    assert len(reader.checked) == 2, "it is asked for again, and PyJWT has the last word"


def test_an_expired_token_is_refused_though_it_was_remembered() -> None:
    reader, sent = remembering(), token("u1", exp=soon(seconds=2))
    assert reader.caller(sent).user_id == "u1"
    time.sleep(2.05)
    with pytest.raises(TokenRefusedError, match="expired"):
        reader.caller(sent)


def test_with_another_key_nothing_is_remembered() -> None:
    reader, sent = remembering(), token("u1")
    assert reader.caller(sent).user_id == "u1"
    with pytest.raises(TokenRefusedError, match="signature is wrong"):
        replace(reader, key="b" * 36).caller(sent)


def test_no_more_tokens_are_remembered_than_may_be() -> None:
    reader = remembering()
    for user in range(10):
        reader.caller(token(f"u{user}"))
    assert len(reader._remembered) == 3
    reader.caller(token("u0"))
    assert len(reader.checked) == 11


def test_a_refused_token_is_refused_again_and_not_remembered() -> None:
    reader, sent = remembering(), token("u1", secret="b" * 36)
    for _ in range(2):
        with pytest.raises(TokenRefusedError, match="signature is wrong"):
            reader.caller(sent)
    assert (len(reader.checked), len(reader._remembered)) == (2, 0)
    with pytest.raises(TokenRefusedError, match="one of premium"):
        reader.caller(token("u1", tier="gold"))
    assert len(reader._remembered) == 0


def test_nothing_is_remembered_where_that_is_said() -> None:
    reader, sent = remembering(kept=0), token("u1")
    for _ in range(2):
        reader.caller(sent)
    assert len(reader.checked) == 2


def test_a_token_that_no_bytes_can_be_made_of_is_refused() -> None:
    with pytest.raises(TokenRefusedError):
        remembering().caller("\udcff")


def settings(**serving: Any) -> Settings:
    asked = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, **serving}
    return Settings.model_validate({"serving": asked})


def test_without_an_algorithm_no_tokens_are_taken() -> None:
    assert token_reader(settings()) is None


def test_the_settings_make_a_reader(tmp_path: Path) -> None:
    shared = token_reader(settings(jwt_algorithm="HS256", jwt_secret=JWT_SECRET))
    assert shared is not None
    assert shared.caller(token("u1")).user_id == "u1"
    file = tmp_path / "public.pem"
    file.write_text(EC[1])
    signed = token_reader(settings(jwt_algorithm="ES256", jwt_public_key=str(file)))
    assert signed is not None
    assert signed.caller(jwt.encode(claims(), EC[0], algorithm="ES256")).user_id == "u1"


@pytest.mark.parametrize(
    ("serving", "says"),
    [
        ({"jwt_algorithm": "HS256"}, "serving.jwt_secret has 0 bytes; HS256 needs 32 random"),
        (
            {"jwt_algorithm": "HS512", "jwt_secret": JWT_SECRET},
            "serving.jwt_secret has 36 bytes; HS512 needs 64 random",
        ),
        (
            {"jwt_algorithm": "HS256", "jwt_secret": JWT_SECRET, "jwt_issuer": ""},
            "serving.jwt_issuer is empty",
        ),
        (
            {"jwt_algorithm": "HS256", "jwt_secret": JWT_SECRET, "jwt_audience": ""},
            "serving.jwt_audience is empty",
        ),
        (
            {"jwt_algorithm": "HS256", "jwt_public_key": "x.pem"},
            "serving.jwt_public_key is set, but HS256 has a secret",
        ),
        (
            {"jwt_algorithm": "RS256", "jwt_secret": JWT_SECRET},
            "serving.jwt_secret is set, but RS256 has a public key",
        ),
        (
            {"jwt_algorithm": "RS256", "jwt_public_key": "/nowhere.pem"},
            "serving.jwt_public_key = '/nowhere.pem': can't be read",
        ),
    ],
)
def test_settings_that_dont_fit_are_refused(serving: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        token_reader(settings(**serving))
    assert says in str(raised.value)
    assert JWT_SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("algorithm", "pem", "says"),
    [
        ("RS256", RSA[0], "is a private key"),
        ("RS256", EC[1], "is no key for RS256"),
        ("ES256", RSA[1], "is no key for ES256"),
        ("EdDSA", "text", "is no key for EdDSA"),
        ("RS256", "", "is no key for RS256"),
    ],
)
def test_a_key_of_another_kind_is_refused(
    tmp_path: Path, algorithm: str, pem: str, says: str
) -> None:
    file = tmp_path / "public.pem"
    file.write_text(pem)
    with pytest.raises(SettingsError, match=says):
        token_reader(settings(jwt_algorithm=algorithm, jwt_public_key=str(file)))
