"""Who looked: each read of a person's data and of the log is recorded, by whom, of what, with which outcome."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import msgspec
import pytest
import pytest_asyncio

from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from services.embedded.readiness import wait_until
from tests.installation import (
    SCOPES,
    Installation,
    event,
    person,
    post,
    publish_certification,
    register_persons,
    registration,
)


async def accesses(installation: Installation, **params: Any) -> list[dict[str, Any]]:
    async with installation.client("access:read", client_id="auditor") as auditor:
        answer = await auditor.get("/v1/log/accesses", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


def told(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in ("client_id", "method", "route", "status"))


@pytest_asyncio.fixture
async def reader_id() -> str:
    """The name of a client that no other test uses."""
    return f"reader-{uuid4()}"


async def test_each_read_about_a_person_is_recorded_in_order(
    installation: Installation, client: httpx2.AsyncClient, reader_id: str
) -> None:
    (person_id,) = await register_persons(client, 1)
    routes = ["", "/competencies", "/history", "/pathways"]
    async with installation.client(*SCOPES, client_id=reader_id) as reader:
        answers = [await reader.get(f"/v1/persons/{person_id}{route}") for route in routes]
    assert answers[0].status_code == 200
    entries = await accesses(installation, person=person_id)
    assert [told(entry) for entry in entries] == [
        (reader_id, "GET", f"/v1/persons/{{person_id}}{route}", answer.status_code)
        for route, answer in zip(routes, answers, strict=True)
    ]
    assert all(entry["tags"] == [f"person:{person_id}"] for entry in entries)
    numbers = [entry["number"] for entry in entries]
    assert numbers == sorted(set(numbers))
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


async def test_a_registration_and_the_log_are_recorded_with_what_was_asked_for(
    installation: Installation, client: httpx2.AsyncClient, reader_id: str
) -> None:
    (person_id,) = await register_persons(client, 1)
    data = registration(person_id, await publish_certification(client))
    position = (await post(client, event("candidate.registered", data))).json()["position"]
    registration_id = data["registration_id"]
    async with installation.client(*SCOPES, client_id=reader_id) as reader:
        for path in (
            f"/v1/registrations/{registration_id}?min_position={position}",
            f"/v1/log/entries/{position}",
            f"/v1/log/entries?after={position - 1}&limit=1",
            f"/v1/log/entries?tag=person:{person_id}&tag=registration:{registration_id}",
        ):
            assert (await reader.get(path)).status_code == 200
        stream = {"Accept": "text/event-stream"}
        async with reader.stream("GET", f"/v1/log/entries?after={position}&limit=1", headers=stream) as following:
            await anext(following.aiter_bytes())
    mine = [entry for entry in await accesses(installation) if entry["client_id"] == reader_id]
    said = [(entry["route"], entry["tags"], entry.get("position"), entry.get("after")) for entry in mine]
    assert said == [
        ("/v1/registrations/{registration_id}", [f"registration:{registration_id}"], None, None),
        ("/v1/log/entries/{position}", [], position, None),
        ("/v1/log/entries", [], None, position - 1),
        ("/v1/log/entries", [f"person:{person_id}", f"registration:{registration_id}"], None, None),
        ("/v1/log/entries", [], None, position),
    ]
    assert mine[2]["limit"] == 1
    of_person = await accesses(installation, person=person_id)
    assert [entry["route"] for entry in of_person] == ["/v1/log/entries"], "found by the tag it asked for"


async def test_what_was_refused_is_recorded_and_who_is_unknown_is_not(
    installation: Installation, reader_id: str
) -> None:
    nobody = str(uuid4())
    async with installation.client(*SCOPES, client_id=reader_id) as reader:
        assert (await reader.get(f"/v1/persons/{nobody}")).status_code == 404
    async with installation.client("log:read", client_id=reader_id) as reader:
        assert (await reader.get(f"/v1/persons/{nobody}")).status_code == 403
    async with installation.client() as anonymous:
        assert (await anonymous.get(f"/v1/persons/{nobody}")).status_code == 401
    assert [entry["status"] for entry in await accesses(installation, person=nobody)] == [404, 403]


async def test_what_a_client_puts_where_an_id_belongs_is_not_kept(installation: Installation, reader_id: str) -> None:
    async with installation.client(*SCOPES, client_id=reader_id) as reader:
        await reader.get("/v1/persons/Jeanne%20Geheimrat")
        await reader.get("/v1/log/entries?tag=person:Geheimrat&type=Geheimrat&q=Geheimrat&after=Geheimrat")
    entries = [entry for entry in await accesses(installation) if entry["client_id"] == reader_id]
    assert [(entry["status"], entry["tags"]) for entry in entries] == [(404, []), (400, [])]
    assert "geheimrat" not in str(entries).lower()


async def test_an_identity_shown_by_a_patch_is_recorded_and_a_post_is_not(
    installation: Installation, client: httpx2.AsyncClient, reader_id: str
) -> None:
    async with installation.client("persons:write", "persons:admin", client_id=reader_id) as admin:
        person_id = (await admin.post("/v1/persons", json=person())).json()["person_id"]
        assert (await admin.patch(f"/v1/persons/{person_id}", json={})).status_code == 200
    assert [told(entry) for entry in await accesses(installation, person=person_id)] == [
        (reader_id, "PATCH", "/v1/persons/{person_id}", 200)
    ]


async def test_public_reads_and_operations_are_not_recorded(installation: Installation, reader_id: str) -> None:
    async with installation.client(*SCOPES, "ops:read", client_id=reader_id) as reader:
        for path in ("/v1/certifications", "/v1/branch/counts?year=2018", "/v1/ops/followers", "/health/ready"):
            assert (await reader.get(path)).status_code == 200
    assert reader_id not in {entry["client_id"] for entry in await accesses(installation)}


async def test_reading_the_record_is_recorded_and_needs_a_scope_of_its_own(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    assert (await client.get("/v1/log/accesses")).status_code == 403
    (person_id,) = await register_persons(client, 1)
    await accesses(installation, person=person_id)
    (entry,) = await accesses(installation, person=person_id)
    assert told(entry) == ("auditor", "GET", "/v1/log/accesses", 200)


async def test_the_record_is_read_in_pages(installation: Installation, client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    await asyncio.gather(*(client.get(f"/v1/persons/{person_id}/history") for _ in range(1_100)))
    first = await accesses(installation, person=person_id, limit=3)
    rest = await accesses(installation, person=person_id, after=first[-1]["number"])
    assert [len(first), len([entry for entry in rest if entry["route"].endswith("/history")])] == [3, 1_097]
    assert rest[0]["number"] > first[-1]["number"]


@pytest.mark.parametrize("person_id", ["x", "Geheimrat", "0B7E4C1A-52D9-4F0E-8A63-9D1F7C2B6E58"])
async def test_a_person_that_is_no_id_is_refused(installation: Installation, person_id: str) -> None:
    async with installation.client("access:read") as auditor:
        answer = await auditor.get("/v1/log/accesses", params={"person": person_id})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "person")


@contextlib.asynccontextmanager
async def locked(installation: Installation) -> AsyncIterator[None]:
    """Nothing can be recorded meanwhile; what is recorded can be read."""
    connection = await asyncpg.connect(Postgres(DataFolder(installation.data)).url())
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE access.entry IN SHARE MODE")
            yield
    finally:
        await connection.close()


async def test_an_identity_is_not_shown_unless_that_is_recorded_and_other_reads_do_not_wait(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    (person_id,) = await register_persons(client, 1)
    async with locked(installation):
        refused = await client.get(f"/v1/persons/{person_id}")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
        assert refused.headers["retry-after"] == "1"
        assert "Martin" not in refused.text
        async with installation.client("persons:admin") as admin:
            assert (await admin.patch(f"/v1/persons/{person_id}", json={})).status_code == 503
            assert (await admin.get(f"/v1/persons/{person_id}/export")).status_code == 503
        assert (await client.get(f"/v1/persons/{person_id}/history")).status_code == 200
    assert (await client.get(f"/v1/persons/{person_id}")).status_code == 200
    routes = {entry["route"] for entry in await accesses(installation, person=person_id)}
    assert routes == {f"/v1/persons/{{person_id}}{more}" for more in ("", "/export", "/history")}, (
        "what waited is recorded"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access.entry SET client_id = 'nobody'",
        "DELETE FROM access.entry",
        "TRUNCATE access.entry",
    ],
)
async def test_the_record_is_not_changed(
    installation: Installation, client: httpx2.AsyncClient, statement: str
) -> None:
    (person_id,) = await register_persons(client, 1)
    await client.get(f"/v1/persons/{person_id}")
    connection = await asyncpg.connect(Postgres(DataFolder(installation.data)).url())
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_reads_right_before_the_end_are_recorded_by_a_stop(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    (person_id,) = await register_persons(client, 1)
    await asyncio.gather(*(client.get(f"/v1/persons/{person_id}/history") for _ in range(50)))
    process_id = installation.process_id("serve")
    assert process_id is not None

    os.kill(process_id, signal.SIGTERM)

    async def replaced() -> bool:
        return installation.process_id("serve") not in (None, process_id)

    assert await wait_until(replaced, 60)
    await installation.until_ready()
    assert len(await accesses(installation, person=person_id)) == 50
