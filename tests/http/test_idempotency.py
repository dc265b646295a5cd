"""I1: the same source and id with the same content is one fact, whatever happens."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from tests.http.test_events import binary
from tests.installation import certification, event, objective, post, registration


async def structured(client: httpx2.AsyncClient, posted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = await post(client, posted)
    return answer.status_code, answer.json()


async def in_binary(client: httpx2.AsyncClient, posted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = await client.post("/v1/events", **binary(posted))
    return answer.status_code, answer.json()


async def batch(client: httpx2.AsyncClient, posted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return await _batch(client, posted, "/v1/events")


async def atomic_batch(client: httpx2.AsyncClient, posted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return await _batch(client, posted, "/v1/events?atomic=true")


async def _batch(client: httpx2.AsyncClient, posted: dict[str, Any], path: str) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    answer = await client.post(path, json=[posted], headers=headers)
    if answer.is_error:
        return answer.status_code, answer.json()
    (result,) = answer.json()["results"]
    return result.pop("status") if "rule" not in result else result["status"], result


async def line(client: httpx2.AsyncClient, posted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    content = msgspec.json.encode(posted)
    answer = await client.post("/v1/events", content=content, headers={"Content-Type": "application/x-ndjson"})
    result = msgspec.json.decode(answer.content)
    return result.pop("status") if "rule" not in result else result["status"], result


FORMS = pytest.mark.parametrize("send", [structured, in_binary, batch, atomic_batch, line])


async def entries_of(client: httpx2.AsyncClient, id_: str, after: int) -> int:
    """How many entries behind a position have this id."""
    answer = await client.get("/v1/log/entries", params={"after": after})
    return sum(msgspec.json.decode(entry)["id"] == id_ for entry in answer.content.splitlines())


@FORMS
async def test_a_repeat_gets_the_first_receipt(client: httpx2.AsyncClient, send: Any) -> None:
    posted = event("certification.published", certification())
    status, receipt = await send(client, posted)
    assert status == 201
    assert await send(client, posted) == (200, receipt)
    assert await structured(client, posted) == (200, receipt)


@FORMS
async def test_the_same_id_with_other_content_is_a_conflict(client: httpx2.AsyncClient, send: Any) -> None:
    posted = objective()
    _, receipt = await send(client, posted)
    for other in ({"data": {"year": 9999, "beneficiaries": 2}}, {"type": "certibranche.certification.withdrawn.v1"}):
        data = {"certification_id": "none", "effective_from": "2020-01-01", "reason": "SUPPRESSED"}
        status, problem = await send(client, posted | {"data": data} | other)
        assert status == 409
        assert (problem["type"], problem["rule"]) == ("/problems/idempotency-conflict", "I1")
        assert problem["position"] == receipt["position"]


@FORMS
async def test_a_refused_id_stays_free(client: httpx2.AsyncClient, send: Any) -> None:
    id_ = str(uuid4())
    unknown = registration(str(uuid4()), "unknown")
    status, problem = await send(client, event("candidate.registered", unknown, id=id_))
    assert (status, problem["rule"]) in [(422, "P1"), (422, "R1")]
    assert (await send(client, objective(id=id_)))[0] == 201


@FORMS
async def test_twenty_identical_posts_at_once_are_one_event(client: httpx2.AsyncClient, send: Any) -> None:
    _, before = await structured(client, objective())
    posted = objective()
    answers = await asyncio.gather(*(send(client, posted) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert all(receipt == answers[0][1] for _, receipt in answers)
    assert await entries_of(client, posted["id"], before["position"]) == 1


async def test_of_twenty_different_posts_under_one_id_one_is_recorded(client: httpx2.AsyncClient) -> None:
    id_ = str(uuid4())
    others = [objective(id=id_, data={"year": 9999, "beneficiaries": n}) for n in range(1, 21)]
    answers = await asyncio.gather(*(structured(client, posted) for posted in others))
    assert sorted(status for status, _ in answers) == [201] + [409] * 19


async def test_the_same_id_of_another_source_is_another_fact(client: httpx2.AsyncClient) -> None:
    posted = objective()
    answers = [await structured(client, posted | {"source": source}) for source in ("urn:a", "urn:b", "urn:a")]
    assert [status for status, _ in answers] == [201, 201, 200]
    assert answers[0][1]["position"] + 1 == answers[1][1]["position"]


async def test_source_and_id_do_not_run_together(client: httpx2.AsyncClient) -> None:
    id_ = str(uuid4())
    answers = [
        await structured(client, objective(source=source, id=id_))
        for source, id_ in (("urn:ab", f"c{id_}"), ("urn:abc", id_), ("urn:a", f"bc{id_}"))
    ]
    assert [status for status, _ in answers] == [201, 201, 201]


@pytest.mark.parametrize(
    "data",
    [
        '{"year": 9999, "beneficiaries": 1}',
        '{"beneficiaries":1,"year":9999}',
        '{"year":9999.0,"beneficiaries":1.0}',
        '{"year":9.999e3,"beneficiaries":10E-1}',
        '{"\\u0079ear":9999,"beneficiaries":1}',
    ],
)
async def test_content_is_compared_in_the_form_of_rfc_8785(client: httpx2.AsyncClient, data: str) -> None:
    posted = objective()
    _, receipt = await structured(client, posted)
    assert receipt["data"] == {"year": 9999, "beneficiaries": 1}
    attributes = {name: value for name, value in posted.items() if name != "data"}
    content = msgspec.json.encode(attributes)[:-1] + f', "data": {data}}}'.encode()
    answer = await client.post("/v1/events", content=content, headers={"Content-Type": "application/cloudevents+json"})
    assert (answer.status_code, answer.json()) == (200, receipt)


async def test_a_whole_number_may_be_written_as_a_fraction(client: httpx2.AsyncClient) -> None:
    posted = objective(data={"year": 9999.0, "beneficiaries": 1})
    status, receipt = await structured(client, posted)
    assert (status, receipt["data"]["year"]) == (201, 9999)
    assert (await structured(client, posted | {"data": {"year": 9999, "beneficiaries": 1}}))[0] == 200


async def test_a_default_written_out_is_other_content(client: httpx2.AsyncClient) -> None:
    """Content is compared as posted, not as completed."""
    posted = event("certification.published", certification())
    assert (await structured(client, posted))[0] == 201
    completed = posted["data"] | {"branches": ["metallurgie"]}
    assert (await structured(client, posted | {"data": completed}))[0] == 409


async def test_attributes_beside_type_and_data_are_not_content(client: httpx2.AsyncClient) -> None:
    posted = objective(time="2018-01-01T00:00:00Z")
    _, receipt = await structured(client, posted)
    again = posted | {"time": "2019-01-01T00:00:00Z", "correlationid": "later"}
    assert await structured(client, again) == (200, receipt)
