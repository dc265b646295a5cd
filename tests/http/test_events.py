"""One event at a time: structured and binary mode, receipts, the CloudEvents SDK."""

import gzip
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from cloudevents.core.bindings.http import from_binary_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.installation import (
    SOURCE,
    certification,
    event,
    objective,
    post,
    publish_certification,
    register_persons,
    registration,
)

RECEIPT = ["id", "source", "type", "position", "recorded_at", "data"]
RECORDED_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def binary(posted: dict[str, Any], **headers: str) -> dict[str, Any]:
    """The arguments of a post of the event in binary mode."""
    attributes = {f"ce-{name}": value for name, value in posted.items() if name != "data"}
    return {
        "headers": {"Content-Type": "application/json"} | attributes | headers,
        "content": msgspec.json.encode(posted["data"]),
    }


async def stored(client: httpx2.AsyncClient, position: int) -> dict[str, Any]:
    answer = await client.get(f"/v1/log/entries/{position}")
    assert answer.status_code == 200
    entry: dict[str, Any] = answer.json()
    return entry


async def test_a_structured_event_gets_a_receipt_and_its_place(client: httpx2.AsyncClient) -> None:
    posted = event("certification.published", certification())
    answer = await post(client, posted)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    receipt = answer.json()
    assert list(receipt) == RECEIPT
    assert answer.headers["location"] == f"/v1/log/entries/{receipt['position']}"
    assert [receipt[name] for name in ("id", "source", "type")] == [posted["id"], SOURCE, posted["type"]]
    assert receipt["data"] == posted["data"] | {"branches": ["metallurgie"], "rome": []}
    entry = await stored(client, receipt["position"])
    assert entry["data"] == receipt["data"]
    assert entry["recordedtime"] == receipt["recorded_at"]
    assert RECORDED_AT.fullmatch(receipt["recorded_at"])


async def test_a_receipt_says_what_the_registry_derives(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    data = registration(person_id, await publish_certification(client), status="ALTERNANT")
    answer = await post(client, event("candidate.registered", data))
    derived = {"version": 1, "branch": "metallurgie", "reporting_status": "SALARIE", "family": "CQPM"}
    assert answer.json()["data"] == data | derived


async def test_a_binary_event_gets_the_same_receipt(client: httpx2.AsyncClient) -> None:
    posted = objective(time="2018-03-01T09:30:00+01:00")
    answer = await client.post("/v1/events", **binary(posted))
    assert answer.status_code == 201
    assert list(answer.json()) == RECEIPT
    assert answer.headers["location"] == f"/v1/log/entries/{answer.json()['position']}"
    again = await post(client, posted)
    assert (again.status_code, again.json()) == (200, answer.json())


async def test_binary_headers_are_percent_decoded(client: httpx2.AsyncClient) -> None:
    id_ = str(uuid4())
    posted = objective(id=f"{id_}%20%C3%A9t%C3%A9%20%22%F0%9F%98%80%22%25", source="urn:caf%C3%A9")
    receipt = (await client.post("/v1/events", **binary(posted))).json()
    assert (receipt["id"], receipt["source"]) == (f'{id_} été "😀"%', "urn:café")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "application/vnd.branch+json"])
async def test_binary_data_may_be_any_json(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/v1/events", **binary(objective(), **{"Content-Type": content_type}))
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"ce-id": "%FF"},
        {"ce-id": "a%0Ab"},
        {"ce-id": ""},
        {"ce-specversion": "0.3"},
        {"ce-datacontenttype": "application/json"},
    ],
)
async def test_malformed_binary_headers_are_refused(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/v1/events", **binary(objective(), **headers))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8", "Application/CloudEvents+JSON"],
)
async def test_the_media_type_has_parameters_and_no_case(client: httpx2.AsyncClient, content_type: str) -> None:
    content = msgspec.json.encode(objective())
    answer = await client.post("/v1/events", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "media_type",
    ["application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson", "application/json"],
)
async def test_compressed_content_is_not_understood(client: httpx2.AsyncClient, media_type: str) -> None:
    """Not malformed (400): the client may send the same as it is. No stream of bad lines either."""
    posted = objective()
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip", "ce-id": posted["id"]}
    answer = await client.post("/v1/events", content=gzip.compress(msgspec.json.encode(posted)), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert "gzip" in answer.json()["detail"]


async def test_content_that_says_it_is_not_compressed_is_taken(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/cloudevents+json", "Content-Encoding": "Identity"}
    answer = await client.post("/v1/events", content=msgspec.json.encode(objective()), headers=headers)
    assert answer.status_code == 201


async def test_null_attributes_are_absent_attributes(client: httpx2.AsyncClient) -> None:
    """The JSON format of CloudEvents: null is the equivalent of unset."""
    posted = objective(time=None, subject=None, correlationid=None, dataschema=None)
    entry = await stored(client, (await post(client, posted)).json()["position"])
    assert "correlationid" not in entry
    assert entry["time"] == entry["recordedtime"]


async def test_the_registry_sets_what_it_alone_knows(client: httpx2.AsyncClient) -> None:
    """Extensions of a post that the registry sets itself, or does not store, change nothing."""
    posted = objective(subject="x", sequence="0", recordedtime="x", authid="x", authtype="system", tenant="x")
    receipt = (await post(client, posted)).json()
    entry = await stored(client, receipt["position"])
    assert (entry["subject"], entry["sequence"]) == (posted["id"], f"{receipt['position']:019d}")
    assert (entry["authid"], entry["authtype"]) == ("tests", "service_account")
    assert entry["recordedtime"] == receipt["recorded_at"]
    assert "tenant" not in entry


def sdk_event(data: dict[str, Any]) -> CloudEvent:
    attributes = {
        "id": f"été {uuid4()}",
        "source": "urn:sdk",
        "type": "certibranche.certification.published.v1",
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "time": datetime(2018, 3, 1, 9, 30, 0, 123456, tzinfo=UTC),
        "correlationid": "dossier 7",
    }
    return CloudEvent(attributes, data)


@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
async def test_the_cloudevents_sdk_is_a_client(client: httpx2.AsyncClient, write: Any) -> None:
    data = certification(title="Œuvrer à l’été")
    posted = sdk_event(data)
    message = write(posted)
    answer = await client.post("/v1/events", headers=message.headers, content=message.body)
    assert answer.status_code == 201, answer.text
    entry = await stored(client, answer.json()["position"])
    assert entry["id"] == posted.get_id()
    assert entry["time"] == "2018-03-01T09:30:00.123456Z"
    assert entry["correlationid"] == "dossier 7"
    assert entry["data"]["title"] == data["title"]


async def test_both_modes_of_the_sdk_are_one_event(client: httpx2.AsyncClient) -> None:
    posted = sdk_event(certification())
    answers = []
    for write in (to_structured_event, to_binary_event):
        message = write(posted)
        answers.append(await client.post("/v1/events", headers=message.headers, content=message.body))
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert from_binary_event(to_binary_event(posted)).get_id() == answers[0].json()["id"]
