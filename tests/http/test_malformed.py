"""What is wrong with an event before any rule is asked: 400 and 413, and what problems say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from tests.http.test_events import stored
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

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
ENTRY_BYTES_MAX = 65_535

JURY = {
    "jury_id": str(uuid4()),
    "held_on": "2018-06-20",
    "organiser": "uimm",
    "seats": [{"seat_id": "s-1", "college": "SALARIES", "organisation": "syndicat", "present": True}],
    "president_seat_id": "s-1",
    "invited_on": "2018-06-01",
}
CLOSING = {"registration_id": str(uuid4()), "reason": "FAILED", "closed_on": "2018-06-20"}
AWARD = {"registration_id": str(uuid4()), "awarded_on": "2018-06-20"}
VALIDATION = {
    "validation_id": str(uuid4()),
    "registration_id": str(uuid4()),
    "bloc_id": "bloc",
    "basis": "EVALUATION",
    "validated_on": "2018-06-20",
}
EVALUATION = {
    "evaluation_id": str(uuid4()),
    "registration_id": str(uuid4()),
    "bloc_id": "bloc",
    "outcomes": [{"competence_id": "competence", "outcome": "ACQUIRED"}],
    "modality": "PROJET",
    "evaluated_on": "2018-06-20",
    "evaluators": ["evaluator"],
}
REGISTRATION = registration(str(uuid4()), "certification")
CERTIFICATION = certification()
FICHE = {"code": "RNCP1", "registered_from": "2020-01-01", "registered_until": "2025-01-01"}


def refused(answer: httpx2.Response, slug: str = "malformed", status: int = 400) -> dict[str, Any]:
    """The problem of an answer that must be this one."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{slug}")
    assert problem["title"]
    assert problem["detail"]
    return problem


async def post_content(client: httpx2.AsyncClient, content: bytes) -> httpx2.Response:
    return await client.post("/v1/events", content=content, headers=STRUCTURED)


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"specversion": None},
        {"id": ""},
        {"id": None},
        {"id": 7},
        {"id": "x" * 129},
        {"id": "a\x00b"},
        {"id": "a\nb"},
        {"id": "a\x7fb"},
        {"id": "a\x85b"},
        {"source": ""},
        {"source": None},
        {"source": ["urn:x"]},
        {"source": "urn:\tx"},
        {"type": ""},
        {"type": None},
        {"data": None},
        {"data": []},
        {"data": "text"},
        {"data_base64": "e30="},
        {"time": "yesterday"},
        {"time": "2018-03-01"},
        {"time": "2018-03-01 09:30:00Z"},
        {"time": "2018-03-01T09:30:00"},
        {"time": "2018-02-29T09:30:00Z"},
        {"time": "2018-13-01T09:30:00Z"},
        {"time": "2018-03-01T24:00:00Z"},
        {"time": "2018-03-01T09:30:61Z"},
        {"time": "2018-03-01T09:30:00.Z"},
        {"time": "2018-03-01T09:30:00+0100"},
        {"time": "٢٠١٨-03-01T09:30:00Z"},
        {"time": "2018-03-01T09:30:00Z\n"},
        {"time": 1519896600},
        {"correlationid": 7},
        {"correlationid": ""},
        {"causationid": {"id": "x"}},
        {"traceparent": "a\x00b"},
    ],
)
async def test_malformed_attributes_are_refused(client: httpx2.AsyncClient, change: dict[str, Any]) -> None:
    problem = refused(await post(client, objective(**change)))
    assert set(change) <= {"data_base64"} or next(iter(change)) in problem["detail"]


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "data"])
async def test_required_attributes_are_required(client: httpx2.AsyncClient, attribute: str) -> None:
    posted = objective()
    del posted[attribute]
    assert attribute in refused(await post(client, posted))["detail"]


@pytest.mark.parametrize(
    "time",
    [
        "2018-03-01T09:30:00Z",
        "2018-03-01t09:30:00z",
        "2018-03-01T09:30:00.1+01:00",
        "2016-12-31T23:59:60Z",
        "2018-03-01T09:30:00.123456789012-00:00",
    ],
)
async def test_a_time_is_kept_as_posted(client: httpx2.AsyncClient, time: str) -> None:
    answer = await post(client, objective(time=time))
    assert (await stored(client, answer.json()["position"]))["time"] == time


@pytest.mark.parametrize("id_", ["é" * 128, "x", "../..%2F?#", "a b", "😀\u2028"])
async def test_an_id_is_any_text_of_128_characters(client: httpx2.AsyncClient, id_: str) -> None:
    unique = f"urn:{uuid4()}"
    answer = await post(client, objective(id=id_, source=unique))
    assert (answer.status_code, answer.json()["id"]) == (201, id_)


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("certibranche.unknown.fact.v1", {}),
        ("certibranche.objective.set.v2", {"year": 9999, "beneficiaries": 1}),
        ("certibranche.objective.set", {"year": 9999, "beneficiaries": 1}),
        ("Certibranche.objective.set.v1", {"year": 9999, "beneficiaries": 1}),
        ("certibranche.person.registered.v1", {"person_id": str(uuid4()), "identity_commitment": "0" * 64}),
        ("certibranche.person.rectified.v1", {"person_id": str(uuid4()), "identity_commitment": "0" * 64}),
        ("certibranche.persons.merged.v1", {"kept_id": str(uuid4()), "merged_id": str(uuid4())}),
        ("certibranche.person.erased.v1", {"person_id": str(uuid4())}),
    ],
)
async def test_a_type_that_is_not_posted_is_refused(client: httpx2.AsyncClient, type_: str, data: Any) -> None:
    assert type_ in refused(await post(client, objective(type=type_, data=data)), "not-posted")["detail"]


@pytest.mark.parametrize(
    ("name", "data", "pointer"),
    [
        # members that nobody knows
        ("objective.set", {"year": 9999, "beneficiaries": 1, "colour": "red"}, "#"),
        ("certification.published", CERTIFICATION | {"rncp": FICHE | {"colour": "red"}}, "#/rncp"),
        ("jury.held", JURY | {"seats": [{**JURY["seats"][0], "name": "Martin"}]}, "#/seats/0"),  # type: ignore[dict-item]
        # members that the registry adds
        ("candidate.registered", REGISTRATION | {"reporting_status": "SALARIE"}, "#"),
        ("candidate.registered", REGISTRATION | {"family": "CQPM"}, "#"),
        ("registration.closed", CLOSING | {"person_id": str(uuid4())}, "#"),
        ("registration.closed", CLOSING | {"certification_id": "certification"}, "#"),
        ("evaluation.recorded", EVALUATION | {"version": 1}, "#"),
        ("bloc.validated", VALIDATION | {"usable_until": "2020-01-01"}, "#"),
        ("certificate.awarded", AWARD | {"title": "Soudeur"}, "#"),
        ("certificate.awarded", AWARD | {"components": []}, "#"),
        # null is no value
        ("candidate.registered", REGISTRATION | {"version": None}, "#/version"),
        ("candidate.registered", REGISTRATION | {"region": None}, "#/region"),
        ("candidate.registered", REGISTRATION | {"bloc_ids": None}, "#/bloc_ids"),
        ("certification.published", CERTIFICATION | {"branches": None}, "#/branches"),
        ("certification.published", CERTIFICATION | {"rncp": None}, "#/rncp"),
        ("registration.closed", CLOSING | {"jury_id": None}, "#/jury_id"),
        # forms
        ("objective.set", {"year": 9999}, "#"),
        ("objective.set", {"year": 9999, "beneficiaries": 0}, "#/beneficiaries"),
        ("objective.set", {"year": 9999, "beneficiaries": 2**31}, "#/beneficiaries"),
        ("objective.set", {"year": 9999, "beneficiaries": 1.5}, "#/beneficiaries"),
        ("objective.set", {"year": 9999, "beneficiaries": "1"}, "#/beneficiaries"),
        ("objective.set", {"year": 9999, "beneficiaries": True}, "#/beneficiaries"),
        ("candidate.registered", REGISTRATION | {"registration_id": str(uuid4()).upper()}, "#/registration_id"),
        ("candidate.registered", REGISTRATION | {"registration_id": uuid4().hex}, "#/registration_id"),
        ("candidate.registered", REGISTRATION | {"person_id": f"{uuid4()}\n"}, "#/person_id"),
        ("candidate.registered", REGISTRATION | {"certification_id": "Majuscule"}, "#/certification_id"),
        ("candidate.registered", REGISTRATION | {"certification_id": "x"}, "#/certification_id"),
        ("candidate.registered", REGISTRATION | {"certification_id": "x" * 65}, "#/certification_id"),
        ("candidate.registered", REGISTRATION | {"certification_id": "été"}, "#/certification_id"),
        ("candidate.registered", REGISTRATION | {"registered_on": "2018-02-29"}, "#/registered_on"),
        ("candidate.registered", REGISTRATION | {"registered_on": "20180301"}, "#/registered_on"),
        ("candidate.registered", REGISTRATION | {"registered_on": "2018-03-01T00:00:00Z"}, "#/registered_on"),
        ("candidate.registered", REGISTRATION | {"route": "formation"}, "#/route"),
        ("candidate.registered", REGISTRATION | {"region": "1"}, "#/region"),
        ("candidate.registered", REGISTRATION | {"region": "2A"}, "#/region"),
        ("candidate.registered", REGISTRATION | {"prior_level": 9}, "#/prior_level"),
        ("certification.published", CERTIFICATION | {"title": ""}, "#/title"),
        ("certification.published", CERTIFICATION | {"title": "x" * 301}, "#/title"),
        ("certification.published", CERTIFICATION | {"mq_code": "-1"}, "#/mq_code"),
        ("certification.published", CERTIFICATION | {"rncp": FICHE | {"code": "RNCP"}}, "#/rncp/code"),
        ("certification.published", CERTIFICATION | {"blocs": {}}, "#/blocs"),
        ("evaluation.recorded", EVALUATION | {"outcomes": []}, "#/outcomes"),
        ("evaluation.recorded", EVALUATION | {"evaluators": []}, "#/evaluators"),
        ("evaluation.recorded", EVALUATION | {"evidence_sha256": "0" * 63}, "#/evidence_sha256"),
        ("certificate.awarded", AWARD | {"certificate_number": "ab"}, "#/certificate_number"),
        ("certificate.awarded", AWARD | {"certificate_number": "é" * 8}, "#/certificate_number"),
        ("jury.held", JURY | {"seats": [{**JURY["seats"][0], "present": "yes"}]}, "#/seats/0/present"),  # type: ignore[dict-item]
    ],
)
async def test_malformed_data_is_refused_and_pointed_at(
    client: httpx2.AsyncClient, name: str, data: dict[str, Any], pointer: str
) -> None:
    problem = refused(await post(client, event(name, data)))
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}{}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
    ],
)
async def test_what_is_no_json_object_is_malformed(client: httpx2.AsyncClient, content: bytes) -> None:
    refused(await post_content(client, content))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"year":', b'"year":9999,"year":'),
        (b'"specversion":', b'"specversion":"1.0","specversion":'),
        (b'"year":', b'"y\\u0065ar":9999,"year":'),
        (b'"beneficiaries":1', b'"beneficiaries":NaN'),
        (b'"beneficiaries":1', b'"beneficiaries":Infinity'),
        (b'"beneficiaries":1', b'"beneficiaries":-Infinity'),
        (b'"beneficiaries":1', b'"beneficiaries":1e400'),
        (b'"beneficiaries":1', b'"beneficiaries":1e300'),
        (b'"beneficiaries":1', b'"beneficiaries":' + b"1" * 5_000),
        (b'"beneficiaries":1', b'"beneficiaries":01'),
        (b'"beneficiaries":1', b'"beneficiaries":1,'),
        (b'"beneficiaries":1', b'"beneficiaries":' + b"[" * 900 + b"]" * 900),
        (b'"beneficiaries":1', b'"beneficiaries":' + b"[" * 5_000 + b"]" * 5_000),
        (b'"beneficiaries":1', b'"beneficiaries":"\\ud83d"'),
        (b'"beneficiaries":1', b'"\\udc00":1'),
        (b'"id":"', b'"id":"\\ud800'),
        (b'"id":"', b'"id":"\xc3'),
        (b'"id":"', b'"id":"\xed\xa0\x80'),
        (b'"id":"', b'"id":"\n'),
        (b'"id":"', b'"id":"\\u0000'),
    ],
)
async def test_json_that_is_not_quite_json_is_malformed(client: httpx2.AsyncClient, old: bytes, new: bytes) -> None:
    content = msgspec.json.encode(objective())
    assert old in content
    refused(await post_content(client, content.replace(old, new)))


@pytest.mark.parametrize(("levels", "status"), [(64, 201), (65, 400)])
async def test_the_bound_of_nesting_is_the_same_in_every_form(
    client: httpx2.AsyncClient, levels: int, status: int
) -> None:
    deep = b'"deep":' + b"[" * (levels - 1) + b"]" * (levels - 1)  # the event itself is a level
    contents = [msgspec.json.encode(objective())[:-1] + b"," + deep + b"}" for _ in range(3)]
    single = await post_content(client, contents[0])
    batch = await client.post(
        "/v1/events",
        content=b"[" + contents[1] + b"]",
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    lines = await client.post("/v1/events", content=contents[2], headers={"Content-Type": "application/x-ndjson"})
    assert [single.status_code, batch.json()["results"][0]["status"], lines.json()["status"]] == [status] * 3


async def test_a_pair_of_surrogates_is_a_character(client: httpx2.AsyncClient) -> None:
    content = msgspec.json.encode(objective()).replace(b'"id":"', b'"id":"\\ud83d\\ude00')
    answer = await post_content(client, content)
    assert (answer.status_code, answer.json()["id"][0]) == (201, "😀")


async def test_a_malformed_event_leaves_its_id_free(client: httpx2.AsyncClient) -> None:
    posted = objective()
    refused(await post(client, posted | {"data": {}}))
    assert (await post(client, posted)).status_code == 201


async def test_a_refusal_names_its_rule_and_its_values(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    data = registration(person_id, await publish_certification(client), registered_on="2009-12-31")
    problem = refused(await post(client, event("candidate.registered", data)), "version-not-in-force", 422)
    assert problem["rule"] == "R1"
    assert problem["certification_id"] == data["certification_id"]
    assert problem["registered_on"] == "2009-12-31"
    assert set(problem) >= {"type", "title", "status", "detail", "rule"}


async def test_titles_are_constants(client: httpx2.AsyncClient) -> None:
    titles = {(await post(client, objective(id=id_))).json()["title"] for id_ in ("", "x" * 129)}
    assert len(titles) == 1


async def test_a_body_of_more_than_a_mebibyte_is_too_large(client: httpx2.AsyncClient) -> None:
    content = msgspec.json.encode(objective(padding="x" * (1 << 20)))
    refused(await post_content(client, content), "too-large", 413)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 16):
            yield content[start : start + (1 << 16)]

    answer = await client.post("/v1/events", content=parts(), headers=STRUCTURED)
    refused(answer, "too-large", 413)


async def test_a_batch_that_is_announced_too_large_is_refused_before_it_is_sent(installation: Installation) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    head = [
        "POST /v1/events HTTP/1.1",
        "Host: registry",
        f"Authorization: Bearer {installation.token('catalogue:write')}",
        "Content-Type: application/cloudevents-batch+json",
        "Content-Length: 1000000000",
        "\r\n",
    ]
    writer.write("\r\n".join(head).encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


def published(label_lengths: list[int]) -> dict[str, Any]:
    """A fresh certification with a competence for each length of a label."""
    slug = str(uuid4())
    competences = [{"competence_id": f"{slug}-{n:04}", "label": "x" * size} for n, size in enumerate(label_lengths)]
    blocs = [{"bloc_id": f"{slug}-b", "title": "Souder", "competences": competences}]
    return event("certification.published", certification(certification_id=slug, blocs=blocs))


async def post_padded(client: httpx2.AsyncClient, entry_bytes: int) -> httpx2.Response:
    """Post an event whose stored form has exactly so many bytes."""
    lengths = [150] * 200
    shorter = await post(client, published(lengths))
    missing = entry_bytes - len((await client.get(shorter.headers["location"])).content)
    every, rest = divmod(missing, len(lengths))
    assert 0 <= every < 150
    return await post(client, published([size + every + (n < rest) for n, size in enumerate(lengths)]))


async def test_the_longest_event_that_is_stored_has_65535_bytes(client: httpx2.AsyncClient) -> None:
    answer = await post_padded(client, ENTRY_BYTES_MAX)
    assert answer.status_code == 201, answer.text
    assert len((await client.get(answer.headers["location"])).content) == ENTRY_BYTES_MAX
    problem = refused(await post_padded(client, ENTRY_BYTES_MAX + 1), "too-large", 413)
    assert problem["bytes"] == ENTRY_BYTES_MAX + 1
