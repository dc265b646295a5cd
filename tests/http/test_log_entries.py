"""History: the stored bytes, one event after the other. Sections 3 and 6 of the contract."""

import asyncio
import re
from typing import Any

import httpx2
import msgspec
import pytest
import rfc8785

from tests.installation import (
    Installation,
    certification,
    event,
    objective,
    post,
    publish_certification,
    register_persons,
    registration,
)

ATTRIBUTES = {
    *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"),
    *("recordedtime", "sequence", "authid", "authtype"),
}
OPTIONAL = {"correlationid", "causationid", "traceparent"}
RECORDED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def entries(client: httpx2.AsyncClient, **params: Any) -> list[bytes]:
    answer = await client.get("/v1/log/entries", params=params)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert not answer.content or answer.content.endswith(b"\n")
    return answer.content.split(b"\n")[:-1]


async def test_every_entry_of_the_log_is_as_the_contract_says(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    data = registration(person_id, await publish_certification(client))
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    more = {"correlationid": "c", "causationid": "é", "traceparent": traceparent}
    await post(client, event("candidate.registered", data, **more))
    before = ""
    all_entries = await entries(client)
    assert len(all_entries) >= 3
    for position, entry in enumerate(all_entries, 1):
        stored = msgspec.json.decode(entry)
        assert entry == rfc8785.dumps(stored)
        assert set(stored) >= ATTRIBUTES
        assert set(stored) - ATTRIBUTES <= OPTIONAL
        assert (stored["specversion"], stored["datacontenttype"]) == ("1.0", "application/json")
        assert stored["sequence"] == f"{position:019d}"
        assert stored["subject"] == _partition_key(stored)
        assert RECORDED.fullmatch(stored["recordedtime"])
        assert stored["recordedtime"] >= before
        before = stored["recordedtime"]
        made = stored["source"] == "urn:certibranche:registry"
        assert stored["authtype"] == ("system" if made else "service_account")
    assert set(stored) == ATTRIBUTES | OPTIONAL


def _partition_key(stored: dict[str, Any]) -> str:
    data = stored["data"]
    members = ("person_id", "kept_id", "certification_id")
    return next((str(data[member]) for member in members if member in data), str(stored["id"]))


async def test_time_is_the_recorded_time_when_none_is_posted(client: httpx2.AsyncClient) -> None:
    answer = await post(client, objective())
    stored = (await client.get(answer.headers["location"])).json()
    assert stored["time"] == stored["recordedtime"] == answer.json()["recorded_at"]


async def test_any_text_is_stored_in_the_form_of_rfc_8785(client: httpx2.AsyncClient) -> None:
    title = "\x01\b\t\n\x0b\f\r\x1f\"\\/\x7f\x80\u2028\ufeff\ufb33é€😀 <script>'"
    posted = event(
        "certification.published", certification(title=title), source="urn:€😀'\"\\/", correlationid="\ufb33"
    )
    answer = await post(client, posted)
    assert answer.json()["data"]["title"] == title
    entry = (await client.get(answer.headers["location"])).content
    assert entry == rfc8785.dumps(msgspec.json.decode(entry))


async def test_a_single_entry_is_the_same_bytes(client: httpx2.AsyncClient) -> None:
    position = (await post(client, objective())).json()["position"]
    answer = await client.get(f"/v1/log/entries/{position}")
    assert answer.headers["content-type"] == "application/cloudevents+json"
    assert await entries(client, after=position - 1, limit=1) == [answer.content]


async def test_entries_begin_behind_a_position(client: httpx2.AsyncClient) -> None:
    position = (await post(client, objective())).json()["position"]
    posted = [(await post(client, objective())).json()["id"] for _ in range(3)]
    assert [msgspec.json.decode(entry)["id"] for entry in await entries(client, after=position)] == posted
    assert [msgspec.json.decode(e)["id"] for e in await entries(client, after=position, limit=2)] == posted[:2]
    assert await entries(client, after=position + 3) == []
    assert await entries(client, after=2**62) == []


async def test_entries_of_a_type(client: httpx2.AsyncClient) -> None:
    position = (await post(client, objective())).json()["position"]
    for n in range(2):
        await publish_certification(client)
        await register_persons(client, n)
    published, registered = (f"certibranche.{name}.v1" for name in ("certification.published", "person.registered"))
    found = [msgspec.json.decode(entry)["type"] for entry in await entries(client, after=position, type=published)]
    assert found == [published, published]
    both = await entries(client, after=position, type=[published, registered])
    assert [msgspec.json.decode(entry)["type"] for entry in both] == [published, published, registered]
    assert len(await entries(client, after=position, type=published, limit=1)) == 1
    assert await entries(client, after=position, type="certibranche.no.such.v1") == []


async def test_pages_are_cut_nowhere(client: httpx2.AsyncClient) -> None:
    """More entries than are read at once, with and without a bound, come without a gap."""
    position = (await post(client, objective())).json()["position"]
    content = b"\n".join(msgspec.json.encode(objective()) for _ in range(2_500))
    await client.post("/v1/events", content=content, headers={"Content-Type": "application/x-ndjson"})
    for limit in (2_500, 2_001, 1_000, 999):
        found = [int(msgspec.json.decode(e)["sequence"]) for e in await entries(client, after=position, limit=limit)]
        assert found == list(range(position + 1, position + limit + 1))


async def test_the_position_of_an_answer_is_the_head_at_its_start(client: httpx2.AsyncClient) -> None:
    position = (await post(client, objective())).json()["position"]
    answer = await client.get("/v1/log/entries", params={"after": position - 1})
    assert int(answer.headers["registry-position"]) == position


@pytest.mark.parametrize("params", [{"after": "-1"}, {"after": "x"}, {"limit": "0"}, {"limit": "-1"}, {"limit": "x"}])
async def test_malformed_parameters_are_refused(client: httpx2.AsyncClient, params: dict[str, str]) -> None:
    answer = await client.get("/v1/log/entries", params=params)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")
    assert answer.json()["errors"][0]["parameter"] in params


@pytest.mark.parametrize("position", ["0", "-1", str(2**62), str(2**63), str(2**70), "1.0", "x"])
async def test_a_position_that_is_not_in_the_log_is_not_found(client: httpx2.AsyncClient, position: str) -> None:
    answer = await client.get(f"/v1/log/entries/{position}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_history_needs_its_scope(installation: Installation) -> None:
    async with installation.client("persons:read") as client:
        for path in ("/v1/log/entries", "/v1/log/entries/1"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-missing")


async def test_concurrent_posts_leave_no_gap_and_share_no_position(client: httpx2.AsyncClient) -> None:
    before = (await post(client, objective())).json()["position"]
    answers = await asyncio.gather(*(post(client, objective()) for _ in range(100)))
    positions = sorted(answer.json()["position"] for answer in answers)
    assert positions == list(range(before + 1, before + 101))
