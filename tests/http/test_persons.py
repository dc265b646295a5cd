"""Persons: one civil identity is one person, and what identifies anybody stays in the vault."""

import asyncio
import gzip
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest

from tests.installation import Installation, event, person, post, publish_certification, registration

BIRTH_DATES = (date(1930, 1, 1) + timedelta(days=n) for n in count())
NOBODY = "5f0c6b1e-0a4d-4f6e-9d0b-5a1f3c2e7d90"
NIR, OTHER_NIR = "290057505600142", "290057505600243"


async def register(client: httpx2.AsyncClient, identity: dict[str, Any]) -> tuple[int, str]:
    answer = await client.post("/v1/persons", json=identity)
    assert list(answer.json()) == ["person_id"], answer.text
    return answer.status_code, answer.json()["person_id"]


async def stream(client: httpx2.AsyncClient, content: bytes) -> list[dict[str, Any]]:
    answer = await client.post("/v1/persons", content=content, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


async def test_an_identity_is_registered_once(client: httpx2.AsyncClient) -> None:
    identity = person()
    status, person_id = await register(client, identity)
    assert status == 201
    assert str(UUID(person_id)) == person_id
    assert await register(client, identity) == (200, person_id)


async def test_the_address_of_a_person_is_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/persons", json=person())
    assert answer.headers["location"] == f"/v1/persons/{answer.json()['person_id']}"
    assert (await client.get(answer.headers["location"])).status_code == 200


async def test_a_person_that_was_just_registered_may_be_inscribed(client: httpx2.AsyncClient) -> None:
    _, person_id = await register(client, person())
    data = registration(person_id, await publish_certification(client))
    assert (await post(client, event("candidate.registered", data))).status_code == 201


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"birth_name": "Lefèvre"}, {"birth_name": "LEFEVRE"}),
        ({"birth_name": "Lefe\u0300vre"}, {"birth_name": "Lefèvre"}),
        ({"birth_name": "Œuvrard"}, {"birth_name": "oeuvrard"}),
        ({"birth_name": "Dupont-Martin"}, {"birth_name": "dupont martin"}),
        ({"birth_name": "Dupont\u2011Martin"}, {"birth_name": "Dupont-Martin"}),
        ({"birth_name": "D'Almeida"}, {"birth_name": "D’ALMEIDA"}),
        ({"birth_name": "D'Almeida"}, {"birth_name": "Dalmeida"}),
        ({"birth_name": "De  La   Tour "}, {"birth_name": "de la tour"}),
        ({"birth_name": "Straße"}, {"birth_name": "STRASSE"}),
        ({"first_names": ["Anne-Zoé", "Chloë"]}, {"first_names": ["anne-zoe", "CHLOE"]}),
        ({"birth_place": {"country": "Côte d'Ivoire"}}, {"birth_place": {"country": "COTE D’IVOIRE"}}),
        ({"birth_place": {"insee": "2A004"}}, {"birth_place": {"insee": "2a004"}}),
        ({}, {"usual_name": "Durand", "email": "c.durand@example.org"}),
        ({"email": "a@example.org"}, {"email": "b@example.org"}),
        ({"nir": NIR}, {}),
        ({}, {"nir": NIR}),
        ({"nir": NIR}, {"nir": "2 90 05 75 056 001 42"}),
        ({"nir": NIR}, {"nir": NIR[:13]}),
    ],
)
async def test_two_spellings_are_one_person(
    client: httpx2.AsyncClient, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """The day of birth is the test's own, so that no other test has this person."""
    identity = person(birth_name="Essai", birth_date=next(BIRTH_DATES).isoformat())
    status, person_id = await register(client, identity | first)
    assert status == 201
    assert await register(client, identity | second) == (200, person_id)


@pytest.mark.parametrize(
    "change",
    [
        {"birth_name": "Autre"},
        {"first_names": ["Dominique"]},
        {"first_names": ["Camille", "Dominique"]},
        {"birth_date": "1990-05-18"},
        {"sex": "M"},
        {"birth_place": {"insee": "69123"}},
        {"birth_place": {}},
    ],
)
async def test_another_civil_identity_is_another_person(client: httpx2.AsyncClient, change: dict[str, Any]) -> None:
    identity = person()
    _, person_id = await register(client, identity)
    status, other_id = await register(client, identity | change)
    assert status == 201
    assert other_id != person_id


async def test_two_different_nir_are_two_persons(client: httpx2.AsyncClient) -> None:
    identity = person()
    (status, one), (other_status, other) = [await register(client, identity | {"nir": nir}) for nir in (NIR, OTHER_NIR)]
    assert (status, other_status) == (201, 201)
    assert one != other
    assert await register(client, identity | {"nir": NIR}) == (200, one)
    assert await register(client, identity | {"nir": OTHER_NIR}) == (200, other)
    assert (await register(client, identity))[1] in (one, other)


async def test_a_nir_given_later_tells_persons_apart_all_the_same(client: httpx2.AsyncClient) -> None:
    identity = person()
    _, one = await register(client, identity)
    assert await register(client, identity | {"nir": NIR}) == (200, one)
    status, other = await register(client, identity | {"nir": OTHER_NIR})
    assert (status, other != one) == (201, True)
    assert await register(client, identity | {"nir": NIR}) == (200, one)


async def test_the_same_identity_posted_at_once_is_one_person(client: httpx2.AsyncClient) -> None:
    identity = person()
    answers = await asyncio.gather(*(register(client, identity) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len({person_id for _, person_id in answers}) == 1


async def test_a_person_is_read(client: httpx2.AsyncClient) -> None:
    identity = person(
        usual_name="Durand-Œuvré",
        first_names=["Zoé", "Anne"],
        email="z@example.org",
        nir=NIR,
        birth_place={"insee": "2A004", "country": "FR"},
    )
    _, person_id = await register(client, identity)
    answer = await client.get(f"/v1/persons/{person_id}")
    assert answer.status_code == 200
    assert answer.json() == {"person_id": person_id} | identity
    assert answer.headers["cache-control"] == "no-store"


async def test_the_members_of_a_repeat_are_ignored(client: httpx2.AsyncClient) -> None:
    identity = person(email="first@example.org")
    _, person_id = await register(client, identity)
    await register(client, identity | {"email": "second@example.org", "birth_name": identity["birth_name"].upper()})
    answer = await client.get(f"/v1/persons/{person_id}")
    assert answer.json() == {"person_id": person_id} | identity


@pytest.mark.parametrize("person_id", ["nobody", NOBODY, NOBODY.upper(), NOBODY.replace("-", "")])
async def test_an_unknown_person_is_not_found(client: httpx2.AsyncClient, person_id: str) -> None:
    answer = await client.get(f"/v1/persons/{person_id}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


SECRET = "Geheimrat"
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()


@pytest.mark.parametrize(
    "change",
    [
        {"birth_name": None},
        {"birth_name": ""},
        {"birth_name": " "},
        {"birth_name": f"{SECRET}\x00"},
        {"birth_name": f"{SECRET}\n"},
        {"birth_name": SECRET * 20},
        {"first_names": []},
        {"first_names": SECRET},
        {"first_names": [SECRET] * 4},
        {"first_names": [SECRET, 1]},
        {"birth_date": f"1990-{SECRET}"},
        {"birth_date": "1990-02-30"},
        {"birth_date": "1990-05-17T00:00:00Z"},
        {"birth_date": TOMORROW},
        {"sex": SECRET},
        {"sex": "f"},
        {"birth_place": SECRET},
        {"birth_place": {"insee": SECRET}},
        {"birth_place": {"city": SECRET}},
        {"email": SECRET},
        {"email": None},
        {"usual_name": None},
        {"nir": SECRET},
        {"nir": 290057505600142},
        {"secret": SECRET},
    ],
)
async def test_a_malformed_identity_is_refused_without_repeating_it(
    client: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    identity = person() | change
    answer = await client.post("/v1/persons", json=identity)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    (result,) = await stream(client, msgspec.json.encode(identity))
    for problem in (answer.text, msgspec.json.encode(result).decode()):
        assert SECRET not in problem
        assert "Martin" not in problem
        assert "290057505600142" not in problem


@pytest.mark.parametrize("member", ["birth_name", "first_names", "birth_date", "sex", "birth_place"])
async def test_an_identity_is_complete(client: httpx2.AsyncClient, member: str) -> None:
    identity = person()
    del identity[member]
    answer = await client.post("/v1/persons", json=identity)
    assert answer.status_code == 400
    assert member in answer.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"birth_name": "Geheimrat", "birth_name": "Geheimrat"}',
        b'{"birth_name": "Geheimrat',
        b'{"birth_name": NaN}',
        b'{"birth_name": "Geheimrat\xff"}',
        b'{"birth_name": "Geheimrat\\ud800", "first_names": ["A"], "birth_date": "1990-01-01", "sex": "F", '
        b'"birth_place": {}}',
        b'{"birth_name":' * 2_000,
    ],
)
async def test_what_is_no_identity_is_malformed(client: httpx2.AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/persons", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")
    assert SECRET not in answer.text


async def test_a_long_identity_is_too_large(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/persons", json=person(birth_name="x" * (1 << 17)))
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


async def test_persons_are_posted_as_json(client: httpx2.AsyncClient) -> None:
    for content_type in ("text/plain", "application/cloudevents+json", "application/json; charset=latin-1"):
        answer = await client.post("/v1/persons", content=b"{}", headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_a_compressed_identity_is_not_understood(client: httpx2.AsyncClient) -> None:
    for media_type in ("application/json", "application/x-ndjson"):
        headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
        answer = await client.post("/v1/persons", content=gzip.compress(msgspec.json.encode(person())), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_each_line_of_a_stream_gets_its_result(client: httpx2.AsyncClient) -> None:
    identities = [person() for _ in range(600)]
    lines = [msgspec.json.encode(identity) for identity in identities]
    lines[100] = b"nonsense"
    lines[200] = msgspec.json.encode({"birth_name": "Martin"})
    lines[300] = lines[0]
    results = await stream(client, b"\n".join(lines))
    assert len(results) == 600
    assert [results[n]["status"] for n in (100, 200, 300)] == [400, 400, 200]
    assert results[300] == results[0] | {"status": 200}
    registered = [result for n, result in enumerate(results) if n not in (100, 200, 300)]
    assert {tuple(result) for result in registered} == {("status", "person_id")}
    assert {result["status"] for result in registered} == {201}
    again = await stream(client, b"\n".join(lines))
    assert [result.get("person_id") for result in again] == [result.get("person_id") for result in results]
    assert {result["status"] for result in again} == {200, 400}


async def test_a_registration_is_one_fact_that_names_nobody(client: httpx2.AsyncClient) -> None:
    identity = person(birth_name=f"Geheimrat {uuid4().hex}", email="geheimrat@example.org")
    _, person_id = await register(client, identity)
    await register(client, identity)
    answer = await client.get("/v1/log/entries", params={"type": "certibranche.person.registered.v1"})
    assert SECRET.lower() not in answer.text.lower()
    (entry,) = [e for e in map(msgspec.json.decode, answer.content.splitlines()) if e["subject"] == person_id]
    assert set(entry["data"]) == {"person_id", "identity_commitment"}
    assert (entry["source"], entry["authtype"], entry["authid"]) == ("urn:certibranche:registry", "system", "tests")
    assert str(UUID(entry["id"])) == entry["id"]


async def test_the_same_identity_has_another_commitment_elsewhere(client: httpx2.AsyncClient) -> None:
    """The commitment is salted: two persons of one civil identity cannot be told to be alike."""
    identity = person()
    ids = {(await register(client, identity | {"nir": nir}))[1] for nir in (NIR, OTHER_NIR)}
    answer = await client.get("/v1/log/entries", params={"type": "certibranche.person.registered.v1"})
    entries = [e for e in map(msgspec.json.decode, answer.content.splitlines()) if e["subject"] in ids]
    assert len({entry["data"]["identity_commitment"] for entry in entries}) == 2


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [("persons:read", "POST", "/v1/persons"), ("persons:write", "GET", f"/v1/persons/{NOBODY}")],
)
async def test_persons_need_their_scopes(installation: Installation, scope: str, method: str, path: str) -> None:
    async with installation.client(scope) as client:
        answer = await client.request(method, path, json=person() if method == "POST" else None)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-missing")
