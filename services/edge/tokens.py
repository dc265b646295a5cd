"""Bearer tokens: who calls, and what they may do (RFC 6750, RFC 9068)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jwt
import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from contracts.envelope import REGISTRY_SOURCE
from contracts.problems import OrganiserNotAllowed, ScopeMissing, SourceNotAllowed, Unauthenticated
from services.edge.keys import Keys

LEEWAY_S = 30
TOKEN_BYTES_MAX = 16_384
VERIFIED_MAX = 4_096

KEYS_LOOK_S = 0.05
"""How often a request in the express lane has the keys looked at: to look at a file takes longer than all the rest."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The header `typ` of access tokens, where there is one: what the issuer signs for another use is none (RFC 8725)."""

REQUIRED = ["exp", "iss", "aud", "client_id"]

CALLER_SHOWN = "certibranche.caller"
"""Where in a request's scope its caller is, once a layer has asked for it; it is not there without a good token."""

Connection = ASGIConnection[Any, Any, Any, Any]


class Caller(msgspec.Struct, frozen=True):
    """The system that calls. `sources` are prefixes; `claims` are the token's, as verified.

    organisers: those whose registrations it is limited to; None: it is not limited.
    """

    client_id: str
    scopes: frozenset[str]
    sources: tuple[str, ...]
    claims: Mapping[str, Any]
    organisers: frozenset[str] | None = None

    def require(self, scope: str) -> None:
        """Raise ScopeMissing unless the token holds the scope."""
        if scope not in self.scopes:
            raise ScopeMissing(f"The token does not hold the scope {scope}.", scope=scope)

    def sees_all(self, scope: str) -> bool:
        """Whether the token holds the scope, and is not limited to some organisers."""
        return scope in self.scopes and self.organisers is None

    def require_all(self, scope: str) -> None:
        """Raise ScopeMissing without the scope, OrganiserNotAllowed when the token is limited to some organisers."""
        self.require(scope)
        if self.organisers is not None:
            raise OrganiserNotAllowed("The token is limited to registrations of some organisers; this is about all.")

    def allows_source(self, source: str) -> bool:
        """Whether a prefix covers the source. A prefix ends at `:` or `/` or the end; the empty one covers any."""
        return "" in self.sources or any(_covers(prefix, source) for prefix in self.sources)

    def require_source(self, source: str) -> None:
        """Raise SourceNotAllowed unless a prefix covers the source; always for the registry's own."""
        if source == REGISTRY_SOURCE:
            raise SourceNotAllowed(f"Facts of the source {source} are made by the registry alone.", source=source)
        if not self.allows_source(source):
            raise SourceNotAllowed(f"The token may not post facts of the source {source}.", source=source)


def _covers(prefix: str, source: str) -> bool:
    if not prefix or source == prefix:
        return True
    return source.startswith(prefix) and (prefix[-1] in ":/" or source[len(prefix)] in ":/")


def invalid_token(detail: str) -> Unauthenticated:
    """A token was presented, and it is no good."""
    return Unauthenticated(detail, error="invalid_token")


def bearer_token(presented: bytes) -> bytes | None:
    """The token in an Authorization header's value; None where it holds none that could be one."""
    scheme, _, credentials = presented.partition(b" ")
    token = credentials.strip()
    return token if scheme.lower() == b"bearer" and 0 < len(token) <= TOKEN_BYTES_MAX else None


class Authenticator:
    """Verifies tokens of one issuer for one audience. Verified ones are remembered, by digest, until they expire."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
        self._verified: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._verified_with = -1
        self._looked_at = float("-inf")

    async def caller_in(self, scope: Scope) -> Caller:
        """The caller of a request, found once however many layers ask. Unauthenticated without a valid token."""
        known: dict[str, Any] = scope  # type: ignore[assignment]
        caller: Caller | None = known.get(CALLER_SHOWN)
        if caller is None:
            caller = known[CALLER_SHOWN] = await self.caller(authorization(scope["headers"]))
        return caller

    async def caller(self, presented: bytes | None) -> Caller:
        """The caller of an Authorization header's value; Unauthenticated without a valid token."""
        if presented is None:
            raise Unauthenticated("This needs a bearer token in the Authorization header.")
        token = bearer_token(presented)
        if token is None:
            raise invalid_token("The Authorization header holds no bearer token.")
        digest = hashlib.sha256(token).digest()
        self._look_at_keys()
        if (remembered := self._remembered(digest)) is not None:
            return remembered
        claims = await self._verify(token)
        caller = caller_of(claims)
        self._verified[digest] = (float(claims["exp"]), caller)
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return caller

    def remembered(self, presented: bytes) -> Caller | None:
        """The caller of an Authorization header's value whose token was verified before, and is valid still.

        A key that was withdrawn in the last `KEYS_LOOK_S` may not have been noticed.
        """
        if time.monotonic() - self._looked_at > KEYS_LOOK_S:
            self._look_at_keys()
        token = bearer_token(presented)
        return None if token is None else self._remembered(hashlib.sha256(token).digest())

    def _look_at_keys(self) -> None:
        self._looked_at = time.monotonic()
        if (version := self.keys.version()) != self._verified_with:
            self._verified.clear()
            self._verified_with = version

    def _remembered(self, digest: bytes) -> Caller | None:
        known = self._verified.get(digest)
        if known is None or time.time() >= known[0]:
            return None
        self._verified.move_to_end(digest)
        return known[1]

    async def _verify(self, token: bytes) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "JWT")).lower() not in TYPES:
                raise invalid_token("The token is of a type that is no access token's.")
            key = await self.keys.find(header.get("kid"))
            if key is None:
                raise invalid_token("The token is signed by a key its issuer does not publish.")
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY_S,
                options={"require": REQUIRED},
            )
        except jwt.ExpiredSignatureError as error:
            raise invalid_token("The token has expired.") from error
        except jwt.InvalidIssuerError as error:
            raise invalid_token("The token is of another issuer.") from error
        except jwt.InvalidAudienceError as error:
            raise invalid_token("The token is for another audience.") from error
        except jwt.ImmatureSignatureError as error:
            raise invalid_token("The token is not valid yet.") from error
        except jwt.MissingRequiredClaimError as error:
            raise invalid_token(f"The token lacks the claim {error.claim}.") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise invalid_token("The token is malformed, or its signature is wrong.") from error


def caller_of(claims: Mapping[str, Any]) -> Caller:
    """The caller of verified claims; Unauthenticated when one is malformed."""
    client_id, scope, sources = claims["client_id"], claims.get("scope", ""), claims.get("sources", [])
    organisers = claims.get("organisers", [])
    if not isinstance(client_id, str) or not 1 <= len(client_id) <= 255 or not client_id.isprintable():
        raise invalid_token("The claim client_id is malformed.")
    if not isinstance(scope, str):
        raise invalid_token("The claim scope is malformed.")
    for name, listed in (("sources", sources), ("organisers", organisers)):
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise invalid_token(f"The claim {name} is malformed.")
    limit = frozenset(organisers) if "organisers" in claims else None
    return Caller(client_id, frozenset(scope.split()), tuple(sources), claims, limit)


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The value of the Authorization header; Unauthenticated when there are two: each hop would believe its own."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) > 1:
        raise Unauthenticated("The request has more than one Authorization header.", error="invalid_request")
    return values[0] if values else None


async def _caller(connection: Connection) -> Caller:
    authenticator: Authenticator = connection.app.state["authenticator"]
    return await authenticator.caller_in(connection.scope)


async def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The dependency of a route that needs to know its caller: 401 without a valid token."""
    return await _caller(request)


async def provide_caller_if_any(request: Request[Any, Any, Any]) -> Caller | None:
    """The dependency of a public route that shows more to some: None without a token, 401 with a bad one."""
    return None if authorization(request.scope["headers"]) is None else await _caller(request)


CALLER, CALLER_IF_ANY = "caller", "caller_if_any"

caller_dependencies = {CALLER: Provide(provide_caller), CALLER_IF_ANY: Provide(provide_caller_if_any)}
"""For `Litestar(dependencies=…)`; resolved only by routes that ask. The application's state holds `authenticator`."""


class Registrants(Protocol):
    """Knows the organisers of registrations. The application's state holds one as `registrants`."""

    async def organisers_of(self, kind: Literal["person", "registration"], id_: str) -> frozenset[str] | None:
        """The organisers of the registration, or of all the person's; None when there is no such thing."""


About = Literal["all", "person", "registration", "caller"]


@dataclass(frozen=True)
class Requires:
    """The guard of a route that needs a scope; the OpenAPI document reads it too.

    about: what a client that is limited to some organisers is shown, or may change, here. `person` and `registration`:
    the one of the path's `person_id` or `registration_id`, which must be, or have, a registration of theirs. `caller`:
    only what it brings itself. `all`: things of anybody, so it is refused.
    """

    scope: str
    about: About = "all"

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        caller = await _caller(connection)
        if self.about == "all":
            caller.require_all(self.scope)
            return
        caller.require(self.scope)
        if caller.organisers is not None and self.about != "caller":
            await self._require_theirs(connection, caller.organisers, self.about)

    async def _require_theirs(
        self, connection: Connection, organisers: frozenset[str], kind: Literal["person", "registration"]
    ) -> None:
        registrants: Registrants = connection.app.state["registrants"]
        id_ = connection.path_params[f"{kind}_id"]
        found = await registrants.organisers_of(kind, id_)
        if found is not None and organisers.isdisjoint(found):  # of what there is not the route itself tells
            raise OrganiserNotAllowed(
                f"The token is limited to organisers that have no part in this {kind}.", **{f"{kind}_id": id_}
            )
