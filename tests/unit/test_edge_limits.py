"""How much may be asked: quotas that refill, requests at once, and what is remembered of clients."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry

from services.edge.keys import FileKeys
from services.edge.limits import CLIENTS_MAX, WINDOW_S, Bounds, Client, Limits, Policy
from services.edge.metrics import Metrics
from services.edge.outer import Outer
from services.edge.tokens import Authenticator
from tests.unit.edge_issuer import AUDIENCE, ISSUER, document, token


class Door:
    """An application that answers once it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.entered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered += 1
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
def door() -> Door:
    return Door()


def limited(tmp_path: Path, door: Door, **bounds: int) -> Limits:
    (tmp_path / "jwks.json").write_bytes(document())
    authenticator = Authenticator(FileKeys(tmp_path / "jwks.json"), issuer=ISSUER, audience=AUDIENCE)
    wide = {"requests": 1_000, "anonymous": 1_000, "in_flight": 100, "in_flight_all": 100}
    return Limits(door, authenticator, Bounds(**(wide | bounds)))


def client_of(limits: Limits, address: str = "192.0.2.1", **claims: Any) -> httpx.AsyncClient:
    """A client with a token of these claims; without any, it has no token."""
    outer: Any = Outer(limits, Metrics(CollectorRegistry()))
    headers = {"Authorization": f"Bearer {token(**claims).decode()}"} if claims else {}
    transport = httpx.ASGITransport(outer, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


def remaining(answer: httpx.Response) -> int:
    found = re.fullmatch(r'"\w+";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found
    return int(found[1])


async def test_each_answer_tells_the_quota_and_what_is_left(
    tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.limits.monotonic", lambda: 0.0)  # nothing refills
    client = client_of(limited(tmp_path, door, requests=50), client_id="hr")
    first, second = await client.get("/"), await client.get("/")
    assert first.headers["ratelimit-policy"] == '"client";q=50;w=10'
    assert (remaining(first), remaining(second)) == (49, 48)


async def test_beyond_the_quota_a_request_is_refused_and_told_when_to_come_again(tmp_path: Path, door: Door) -> None:
    client = client_of(limited(tmp_path, door, requests=2), client_id="hr")
    statuses = [(await client.get("/")).status_code for _ in range(2)]
    refused = await client.get("/")
    assert (statuses, refused.status_code) == ([200, 200], 429)
    assert door.entered == 2
    assert refused.headers["content-type"] == "application/problem+json"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= WINDOW_S / 2
    assert refused.headers["ratelimit"] == f'"client";r=0;t={wait_s}'
    problem = refused.json()
    assert (problem["type"], problem["policy"]) == ("/problems/too-many-requests", "client")
    assert (problem["requests_max"], problem["window_s"]) == (2, WINDOW_S)


async def test_clients_have_quotas_of_their_own_whatever_their_tokens(tmp_path: Path, door: Door) -> None:
    limits = limited(tmp_path, door, requests=2)
    for number in range(2):
        assert (await client_of(limits, client_id="hr", nonce=number).get("/")).status_code == 200
    assert (await client_of(limits, client_id="hr", nonce=3).get("/")).status_code == 429, "another token, one client"
    assert (await client_of(limits, client_id="other").get("/")).status_code == 200


@pytest.mark.parametrize("claims", [{}, {"iss": "https://other.test"}], ids=["no token", "a token that is no good"])
async def test_without_a_good_token_the_address_counts(tmp_path: Path, door: Door, claims: dict[str, Any]) -> None:
    limits = limited(tmp_path, door, anonymous=1)
    assert (await client_of(limits, **claims).get("/")).status_code == 200
    refused = await client_of(limits, **claims).get("/")
    assert (refused.status_code, refused.json()["policy"]) == (429, "address")
    assert (await client_of(limits, "192.0.2.2", **claims).get("/")).status_code == 200
    assert (await client_of(limits, client_id="hr").get("/")).status_code == 200


async def test_an_ipv6_network_counts_as_one(tmp_path: Path, door: Door) -> None:
    limits = limited(tmp_path, door, anonymous=1)
    assert (await client_of(limits, "2001:db8::1").get("/")).status_code == 200
    assert (await client_of(limits, "2001:db8::ffff:2").get("/")).status_code == 429
    assert (await client_of(limits, "2001:db8:0:1::1").get("/")).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_whoever_watches_is_never_refused(tmp_path: Path, door: Door, path: str) -> None:
    client = client_of(limited(tmp_path, door, anonymous=1, in_flight=1, in_flight_all=1))
    assert [(await client.get(path)).status_code for _ in range(5)] == [200] * 5


async def test_a_client_has_so_many_requests_under_way_and_no_more(tmp_path: Path, door: Door) -> None:
    limits = limited(tmp_path, door, in_flight=2)
    door.open.clear()
    under_way = [asyncio.create_task(client_of(limits, client_id="hr").get("/")) for _ in range(2)]
    while door.entered < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    refused = await client_of(limits, client_id="hr").get("/")
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["in_flight_max"]) == (503, "1", 2)
    other = asyncio.create_task(client_of(limits, client_id="other").get("/"))
    door.open.set()
    assert [answer.status_code for answer in await asyncio.gather(*under_way, other)] == [200] * 3
    assert (await client_of(limits, client_id="hr").get("/")).status_code == 200, "those that ended count no more"


async def test_all_together_have_so_many_requests_under_way_and_no_more(tmp_path: Path, door: Door) -> None:
    limits = limited(tmp_path, door, in_flight_all=2)
    door.open.clear()
    under_way = [asyncio.create_task(client_of(limits, client_id=name).get("/")) for name in ("a", "b")]
    while door.entered < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    refused = await client_of(limits, client_id="c").get("/")
    assert (refused.status_code, refused.json()["in_flight_max"]) == (503, 2)
    for task in under_way:
        task.cancel()  # the clients have left
    await asyncio.gather(*under_way, return_exceptions=True)
    door.open.set()
    assert (await client_of(limits, client_id="c").get("/")).status_code == 200


async def test_what_is_remembered_is_bounded(tmp_path: Path, door: Door) -> None:
    limits = limited(tmp_path, door)
    for number in range(CLIENTS_MAX + 10):
        limits.remembered(f"client {number}")
    assert limits.remembered_count == CLIENTS_MAX


@given(st.integers(1, 50), st.lists(st.floats(0, 5), max_size=200))
def test_no_window_ever_lets_more_than_twice_the_quota_through_nor_less_than_it_says(
    quota: int, pauses: list[float]
) -> None:
    """A quota that refills steadily: whole at first, and in each window refilled once."""
    policy, client, now, taken = Policy("p", quota), Client(), 1_000.0, list[float]()
    for pause in pauses:
        now += pause
        left, more_in_s = policy.take(client, now)
        if left >= 0:
            taken.append(now)
        else:
            assert more_in_s >= 1
            again = policy.take(client, now + more_in_s)
            assert again[0] >= 0, "who waits as told is let in"
            now += more_in_s
            taken.append(now)
    for begin in taken:
        assert sum(begin <= at < begin + WINDOW_S for at in taken) <= 2 * quota
    assert policy.take(Client(), now)[0] == quota - 1
