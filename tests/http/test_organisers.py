"""A client that is limited to some organisers, over HTTP: what it may post, in every form, and what it is shown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from tests.http.test_batches import post_batch
from tests.http.test_ndjson import line, stream
from tests.installation import (
    SCOPES,
    Installation,
    certification,
    event,
    objective,
    person,
    post,
    publish_certification,
    register_persons,
    registration,
)

ALL_SCOPES = (*SCOPES, "persons:admin", "persons:erase", "ops:read")
REFUSED = (403, "/problems/organiser-not-allowed")


@dataclass
class Party:
    """An organiser, a client that is limited to it, and its registration of somebody, at a position of the log."""

    organiser: str
    client: httpx2.AsyncClient
    person_id: str
    registration_id: str
    position: int = 0


@dataclass
class World:
    ours: Party
    theirs: Party
    published: dict[str, Any]

    def evaluation(self, of: Party, **changes: Any) -> dict[str, Any]:
        """An evaluation of the party's registration."""
        bloc = self.published["blocs"][0]
        competences = [{"competence_id": c["competence_id"], "outcome": "ACQUIRED"} for c in bloc["competences"]]
        data = {
            "evaluation_id": str(uuid4()),
            "registration_id": of.registration_id,
            "bloc_id": bloc["bloc_id"],
            "outcomes": competences,
            "modality": "PROJET",
            "evaluated_on": "2018-04-01",
            "evaluators": ["evaluator-1"],
        }
        return event("evaluation.recorded", data | changes)


@pytest_asyncio.fixture(scope="module")
async def world(installation: Installation) -> AsyncIterator[World]:
    """Two organisers, each with a candidate and a client of its own."""
    published = certification()
    async with installation.client(*SCOPES) as everything:
        persons = await register_persons(everything, 2)
        assert (await post(everything, event("certification.published", published))).status_code == 201
    parties = []
    for person_id in persons:
        organiser = f"o-{uuid4().hex}"
        data = registration(person_id, published["certification_id"], organiser=organiser)
        client = installation.client(*ALL_SCOPES, organisers=[organiser])
        answer = await post(client, event("candidate.registered", data))
        assert answer.status_code == 201, answer.text
        parties.append(Party(organiser, client, person_id, data["registration_id"], answer.json()["position"]))
    yield World(*parties, published)
    await asyncio.gather(*(party.client.aclose() for party in parties))


def said(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("type", "")


Post = Callable[[httpx2.AsyncClient, Any], Awaitable[dict[str, Any]]]


async def _single(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    answer = await post(client, posted)
    return answer.json() | {"status": answer.status_code}


async def _with_a_query(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    """Through the framework's own route."""
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = await client.post("/v1/events?atomic=false", json=posted, headers=headers)
    return answer.json() | {"status": answer.status_code}


async def _binary(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    headers = {f"ce-{name}": value for name, value in posted.items() if name != "data"}
    answer = await client.post("/v1/events", json=posted["data"], headers=headers)
    return answer.json() | {"status": answer.status_code}


async def _in_a_batch(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    (result,) = (await post_batch(client, [posted])).json()["results"]
    return dict(result)


async def _atomic(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    answer = await post_batch(client, [posted], atomic=True)
    return answer.json()["results"][0] if answer.status_code in (200, 201) else answer.json()


async def _in_a_stream(client: httpx2.AsyncClient, posted: Any) -> dict[str, Any]:
    (result,) = await stream(client, line(posted))
    return result


@pytest.mark.parametrize("form", [_single, _with_a_query, _binary, _in_a_batch, _atomic, _in_a_stream])
async def test_in_every_form_of_posting_only_ones_own_registrations_are_spoken_of(world: World, form: Post) -> None:
    refused = await form(world.ours.client, world.evaluation(world.theirs))
    assert (refused["status"], refused["type"]) == REFUSED
    assert refused["registration_id"] == world.theirs.registration_id
    assert (await form(world.ours.client, world.evaluation(world.ours)))["status"] == 201


async def test_in_a_batch_each_event_sees_whose_those_before_it_are(world: World, client: httpx2.AsyncClient) -> None:
    """A registration and what follows in the same batch; and the same, begun by a client that may register for all."""
    ours, theirs = (await register_persons(client, 2)), world.theirs.organiser
    certification_id = world.published["certification_id"]
    own = registration(ours[0], certification_id, organiser=world.ours.organiser)
    foreign = registration(ours[1], certification_id, organiser=theirs)

    def after(data: dict[str, Any]) -> dict[str, Any]:
        return world.evaluation(world.ours, registration_id=data["registration_id"])

    events = [event("candidate.registered", own), after(own), event("candidate.registered", foreign), after(foreign)]
    results = (await post_batch(world.ours.client, events)).json()["results"]
    assert [result["status"] for result in results] == [201, 201, 403, 422], "the last one is about nothing known"
    assert (await post(client, events[2])).status_code == 201
    refused = await post_batch(world.ours.client, [world.evaluation(world.ours), events[3]], atomic=True)
    assert (*said(refused), refused.json()["index"]) == (*REFUSED, 1)


async def test_whoever_comes_first_in_a_race_is_followed_by_the_limit(world: World, client: httpx2.AsyncClient) -> None:
    """A registration of another organiser and facts about it, at once: these are refused, or came too early."""
    for person_id in await register_persons(client, 8):
        data = registration(person_id, world.published["certification_id"], organiser=world.theirs.organiser)
        facts = [world.evaluation(world.ours, registration_id=data["registration_id"]) for _ in range(3)]
        answers = await asyncio.gather(
            post(client, event("candidate.registered", data)), *(post(world.ours.client, fact) for fact in facts)
        )
        assert answers[0].status_code == 201
        assert {answer.status_code for answer in answers[1:]} <= {403, 422}


async def test_a_candidate_is_registered_for_ones_own_organiser(world: World, client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    data = registration(person_id, world.published["certification_id"])
    for organiser in ({"organiser": world.theirs.organiser}, {}):
        assert said(await post(world.ours.client, event("candidate.registered", data | organiser))) == REFUSED
    posted = event("candidate.registered", data | {"organiser": world.ours.organiser})
    assert (await post(world.ours.client, posted)).status_code == 201


async def test_facts_of_the_branch_need_a_client_without_limit(world: World) -> None:
    for posted in (objective(), event("certification.published", certification())):
        assert said(await post(world.ours.client, posted)) == REFUSED


def reads(of: Party) -> list[str]:
    routes = ("", "/competencies", "/history", "/pathways")
    return [f"/v1/registrations/{of.registration_id}", *(f"/v1/persons/{of.person_id}{route}" for route in routes)]


async def test_persons_and_registrations_are_shown_to_their_organisers_only(world: World) -> None:
    for own, foreign in zip(reads(world.ours), reads(world.theirs), strict=True):
        assert (await world.ours.client.get(f"{own}?min_position={world.ours.position}")).status_code == 200, own
        for query in ("", "?min_position=1", "?as_of=1"):
            assert said(await world.ours.client.get(foreign + query)) == REFUSED, foreign
        assert (await world.theirs.client.get(f"{foreign}?min_position={world.theirs.position}")).status_code == 200


async def test_a_person_is_shown_once_it_is_registered_for_the_organiser(world: World) -> None:
    identity = person()
    for expected in (201, 200):
        answer = await world.ours.client.post("/v1/persons", json=identity)
        assert answer.status_code == expected
    person_id = answer.json()["person_id"]
    assert said(await world.ours.client.get(f"/v1/persons/{person_id}")) == REFUSED
    data = registration(person_id, world.published["certification_id"], organiser=world.ours.organiser)
    position = (await post(world.ours.client, event("candidate.registered", data))).json()["position"]
    shown = await world.ours.client.get(f"/v1/persons/{person_id}/competencies?min_position={position}")
    assert shown.json()["open_registrations"] == [data["registration_id"]]


async def test_what_there_is_not_is_not_found_for_anybody(world: World) -> None:
    nobody = Party("", world.ours.client, str(uuid4()), str(uuid4()))
    for path in (*reads(nobody), "/v1/persons/x/history", "/v1/registrations/x"):
        assert (await world.ours.client.get(path)).status_code == 404, path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/log/entries"),
        ("GET", "/v1/log/entries?tag=registration:{registration_id}"),
        ("GET", "/v1/log/entries/1"),
        ("GET", "/v1/log/entries/1/proof"),
        ("GET", "/log/tile/entries/000.p/1"),
        ("GET", "/v1/ops/followers"),
        ("GET", "/v1/branch/counts?year=2018&as_of=1"),
        ("GET", "/v1/persons/{person_id}/export"),
        ("GET", "/v1/persons/{person_id}/competencies/grounds"),
        ("PATCH", "/v1/persons/{person_id}"),
        ("POST", "/v1/persons/{person_id}/merge"),
        ("DELETE", "/v1/persons/{person_id}/identity"),
    ],
)
async def test_what_is_about_all_needs_a_client_without_limit(world: World, method: str, path: str) -> None:
    """Even about one's own: history and identities are not any organiser's."""
    own = path.format(person_id=world.ours.person_id, registration_id=world.ours.registration_id)
    assert said(await world.ours.client.request(method, own)) == REFUSED


async def test_small_numbers_are_left_out_of_counts_as_for_the_public(world: World, client: httpx2.AsyncClient) -> None:
    certification_id = await publish_certification(client)
    data = registration(world.ours.person_id, certification_id, organiser=world.ours.organiser)
    position = (await post(client, event("candidate.registered", data))).json()["position"]
    query = f"/v1/branch/counts?year=2018&min_position={position}"
    shown = [
        {row["certification_id"] for row in (await reader.get(query)).json()["by_certification"]}
        for reader in (world.ours.client, client)
    ]
    assert certification_id in shown[1] - shown[0]


async def test_without_the_scope_the_limit_is_not_what_is_missing(installation: Installation) -> None:
    async with installation.client("log:read", organisers=[]) as limited:
        answer = await post(limited, objective())
        assert said(answer) == (403, "/problems/scope-missing")
