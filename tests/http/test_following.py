"""Following the log over HTTP, as server-sent events. Section 3 of the contract."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest_asyncio

from services.embedded.readiness import wait_until
from tests.installation import (
    READY_S,
    Installation,
    event,
    objective,
    post,
    publish_certification,
    register_persons,
    registration,
)

SSE = {"Accept": "text/event-stream"}
ANSWER_S = 20.0


async def messages(response: httpx2.Response) -> AsyncIterator[tuple[int, bytes]]:
    """Position and bytes of each event."""
    position = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            position = value
        elif name == "data":
            yield int(position), value.encode()


@pytest_asyncio.fixture(autouse=True)
async def followed(client: httpx2.AsyncClient) -> None:
    """An installation is ready before its followers first run; until then filtered reads answer 503."""

    async def found() -> bool:
        return (await client.get("/v1/log/entries", params={"tag": "bloc:no-such"})).status_code == 200

    assert await wait_until(found, READY_S)


async def test_what_is_posted_comes_to_those_who_follow(client: httpx2.AsyncClient) -> None:
    head = (await post(client, objective())).json()["position"]
    url = "/v1/log/entries"
    async with client.stream("GET", url, params={"after": head - 1}, headers=SSE) as response:
        assert (response.status_code, int(response.headers["registry-position"])) == (200, head)
        coming = messages(response)
        async with asyncio.timeout(ANSWER_S):
            assert (await anext(coming))[0] == head
            for _ in range(3):
                receipt = (await post(client, objective())).json()
                position, entry = await anext(coming)
                assert position == receipt["position"]
                assert entry == (await client.get(f"{url}/{position}")).content
    async with client.stream("GET", url, params={"after": 0}, headers=SSE | {"Last-Event-ID": str(head)}) as response:
        async with asyncio.timeout(ANSWER_S):
            assert (await anext(messages(response)))[0] == head + 1


async def test_who_follows_a_certification_gets_what_names_it(client: httpx2.AsyncClient) -> None:
    one, other = [await publish_certification(client) for _ in range(2)]
    (person_id,) = await register_persons(client, 1)
    params = {"tag": f"certification:{one}"}
    async with client.stream("GET", "/v1/log/entries", params=params, headers=SSE) as response:
        coming = messages(response)
        async with asyncio.timeout(ANSWER_S):
            assert one.encode() in (await anext(coming))[1]
            await post(client, event("candidate.registered", registration(person_id, other)))
            receipt = await post(client, event("candidate.registered", registration(person_id, one)))
            assert (await anext(coming))[0] == receipt.json()["position"]


async def test_a_filtered_read_knows_what_was_posted_before(client: httpx2.AsyncClient) -> None:
    """The view of tags follows the log, and a read waits for it."""
    for _ in range(10):
        certification_id = await publish_certification(client)
        answer = await client.get("/v1/log/entries", params={"tag": f"certification:{certification_id}"})
        assert answer.content.count(b"\n") == 1


async def test_following_needs_the_scope_of_history(installation: Installation) -> None:
    async with installation.client("persons:read") as client:
        assert (await client.get("/v1/log/entries", headers=SSE)).status_code == 403
