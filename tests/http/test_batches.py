"""Batches of events: in order, each sees those before it; or all or nothing."""

from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from tests.installation import (
    certification,
    event,
    objective,
    post,
    publish_certification,
    register_persons,
    registration,
)

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


async def post_batch(client: httpx2.AsyncClient, events: Any, *, atomic: bool = False) -> httpx2.Response:
    return await client.post("/v1/events", json=events, headers=BATCH, params={"atomic": "true"} if atomic else None)


async def head(client: httpx2.AsyncClient) -> int:
    answer = await client.get("/v1/log/entries", params={"after": 2**62})
    return int(answer.headers["registry-position"])


async def test_each_event_gets_its_result_in_order(client: httpx2.AsyncClient) -> None:
    events = [objective() for _ in range(5)]
    answer = await post_batch(client, events)
    assert answer.status_code == 200
    assert list(answer.json()) == ["results"]
    results = answer.json()["results"]
    assert [result["id"] for result in results] == [posted["id"] for posted in events]
    assert [result["status"] for result in results] == [201] * 5
    assert {tuple(sorted(result)) for result in results} == {
        ("data", "id", "position", "recorded_at", "source", "status", "type")
    }
    positions = [result["position"] for result in results]
    assert positions == list(range(positions[0], positions[0] + 5))


@pytest.mark.parametrize("atomic", [False, True])
async def test_each_event_sees_those_before_it(client: httpx2.AsyncClient, atomic: bool) -> None:
    (person_id,) = await register_persons(client, 1)
    published = certification()
    registered = registration(person_id, published["certification_id"])
    closed = {"registration_id": registered["registration_id"], "reason": "WITHDRAWN", "closed_on": "2018-04-01"}
    events = [
        event("certification.published", published),
        event("candidate.registered", registered),
        event("registration.closed", closed),
        event("candidate.registered", registered | {"registration_id": str(uuid4()), "registered_on": "2018-05-01"}),
    ]
    results = (await post_batch(client, events, atomic=atomic)).json()["results"]
    assert [result["status"] for result in results] == [201] * 4


async def test_one_refusal_does_not_stop_the_others(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    certification_id = await publish_certification(client)
    first, second = (event("candidate.registered", registration(person_id, certification_id)) for _ in range(2))
    malformed = objective(data={"year": "soon"})
    events = [first, second, "nonsense", objective(type="certibranche.unknown.fact.v1"), malformed, first, objective()]
    answer = await post_batch(client, events)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 409, 400, 400, 400, 200, 201]
    assert results[1]["rule"] == "R6"
    assert results[5] | {"status": 201} == results[0]
    assert results[6]["position"] == results[0]["position"] + 1


async def test_what_is_wrong_with_one_event_is_its_own_result(client: httpx2.AsyncClient) -> None:
    """Within the array: what is wrong there leaves it an array all the same."""
    good = msgspec.json.encode(objective())
    bad = [
        good.replace(b'"year":', b'"year":1,"year":'),
        good.replace(b'"id":"', b'"id":"\\ud800'),
        good.replace(b'"year"', b'"\\udfff"'),
        b"[" * 400 + b"]" * 400,
    ]
    content = b"[%s]" % b",".join([*bad, good])
    answer = await client.post("/v1/events", content=content, headers=BATCH)
    assert [result["status"] for result in answer.json()["results"]] == [400] * 4 + [201]


async def test_each_event_needs_its_own_permission(installation: Any) -> None:
    async with installation.client("catalogue:write", sources=["urn:a"]) as client:
        events = [objective(source="urn:a"), objective(source="urn:b"), event("jury.held", {}, source="urn:a")]
        results = (await post_batch(client, events)).json()["results"]
    assert [result["status"] for result in results] == [201, 403, 403]
    assert [result["type"] for result in results[1:]] == ["/problems/source-not-allowed", "/problems/scope-missing"]


async def test_an_empty_batch_has_no_results(client: httpx2.AsyncClient) -> None:
    answer = await post_batch(client, [])
    assert (answer.status_code, answer.json()) == (200, {"results": []})


@pytest.mark.parametrize("content", [b"{}", b"null", b"[", b"[NaN]", b"", b"[1,]", b'["\xff"]'])
async def test_what_is_no_array_of_json_is_malformed(client: httpx2.AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/events", content=content, headers=BATCH)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def test_a_batch_has_a_thousand_events_at_most(client: httpx2.AsyncClient) -> None:
    before = await head(client)
    events = [objective() for _ in range(1001)]
    answer = await post_batch(client, events)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    assert await head(client) == before
    results = (await post_batch(client, events[:1000])).json()["results"]
    assert [result["status"] for result in results] == [201] * 1000
    assert await head(client) == before + 1000


async def test_an_atomic_batch_is_recorded_as_a_whole(client: httpx2.AsyncClient) -> None:
    events = [objective() for _ in range(3)]
    answer = await post_batch(client, events, atomic=True)
    assert answer.status_code == 201
    assert [result["status"] for result in answer.json()["results"]] == [201] * 3
    again = await post_batch(client, events, atomic=True)
    assert again.status_code == 200
    assert again.json()["results"] == [result | {"status": 200} for result in answer.json()["results"]]


async def test_identical_retries_count_as_accepted_in_an_atomic_batch(client: httpx2.AsyncClient) -> None:
    known = objective()
    await post(client, known)
    answer = await post_batch(client, [known, objective()], atomic=True)
    assert answer.status_code == 201
    assert [result["status"] for result in answer.json()["results"]] == [200, 201]


@pytest.mark.parametrize(
    ("refused", "status", "slug"),
    [
        (objective(data={"year": 2030}), 400, "malformed"),
        (objective(source="urn:foreign"), 403, "source-not-allowed"),
        (event("jury.held", {}), 403, "scope-missing"),
        (
            event(
                "certification.withdrawn",
                {"certification_id": "none", "effective_from": "2020-01-01", "reason": "SUPPRESSED"},
            ),
            422,
            "certification-unknown",
        ),
    ],
)
async def test_one_refusal_refuses_an_atomic_batch(
    installation: Any, client: httpx2.AsyncClient, refused: dict[str, Any], status: int, slug: str
) -> None:
    before = await head(client)
    published = event("certification.published", certification())
    events = [published, objective(), refused, objective(), "worse"]
    async with installation.client("catalogue:write", sources=["urn:certibranche:tests"]) as restricted:
        answer = await post_batch(restricted, events, atomic=True)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["type"], answer.json()["index"]) == (f"/problems/{slug}", 2)
    assert await head(client) == before
    assert (await post(client, published)).status_code == 201, "its id has stayed free, and so has the certification"


async def test_a_conflict_within_an_atomic_batch_refuses_it(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    certification_id = await publish_certification(client)
    before = await head(client)
    events = [event("candidate.registered", registration(person_id, certification_id)) for _ in range(2)]
    answer = await post_batch(client, events, atomic=True)
    assert (answer.status_code, answer.json()["rule"], answer.json()["index"]) == (409, "R6", 1)
    assert await head(client) == before
    assert (await post(client, events[1])).status_code == 201


async def test_an_event_twice_in_a_batch_is_one_event(client: httpx2.AsyncClient) -> None:
    twice = objective()
    results = (await post_batch(client, [twice, twice], atomic=True)).json()["results"]
    assert [result["status"] for result in results] == [201, 200]
    assert results[0]["position"] == results[1]["position"]
