"""A registration, a certificate, a person's history: folded from the log when asked, so no follower runs here."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from contracts.facts import Component, Fact
from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from tests.integration.filled_log import FilledLog, filled_log
from tests.integration.read_side import read_side
from tests.unit.careers import (
    awarded,
    closed,
    erased,
    merged,
    person,
    published,
    recorded_at,
    registered,
    reopened,
    revoked,
    uid,
    validated,
)

COMPONENTS = tuple(
    Component(bloc_id=bloc_id, validation_id=uid("validation", number), basis="EVALUATION")
    for number, bloc_id in enumerate(("a1", "a2", "common"), 1)
)
AWARD = awarded(1, 1, components=COMPONENTS, region="84")
HISTORY: list[Fact] = [
    published("cqpm-a"),
    person(1),
    person(2),
    person(3),
    registered(1, 1),
    *(validated(number, 1, 1, component.bloc_id) for number, component in enumerate(COMPONENTS, 1)),
    AWARD,
    registered(2, 2),
]
AWARDED_AT = HISTORY.index(AWARD) + 1
HEAD = len(HISTORY)


@pytest_asyncio.fixture(scope="module")
async def database(postgres: Postgres) -> AsyncIterator[FilledLog]:
    await postgres.create_database("things")
    async with filled_log(postgres.url("things")) as filled:
        yield filled


@pytest_asyncio.fixture
async def log(database: FilledLog) -> FilledLog:
    await database.empty()
    await database.put(HISTORY)
    return database


@pytest_asyncio.fixture
async def http(log: FilledLog, data_folder: DataFolder, bearer: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with read_side(log, data_folder) as client:
        client.headers.update(bearer("persons:read", "registrations:read"))
        yield client


def registration(of: int) -> str:
    return f"/v1/registrations/{uid('registration', of)}"


def history(of: int) -> str:
    return f"/v1/persons/{uid('person', of)}/history"


CERTIFICATE = f"/v1/certificates/{AWARD.certificate_number}"


@pytest.mark.parametrize("path", [registration(1), history(1)])
async def test_what_is_of_persons_needs_its_scope(http: httpx.AsyncClient, bearer: Any, path: str) -> None:
    assert (await http.get(path, headers=bearer("log:read"))).status_code == 403
    del http.headers["Authorization"]
    assert (await http.get(path)).status_code == 401


async def test_a_certificate_is_public(http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    answer = await http.get(CERTIFICATE)
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    assert answer.json() == {
        "certificate_number": AWARD.certificate_number,
        "status": "LIVE",
        "kind": "CERTIFICATION",
        "title": "cqpm-a",
        "family": "CQPM",
        "level": 5,
        "awarded_on": "2018-09-01",
        "certification_id": "cqpm-a",
        "version": 1,
        "blocs": [{"bloc_id": id_, "title": f"{id_} of cqpm-a 1"} for id_ in ("a1", "a2", "common")],
    }


async def test_the_case_of_a_number_does_not_matter(http: httpx.AsyncClient) -> None:
    for number in (AWARD.certificate_number.lower(), AWARD.certificate_number.upper()):
        answer = await http.get(f"/v1/certificates/{number}")
        assert answer.json()["certificate_number"] == AWARD.certificate_number


async def test_a_registration_says_what_became_of_it(http: httpx.AsyncClient) -> None:
    answer = await http.get(registration(1))
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    found = answer.json()
    assert (found["state"], found["certificate_number"]) == ("AWARDED", AWARD.certificate_number)
    assert [bloc["validation_id"] for bloc in found["blocs"]] == [uid("validation", number) for number in (1, 2, 3)]
    assert found["blocs"][0]["competences"][0] == {"competence_id": "a1-y", "outcome": None}


async def test_a_revocation_shows_at_once(http: httpx.AsyncClient, log: FilledLog) -> None:
    await log.put([revoked(AWARD, 1)])
    assert (await http.get(CERTIFICATE)).json()["status"] == "REVOKED"
    assert (await http.get(registration(1))).json()["state"] == "REVOKED"
    await log.put([reopened(1, 1)])
    reopening = (await http.get(registration(1))).json()
    assert (reopening["state"], reopening.get("certificate_number")) == ("OPEN", None)
    assert (await http.get(CERTIFICATE)).json()["status"] == "REVOKED"


@pytest.mark.parametrize("place", ["position", "time"])
async def test_as_of_answers_as_the_registry_knew_then(http: httpx.AsyncClient, log: FilledLog, place: str) -> None:
    await log.put([revoked(AWARD, 1)])

    async def then(path: str, position: int) -> httpx.Response:
        answer = await http.get(
            path, params={"as_of": position if place == "position" else recorded_at(position).isoformat()}
        )
        assert answer.headers["Registry-Position"] == str(position)
        return answer

    assert (await then(CERTIFICATE, AWARDED_AT)).json()["status"] == "LIVE"
    assert (await then(CERTIFICATE, AWARDED_AT - 1)).status_code == 404
    assert (await then(registration(1), AWARDED_AT - 1)).json()["state"] == "OPEN"
    assert (await then(registration(2), AWARDED_AT)).status_code == 404


async def test_a_registration_names_the_id_that_was_kept(http: httpx.AsyncClient, log: FilledLog) -> None:
    head = await log.put([merged(2, 1), merged(3, 2)])
    assert (await http.get(registration(1))).json()["person_id"] == uid("person", 3)
    for position, kept in ((head, 3), (head - 1, 2), (head - 2, 1)):
        answer = await http.get(registration(1), params={"as_of": position})
        assert answer.json()["person_id"] == uid("person", kept)


async def test_an_answer_stays_the_same_until_something_happens_to_its_thing(
    http: httpx.AsyncClient, log: FilledLog
) -> None:
    paths = (registration(1), CERTIFICATE, history(1))
    tags = {path: (await http.get(path)).headers["ETag"] for path in paths}
    head = await log.put([registered(3, 3)])
    for path in paths:
        answer = await http.get(path, headers={"If-None-Match": tags[path]})
        assert (answer.status_code, answer.headers["Registry-Position"]) == (304, str(head))
    await log.put([merged(3, 1)])
    assert (await http.get(registration(1), headers={"If-None-Match": tags[registration(1)]})).status_code == 200
    assert (await http.get(history(1), headers={"If-None-Match": tags[history(1)]})).status_code == 200
    await log.put([revoked(AWARD, 1)])
    assert (await http.get(CERTIFICATE, headers={"If-None-Match": tags[CERTIFICATE]})).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        registration(9),
        history(9),
        "/v1/certificates/CQPM-2018-9",
        *(
            f"/v1/{kind}/{text}"
            for kind in ("registrations", "certificates")
            for text in ("x", "%00", "%ED%A0%80", "’")
        ),
        *(f"/v1/persons/{text}/history" for text in ("x", "%00", "%ED%A0%80", uid("person", 1).upper())),
    ],
)
async def test_what_is_unknown_or_no_id_at_all_is_not_found_at_a_position(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.headers.get("Registry-Position")) == (404, str(HEAD))
    assert answer.json()["type"] == "/problems/not-found"


async def test_an_answer_waits_for_the_position_it_must_know(http: httpx.AsyncClient, log: FilledLog) -> None:
    for path in (registration(2), CERTIFICATE, history(2)):
        head = await log.reader.head()
        waiting = asyncio.create_task(http.get(path, params={"min_position": head + 1}))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        await log.put([closed(2, 2), reopened(2, 2)])
        answer = await waiting
        assert (answer.status_code, int(answer.headers["Registry-Position"]) > head) == (200, True)


async def test_a_position_that_does_not_come_is_unavailable(http: httpx.AsyncClient) -> None:
    """What is not reached is not what `Registry-Position` says: a caller would take its own write for read."""
    for wanted in ({"min_position": HEAD + 1}, {"as_of": HEAD + 1}):
        answer = await http.get(CERTIFICATE, params=wanted)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert answer.headers["Registry-Position"] == str(HEAD)
        assert (answer.json()["position"], answer.json()["wanted_position"]) == (HEAD, HEAD + 1)


async def test_a_history_is_the_stored_events_of_the_person_in_order(http: httpx.AsyncClient, log: FilledLog) -> None:
    answer = await http.get(history(1))
    assert (answer.status_code, answer.headers["Registry-Position"]) == (200, str(HEAD))
    assert answer.headers["Content-Type"] == "application/json"
    stored = await log.bytes_of_all()
    of_person = [entry for entry in stored if uid("person", 1).encode() in entry]
    assert len(of_person) == 6
    assert answer.content == b"[" + b",".join(of_person) + b"]"


async def test_a_history_goes_through_merges_from_either_end(http: httpx.AsyncClient, log: FilledLog) -> None:
    await log.put([merged(2, 1), merged(3, 2), registered(3, 3)])
    for of in (1, 2, 3):
        assert [int(event["sequence"]) for event in (await http.get(history(of))).json()] == list(range(2, HEAD + 4))


async def test_a_history_is_read_in_pages(http: httpx.AsyncClient) -> None:
    pages, path = [], f"{history(1)}?limit=4"
    while path:
        answer = await http.get(path)
        pages.append([int(event["sequence"]) for event in answer.json()])
        path = str(answer.links["next"]["url"]) if "next" in answer.links else ""
    assert pages == [[2, 5, 6, 7], [8, 9]]
    assert (await http.get(f"{history(1)}?after=9")).json() == []


async def test_whoever_is_erased_has_no_history_under_any_id(http: httpx.AsyncClient, log: FilledLog) -> None:
    head = await log.put([merged(2, 1), erased(2)])
    for of in (1, 2):
        answer = await http.get(history(of))
        assert (answer.status_code, answer.headers["Registry-Position"]) == (410, str(head))
    assert (await http.get(registration(1))).status_code == 200
    assert (await http.get(CERTIFICATE)).status_code == 200


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", f"after={2**63}"])
async def test_bad_pages_are_malformed(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"{history(1)}?{query}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def test_the_document_of_the_interface_names_what_is_answered(http: httpx.AsyncClient) -> None:
    document = (await http.get("/schema/openapi.json")).json()
    names = {name.rsplit("_", 1)[-1] for name in document["components"]["schemas"]}
    assert {"RegistrationAnswer", "CertificateAnswer"} <= names
    assert msgspec.json.encode(document["paths"]["/v1/registrations/{registration_id}"]["get"]["parameters"])
