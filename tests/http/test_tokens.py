"""Tokens that are forged, of another use or of another time, and requests that look for a way around them.

The installation's own key signs what is not forged, so that each token is wrong in one thing only.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import AUDIENCE, ISSUER, KEY_ID, Issuer
from tests.installation import Installation, objective, post

PROTECTED = "/v1/log/entries?limit=1"


Sign = Callable[[bytes], bytes]


def by_key(key: Any) -> Sign:
    """A true signature of an elliptic curve's or an RSA key."""
    algorithm: Any = ECAlgorithm(ECAlgorithm.SHA256) if isinstance(key, ec.EllipticCurvePrivateKey) else RS256
    return lambda content: bytes(algorithm.sign(content, key))


def by_secret(secret: bytes) -> Sign:
    """HMAC-SHA-256 with any secret: libraries refuse to make it with a public key."""

    def sign(content: bytes) -> bytes:
        mac = HMAC(secret, hashes.SHA256())
        mac.update(content)
        return mac.finalize()

    return sign


class Forge:
    """Makes tokens: good ones, but for what is given."""

    def __init__(self, installation: Installation) -> None:
        folder = DataFolder(installation.data)
        Issuer(folder)
        key = load_pem_private_key((folder.path / "issuer.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self.jwks = (folder.path / "jwks.json").read_bytes()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A claim of None is left out."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "client_id": "hr", "scope": "log:read"}
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, **claims: Any) -> str:
        return self.made({}, **claims)

    def made(self, header: dict[str, Any], sign: Sign | None = None, **claims: Any) -> str:
        """A token with this header beside the usual one, signed truly or as given."""
        parts = ({"alg": "ES256", "typ": "JWT", "kid": KEY_ID} | header, self.claims(**claims))
        content = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        return (content + b"." + _base64((sign or by_key(self.key))(content))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.fixture(scope="module")
def forge(installation: Installation) -> Forge:
    return Forge(installation)


async def said(installation: Installation, *authorizations: str, path: str = PROTECTED) -> tuple[int, str]:
    """Status and kind of problem of a GET with these Authorization headers."""
    async with httpx2.AsyncClient(base_url=installation.url) as client:
        answer = await client.get(path, headers=[("Authorization", value) for value in authorizations])
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["type"]


UNAUTHENTICATED = (401, "/problems/unauthenticated")
SCOPE_MISSING = (403, "/problems/scope-missing")


async def test_the_forge_makes_good_tokens(installation: Installation, forge: Forge) -> None:
    """Without this the refusals below would prove nothing."""
    now = int(time.time())
    for claims in ({}, {"aud": ["other", AUDIENCE]}, {"nbf": now, "iat": now}, {"scope": "a log:read b"}):
        assert await said(installation, f"Bearer {forge.token(**claims)}") == (200, "")
    for header in ({"typ": "at+jwt"}, {"typ": "application/at+jwt"}, {"unknown": 1}):
        assert await said(installation, f"Bearer {forge.made(header)}") == (200, "")


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "other"},
    "an audience in other case": {"aud": AUDIENCE.upper()},
    "part of the audience": {"aud": AUDIENCE[:-1]},
    "a list of other audiences": {"aud": ["other", f"{AUDIENCE}/x"]},
    "an empty list of audiences": {"aud": []},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://other.example"},
    "an issuer that begins alike": {"iss": f"{ISSUER}.example"},
    "a list of issuers": {"iss": [ISSUER]},
    "no issuer": {"iss": None},
    "expired": {"exp": 1_600_000_000},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "never"},
    "not valid yet": {"nbf": 4_000_000_000},
    "issued in the future": {"iat": 4_000_000_000},
    "no client": {"client_id": None},
    "an empty client": {"client_id": ""},
    "scopes as a list": {"scope": ["log:read"]},
    "organisers as a word": {"organisers": "afpi-lyon"},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_a_wrong_claim_is_refused(installation: Installation, forge: Forge, claims: dict[str, Any]) -> None:
    assert await said(installation, f"Bearer {forge.token(**claims)}") == UNAUTHENTICATED


OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_JWK = ECAlgorithm.to_jwk(OTHER_KEY.public_key(), as_dict=True) | {"kid": "mine", "alg": "ES256"}
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
WEAK_JWK = RSAAlgorithm.to_jwk(WEAK.public_key(), as_dict=True)
RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
EVIL_URL = "https://evil.example/jwks.json"


def forged(forge: Forge) -> Iterator[tuple[str, str]]:
    """Tokens that nobody should believe, and what is wrong with each."""
    made, other = forge.made, by_key(OTHER_KEY)
    for none in ("none", "None", "NONE", "nOnE", "", None):
        yield f"alg {none!r}", made({"alg": none}, lambda _: b"")
        yield f"alg {none!r}, truly signed", made({"alg": none})
    public = forge.key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM without its last line end": pem.strip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "JWKS": forge.jwks,
        "JWK": json.dumps(json.loads(forge.jwks)["keys"][0]).encode(),
        "nothing": b"",
    }
    for name, secret in secrets.items():
        yield f"HS256 by the public key as {name}", made({"alg": "HS256"}, by_secret(secret))
    for algorithm in ("ES384", "RS256", "PS256", "EdDSA", "es256"):
        yield f"truly signed, called {algorithm}", made({"alg": algorithm})
    yield "signed by another key", made({}, other)
    for kid in ("mine", "", "../../../dev/null", "/dev/null", f"{KEY_ID}\x00", f"{KEY_ID} ", "' OR '1'='1", "x" * 5000):
        yield f"another key as {kid[:20]!r}", made({"kid": kid}, other)
        yield f"the true key as {kid[:20]!r}", made({"kid": kid})
        yield f"no secret under {kid[:20]!r}", made({"alg": "HS256", "kid": kid}, by_secret(b""))
    for odd in (7, [KEY_ID], {"kid": KEY_ID}):
        yield f"the kid {odd!r}", made({"kid": odd})
    own = {"kid": "mine", "jwk": OTHER_JWK}
    for header in (own, own | {"kid": KEY_ID}, {"jku": EVIL_URL}, {"x5u": EVIL_URL}, {"x5c": ["MIIB"]}):
        yield f"a key that it brings itself: {', '.join(header)}", made(header, other)
    for header in ({"kid": "weak"}, {"jwk": WEAK_JWK}, {}):
        yield f"a weak key: {', '.join(header)}", made({"alg": "RS256"} | header, by_key(WEAK))
    for critical in (["exp"], ["urn:unknown"], [], "exp", [7], {}):
        yield f"crit {critical!r}", made({"crit": critical, "urn:unknown": 1})
    yield "crit b64", made({"crit": ["b64"], "b64": False})
    for typ in ("logout+jwt", "dpop+jwt", "id_token", "JWE", 7):
        yield f"typ {typ!r}", made({"typ": typ})
    header, claims, signature = forge.token().split(".")
    more = _base64(json.dumps(forge.claims(scope="log:read ops:read")).encode()).decode()
    yield "other claims", f"{header}.{more}.{signature}"
    yield "no signature", f"{header}.{claims}."
    yield "half of it", f"{header}.{claims}"
    yield "a part more", f"{header}.{claims}.{signature}.{signature}"
    yield "zeros as signature", f"{header}.{claims}.{_base64(bytes(64)).decode()}"
    yield "quotes", f'"{header}.{claims}.{signature}"'
    yield "two tokens", f"{header}.{claims}.{signature}, Bearer {header}.{claims}.{signature}"


async def test_a_forged_token_is_refused(installation: Installation, forge: Forge) -> None:
    believed = []
    async with httpx2.AsyncClient(base_url=installation.url) as client:
        for name, token in forged(forge):
            answer = await client.get(PROTECTED, headers={"Authorization": f"Bearer {token}"})
            posted = await post(client, objective(), token=token)  # the way past the framework
            if (answer.status_code, posted.status_code) != (401, 401):
                believed.append((name, answer.status_code, posted.status_code))
    assert believed == []


async def test_a_token_is_presented_once_and_in_its_header(installation: Installation, forge: Forge) -> None:
    good, bad = f"Bearer {forge.token()}", f"Bearer {forge.token(exp=1)}"
    for values in ((good, bad), (bad, good), (good, good), (good, "Basic eDp5")):
        assert await said(installation, *values) == UNAUTHENTICATED
    token = forge.token(scope="log:read catalogue:write", sources=[""])
    for path in (f"{PROTECTED}&access_token={token}", f"{PROTECTED}&authorization=Bearer+{token}"):
        assert await said(installation, path=path) == UNAUTHENTICATED
    for scheme in ("Basic", "Token", "JWT", "Bearer:", "", "DPoP"):
        assert await said(installation, f"{scheme} {forge.token()}".strip()) == UNAUTHENTICATED
    async with httpx2.AsyncClient(base_url=installation.url, cookies={"access_token": token}) as client:
        assert (await client.get(PROTECTED)).status_code == 401
        content_type = {"Content-Type": "application/cloudevents+json"}
        for headers in ([("Authorization", good)] * 2, [("X-Authorization", good)], [("Proxy-Authorization", good)]):
            answer = await client.post("/v1/events", json=objective(), headers=[*content_type.items(), *headers])
            assert answer.status_code == 401, headers


@pytest.mark.parametrize(
    "scope",
    [
        None,
        "",
        "log",
        "log:rea",
        "log:reads",
        "LOG:READ",
        "log:read,ops:read",
        "log:read:all",
        "xlog:read",
        "log:*",
        "*",
    ],
)
async def test_a_scope_is_a_whole_word(installation: Installation, forge: Forge, scope: str | None) -> None:
    assert await said(installation, f"Bearer {forge.token(scope=scope)}") == SCOPE_MISSING


async def test_a_scope_of_one_thing_is_none_of_another(installation: Installation, forge: Forge) -> None:
    scopes = "catalogue:write registrations:write evaluations:write awards:write persons:write persons:read"
    assert await said(installation, f"Bearer {forge.token(scope=scopes + ' registrations:read')}") == SCOPE_MISSING
    assert await said(installation, f"Bearer {forge.token()}", path="/v1/ops/followers") == SCOPE_MISSING


TARGETS = [
    "//v1/log/entries",
    "/v1//log/entries",
    "/v1/log//entries",
    "/v1/log/entries/",
    "/v1/log/entries/1/",
    "/v1/./log/entries",
    "/v1/persons/../log/entries",
    "/health/live/../../v1/log/entries",
    "/health/live/%2e%2e/%2e%2e/v1/log/entries",
    "/docs/../v1/log/entries",
    "/docs/static/../../v1/log/entries",
    "/v1/log%2fentries",
    "/v1/%6cog/entries",
    "/V1/LOG/ENTRIES",
    "/v1/log/entries;public",
    "/v1/log/entries%00",
    "/v1/log/entries%20",
    "/v1/log/entries%3Flimit=1",
    "/v1/log/entries.json",
    "/v1/log/entries?limit=1&method=OPTIONS",
    "/v1/log/entries#/health/live",
    "/v1/certificates/../log/entries",
    "/v1/certificates/%2e%2e/log/entries",
    "/v1/certificates/..%2flog%2fentries",
    "/v1/persons/00000000-0000-4000-8000-000000000000/history/../../../log/entries",
    "/log/tile/entries/000.p/1",
    "/log/tile/0/../entries/000.p/1",
    "/log/tile/0/%2e%2e/entries/000.p/1",
    "/log/tile/0/..%2fentries%2f000.p%2f1",
    "/log/tile/entries/../entries/000.p/1",
    "/log//tile/entries/000.p/1",
    "/log/tile//entries/000.p/1",
    "/log/tile/0/000.p/1/../../../entries/000.p/1",
    "/docs/static/../../../../issuer.pem",
    "/docs/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/docs/static//etc/passwd",
    "http://registry/v1/log/entries",
    "*",
]
OVERRIDES = [
    "X-HTTP-Method-Override: GET",
    "X-HTTP-Method: GET",
    "X-Method-Override: OPTIONS",
    "X-Original-URL: /health/live",
    "X-Rewrite-URL: /health/live",
    "X-Forwarded-Prefix: /health",
    "X-Forwarded-For: 127.0.0.1",
    "Forwarded: for=127.0.0.1",
]


async def raw(installation: Installation, method: str, target: str, *headers: str) -> tuple[int, bytes]:
    """Status and the rest of an answer to a request line as it is given: clients would tidy it up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    lines = [f"{method} {target} HTTP/1.1", "Host: registry", "Connection: close", "Content-Length: 0", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


NOT_SHOWN = {400, 401, 404, 405}


async def test_no_spelling_of_an_address_goes_around_the_token(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    posted = (await post(client, objective())).json()
    shown = []
    for target in TARGETS:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "PROPFIND"):
            status, answer = await raw(installation, method, target)
            harmless = status in NOT_SHOWN or (method == "OPTIONS" and status == 204)
            if not harmless or b"specversion" in answer or posted["id"].encode() in answer or b"root:" in answer:
                shown.append((method, target, status))
    assert shown == []


@pytest.mark.parametrize("header", OVERRIDES)
async def test_no_header_goes_around_the_token(installation: Installation, header: str) -> None:
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        status, answer = await raw(installation, method, "/v1/log/entries?limit=1", header)
        assert status in NOT_SHOWN or (method == "OPTIONS" and status == 204)
        assert b"specversion" not in answer


async def test_a_method_that_only_looks_asks_for_the_scope_as_well(installation: Installation, forge: Forge) -> None:
    """HEAD tells sizes and positions: it is guarded as GET is."""
    async with httpx2.AsyncClient(base_url=installation.url) as client:
        for scope, status in (("log:read", 200), ("persons:read", 403)):
            token = forge.token(scope=scope)
            answer = await client.head("/v1/log/entries", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status
            assert ("registry-position" in answer.headers) is (status == 200)
