"""Who calls, and what they may do."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from contracts.problems import ScopeMissing, SourceNotAllowed, Unauthenticated, Unavailable
from services.edge.keys import FileKeys, KeySet, NoKeysError
from services.edge.problems import exception_handlers
from services.edge.tokens import Authenticator, Caller, Requires, caller_dependencies, caller_of
from tests.unit.edge_issuer import AUDIENCE, ISSUER, KEYS, WEAK, document, public, token


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(document())
    return path


@pytest.fixture
def authenticator(jwks: Path) -> Authenticator:
    return Authenticator(FileKeys(jwks), issuer=ISSUER, audience=AUDIENCE)


def publish(jwks: Path, content: bytes | None) -> None:
    if content is None:
        jwks.unlink()
    else:
        jwks.write_bytes(content)


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_token_of_each_algorithm_is_believed(authenticator: Authenticator, algorithm: str) -> None:
    good = token(algorithm, scope="events:write log:read", sources=["urn:hr:"])
    caller = await authenticator.caller(b"Bearer " + good)
    assert (caller.client_id, caller.sources) == ("hr", ("urn:hr:",))
    assert caller.scopes == {"events:write", "log:read"}
    assert await authenticator.caller(b"bearer  " + good) is caller, "verified once"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.test"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"nbf": int(time.time()) + 3600},
        {"client_id": None},
        {"client_id": 7},
        {"client_id": ""},
        {"client_id": "a\nb"},
        {"scope": ["events:write"]},
        {"sources": "urn:hr:"},
        {"sources": ["urn:hr:", 7]},
        {"organisers": "afpi-lyon"},
        {"organisers": {"afpi-lyon": True}},
        {"organisers": ["afpi-lyon", 7]},
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(authenticator: Authenticator, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.caller(b"Bearer " + token(**claims))
    assert refused.value.values == {"error": "invalid_token"}


async def test_clocks_may_differ_by_the_leeway(authenticator: Authenticator) -> None:
    now = int(time.time())
    assert await authenticator.caller(b"Bearer " + token(exp=now - 10, nbf=now + 10))


def _forged_by_confusion() -> bytes:
    """HS256 with the public key as its secret: the classic."""
    secret = KEYS["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, payload, _ = token("RS256").split(b".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "RS256"}).encode()).rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + payload, secret)
    return header + b"." + payload + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


@pytest.mark.parametrize(
    "forged",
    [
        jwt.encode({"client_id": "hr"}, None, algorithm="none").encode(),
        _forged_by_confusion(),
        token("ES256", key=ec.generate_private_key(ec.SECP256R1())),
        token("ES256", kid="RS256"),
        token("ES256", kid="unknown"),
        token("ES256", kid=None),
        token()[:-4] + b"AAAA",
        b"not-a-token",
        b"a.b.c",
        b"\xff\xfe.e30.",
        b"x" * 20_000,
        b"",
    ],
)
async def test_a_forged_token_is_refused(authenticator: Authenticator, forged: bytes) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.caller(b"Bearer " + forged)


async def test_another_scheme_is_refused(authenticator: Authenticator) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.caller(b"Basic " + token())


async def test_a_token_without_key_id_is_believed_when_there_is_one_key(
    authenticator: Authenticator, jwks: Path
) -> None:
    publish(jwks, document(public("ES256")))
    assert await authenticator.caller(b"Bearer " + token(kid=None))


async def test_a_key_taken_out_of_the_file_is_believed_no_more(authenticator: Authenticator, jwks: Path) -> None:
    good = b"Bearer " + token("ES256")
    await authenticator.caller(good)
    publish(jwks, document(public("EdDSA")))
    with pytest.raises(Unauthenticated):
        await authenticator.caller(good)
    assert await authenticator.caller(b"Bearer " + token("EdDSA"))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"keys":7}', b'{"keys":[]}', b'{"keys":[7]}', b'{"keys":[{"kty":[]}]}']
)
async def test_an_unreadable_file_keeps_the_last_keys(authenticator: Authenticator, jwks: Path, content: bytes) -> None:
    await authenticator.keys.check()
    publish(jwks, content)
    assert await authenticator.caller(b"Bearer " + token())
    publish(jwks, None)
    assert await authenticator.caller(b"Bearer " + token("EdDSA"))


async def test_without_any_keys_yet_the_registry_is_unavailable(tmp_path: Path) -> None:
    authenticator = Authenticator(FileKeys(tmp_path / "none"), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(Unavailable):
        await authenticator.caller(b"Bearer " + token())
    with pytest.raises(Unavailable):
        await authenticator.keys.check()


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "1"},
        public("RS256", WEAK),
        public("RS256", alg="PS256"),
        public("ES256", use="enc"),
        public("ES256", ec.generate_private_key(ec.SECP384R1())),
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
    ],
)
def test_a_key_of_another_kind_is_left_aside(key: dict[str, Any]) -> None:
    assert [found.key_id for found in KeySet(document(key, public("EdDSA"))).keys] == ["EdDSA"]
    with pytest.raises(NoKeysError):
        KeySet(document(key))


@pytest.mark.parametrize(
    ("prefix", "source", "allowed"),
    [
        ("", "urn:anything", True),
        ("urn:hr", "urn:hr", True),
        ("urn:hr", "urn:hr:paris", True),
        ("urn:hr", "urn:hr/paris", True),
        ("urn:hr", "urn:hrx", False),
        ("urn:hr:", "urn:hr:paris", True),
        ("urn:hr:", "urn:hr", False),
        ("urn:hr:paris", "urn:hr", False),
        ("https://hr.test/", "https://hr.test/a", True),
        ("https://hr.test", "https://hr.test.evil/", False),
        ("urn:", "URN:hr", False),
    ],
)
def test_a_prefix_ends_at_a_colon_a_slash_or_the_end(prefix: str, source: str, allowed: bool) -> None:
    caller = caller_of({"client_id": "hr", "sources": [prefix]})
    assert caller.allows_source(source) is allowed


def test_no_claim_allows_no_source_and_no_scope() -> None:
    caller = caller_of({"client_id": "hr"})
    with pytest.raises(SourceNotAllowed):
        caller.require_source("")
    with pytest.raises(ScopeMissing, match="events:write"):
        caller.require("events:write")


@pytest.mark.parametrize(("claims", "limit"), [({}, None), ({"organisers": []}, set()), ({"organisers": ["a"]}, {"a"})])
def test_a_claim_limits_to_organisers_and_an_empty_one_to_none(claims: dict[str, Any], limit: set[str] | None) -> None:
    caller = caller_of({"client_id": "hr", "scope": "log:read"} | claims)
    assert caller.organisers == limit
    assert caller.sees_all("log:read") is (limit is None)
    with pytest.raises(ScopeMissing):
        caller.require_all("ops:read")


def test_a_claim_of_null_is_no_missing_claim() -> None:
    with pytest.raises(Unauthenticated):
        caller_of({"client_id": "hr", "organisers": None})


@get("/public")
async def public_route() -> str:
    return "public"


@get("/guarded", guards=[Requires("log:read")])
async def guarded(caller: NamedDependency[Caller]) -> str:
    return caller.client_id


@get("/either")
async def either(caller_if_any: NamedDependency[Caller | None]) -> str:
    return caller_if_any.client_id if caller_if_any else "nobody"


@pytest.fixture
def client(authenticator: Authenticator) -> httpx.AsyncClient:
    app = Litestar(
        [public_route, guarded, either],
        exception_handlers=exception_handlers,
        dependencies=caller_dependencies,
        state=State({"authenticator": authenticator}),
        openapi_config=None,
        logging_config=None,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize(
    ("path", "credentials", "status", "challenge"),
    [
        ("/public", "bad", 200, None),
        ("/guarded", None, 401, "Bearer"),
        ("/guarded", "bad", 401, 'Bearer error="invalid_token"'),
        ("/guarded", {}, 403, 'Bearer error="insufficient_scope", scope="log:read"'),
        ("/guarded", {"scope": "log:read"}, 200, None),
        ("/guarded", {"scope": "log:read", "organisers": []}, 403, 'Bearer error="insufficient_scope"'),
        ("/either", None, 200, None),
        ("/either", "bad", 401, 'Bearer error="invalid_token"'),
        ("/either", {}, 200, None),
    ],
)
async def test_routes_ask_for_what_they_need(
    client: httpx.AsyncClient, path: str, credentials: str | dict[str, str] | None, status: int, challenge: str | None
) -> None:
    """credentials: the claims of a token that is made now, or what is no token."""
    presented = token(**credentials) if isinstance(credentials, dict) else (credentials or "").encode()
    headers = {b"authorization": b"Bearer " + presented} if presented else {}
    answer = await client.get(path, headers=headers)
    assert (answer.status_code, answer.headers.get("www-authenticate")) == (status, challenge)
