"""How much one client, and all together, may ask of this process: requests in a time, and requests at once."""

import ipaddress
from collections import OrderedDict
from math import ceil
from time import monotonic
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from contracts.problems import Problem, TooManyRequests, Unavailable
from services.edge.outer import ANSWER_HEADERS
from services.edge.problems import Headers
from services.edge.tokens import Authenticator, Caller

WINDOW_S = 10
TOLERANCE_S = 1e-6
"""Sums of parts of the window are no exact numbers."""

CLIENTS_MAX = 10_000
"""So many clients are remembered. One that is forgotten begins anew with its whole quota."""

UNLIMITED = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Whoever watches the registry must reach it most when it has much to do."""


class Bounds(Struct, frozen=True, kw_only=True):
    """requests: of a client that shows a token, in `WINDOW_S`. anonymous: of an address without one, in the same time.
    in_flight: at once, of a client or an address. in_flight_all: at once, of all."""

    requests: int
    anonymous: int
    in_flight: int
    in_flight_all: int


class Client:
    """One who asks. `full_at`: when its quota is whole again, if it asks nothing more."""

    __slots__ = ("full_at", "in_flight")

    def __init__(self) -> None:
        self.full_at = 0.0
        self.in_flight = 0


class Place(NamedTuple):
    """What a request has that was let in. headers: of its answer."""

    client: Client
    headers: Headers


class Policy:
    """A quota that refills steadily (GCRA): each request costs an equal part of the window."""

    def __init__(self, name: str, quota: int) -> None:
        self.name = name
        self.quota = quota
        self.cost_s = WINDOW_S / quota
        self.header = (b"ratelimit-policy", f'"{name}";q={quota};w={WINDOW_S}'.encode())
        self._limit = f'"{name}";r=%d;t=%d'.encode()

    def take(self, client: Client, now: float) -> tuple[int, int]:
        """Take one request off the client's quota: how many are left, and in how many seconds there will be more.

        (-1, seconds) when there is none to take.
        """
        full_at = max(client.full_at, now) + self.cost_s
        left_s = WINDOW_S - (full_at - now)
        if left_s < -TOLERANCE_S:
            return -1, ceil(-left_s)
        client.full_at = full_at
        return int(left_s / self.cost_s + TOLERANCE_S), ceil(self.cost_s)

    def headers(self, left: int, more_in_s: int) -> Headers:
        """draft-ietf-httpapi-ratelimit-headers-10, for one policy."""
        return [self.header, (b"ratelimit", self._limit % (max(left, 0), more_in_s))]

    def refusal(self, wait_s: int) -> TooManyRequests:
        return TooManyRequests(
            f"More than {self.quota} requests in {WINDOW_S} s; the next one is taken in {wait_s} s.",
            retry_after_s=wait_s,
            policy=self.name,
            requests_max=self.quota,
            window_s=WINDOW_S,
        )


class Limits:
    """The ASGI application around another that refuses what is too much. A batch or a stream is one request: the log
    takes a group of their events at a time, and how many go on at once is bounded."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, bounds: Bounds) -> None:
        self._app = app
        self._authenticator = authenticator
        self._bounds = bounds
        self._known, self._unknown = Policy("client", bounds.requests), Policy("address", bounds.anonymous)
        self._clients: OrderedDict[str, Client] = OrderedDict()
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._bounds.in_flight_all:
            raise _busy("The registry answers as many requests at once as it can.", self._bounds.in_flight_all)
        self._in_flight += 1
        try:
            client, policy = await self._client(scope)
            left, more_in_s = policy.take(client, monotonic())
            scope[ANSWER_HEADERS] = policy.headers(left, more_in_s)  # type: ignore[literal-required]
            if left < 0:
                raise policy.refusal(more_in_s)
            if client.in_flight >= self._bounds.in_flight:
                raise _busy("The client has as many requests under way as it may.", self._bounds.in_flight)
            client.in_flight += 1
            try:
                await self._app(scope, receive, send)
            finally:
                client.in_flight -= 1
        finally:
            self._in_flight -= 1

    def let_in(self, caller: Caller) -> Place | None:
        """Let a request of a known client in, until `let_out`; None, with nothing taken, where it would be too much."""
        client = self.remembered(f"client {caller.client_id}")
        if self._in_flight >= self._bounds.in_flight_all or client.in_flight >= self._bounds.in_flight:
            return None
        left, more_in_s = self._known.take(client, monotonic())
        if left < 0:
            return None
        self._in_flight += 1
        client.in_flight += 1
        return Place(client, self._known.headers(left, more_in_s))

    def let_out(self, place: Place) -> None:
        """The request that was let in is answered."""
        place.client.in_flight -= 1
        self._in_flight -= 1

    @property
    def remembered_count(self) -> int:
        return len(self._clients)

    async def _client(self, scope: Scope) -> tuple[Client, Policy]:
        """Who asks: a client by its token, anybody else by the address, also who shows a token that is no good."""
        try:
            caller = await self._authenticator.caller_in(scope)
            return self.remembered(f"client {caller.client_id}"), self._known
        except Problem:
            pass  # the route itself tells, or does not ask
        address = scope["client"]
        return self.remembered(_network(address[0]) if address else "?"), self._unknown

    def remembered(self, name: str) -> Client:
        """What is known of a client or an address; the one longest unseen is forgotten for a new one."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = Client()
            if len(self._clients) > CLIENTS_MAX:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(name)
        return client


def _network(address: str) -> str:
    """An address, or the /64 of an IPv6 address: who has one of those has them all."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _busy(detail: str, in_flight_max: int) -> Unavailable:
    return Unavailable(detail, in_flight_max=in_flight_max)
