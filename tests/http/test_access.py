"""Who may post what: tokens, scopes, sources. And what is no address, no method, no media type."""

from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer
from tests.installation import SCOPES, Installation, event, objective, post

ANY_SCOPE = (
    ("POST", "/v1/events"),
    ("POST", "/v1/persons"),
    ("GET", "/v1/log/entries"),
    ("GET", "/v1/log/entries/1"),
    ("GET", "/v1/persons/00000000-0000-4000-8000-000000000000"),
)


@pytest.mark.parametrize(("method", "path"), ANY_SCOPE)
async def test_without_a_token_nothing_is_told(installation: Installation, method: str, path: str) -> None:
    async with installation.client() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_that_is_not_valid_is_no_token(installation: Installation, tmp_path: Path) -> None:
    own = Issuer(DataFolder(installation.data))
    tokens = [
        "nonsense",
        own.token(SCOPES, [""], "tests", -3600),
        Issuer(DataFolder(tmp_path)).token(SCOPES, [""], "tests", 3600),
        own.token(SCOPES, [""], "", 3600),
        installation.token(*SCOPES)[:-8] + "AAAAAAAA",
    ]
    async with installation.client() as client:
        for token in tokens:
            answer = await post(client, objective(), token=token)
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


FACTS = {
    "certification.published": "catalogue:write",
    "certification.withdrawn": "catalogue:write",
    "equivalence.recognised": "catalogue:write",
    "equivalence.repealed": "catalogue:write",
    "objective.set": "catalogue:write",
    "candidate.registered": "registrations:write",
    "registration.closed": "registrations:write",
    "registration.reopened": "registrations:write",
    "evaluation.recorded": "evaluations:write",
    "evaluation.corrected": "evaluations:write",
    "jury.held": "awards:write",
    "bloc.validated": "awards:write",
    "bloc.invalidated": "awards:write",
    "certificate.awarded": "awards:write",
    "certificate.revoked": "awards:write",
}


@pytest.mark.parametrize(("name", "scope"), FACTS.items())
async def test_a_fact_needs_its_scope(installation: Installation, name: str, scope: str) -> None:
    async with installation.client(*(other for other in SCOPES if other != scope)) as client:
        answer = await post(client, event(name, {}))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-missing")
    assert answer.json()["scope"] == scope
    async with installation.client(scope) as client:
        answer = await post(client, event(name, {}))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


@pytest.mark.parametrize(
    ("prefixes", "source"),
    [
        ([""], "anything at all"),
        ([""], "urn:certibranche:registry:hr"),
        (["urn:acme"], "urn:acme"),
        (["urn:acme"], "urn:acme:paris"),
        (["urn:acme"], "urn:acme/paris"),
        (["urn:acme:"], "urn:acme:paris"),
        (["urn:acme:"], "urn:acme:"),
        (["https://hr.example/"], "https://hr.example/lyon"),
        (["https://hr.example"], "https://hr.example/lyon"),
        (["https://hr.example"], "https://hr.example:8443"),
        (["urn:other", "urn:acme"], "urn:acme:paris"),
    ],
)
async def test_a_source_that_a_prefix_covers_may_post(
    installation: Installation, prefixes: Sequence[str], source: str
) -> None:
    async with installation.client("catalogue:write", sources=prefixes) as client:
        assert (await post(client, objective(source=source))).status_code == 201


@pytest.mark.parametrize(
    ("prefixes", "source"),
    [
        ([], "urn:acme"),
        (["urn:acme"], "urn:acmecorp"),
        (["urn:acme"], "urn:acme-corp"),
        (["urn:acme"], "urn:acme.paris"),
        (["urn:acme"], "urn:acme?x"),
        (["urn:acme"], "urn:acm"),
        (["urn:acme"], "URN:ACME"),
        (["urn:acme"], " urn:acme"),
        (["urn:acme"], "x:urn:acme"),
        (["urn:acme:"], "urn:acme"),
        (["urn:acme:"], "urn:acmes:"),
        (["https://hr.example/"], "https://hr.example.org/"),
        (["https://hr.example"], "https://hr.example.org/"),
        (["urn:acme:*"], "urn:acme:paris"),
        (["urn:certibranche:tests"], "urn:certibranche:registry"),
        (["urn:certibranche:registry"], "urn:certibranche:registry"),
        ([""], "urn:certibranche:registry"),
    ],
)
async def test_a_foreign_source_is_refused(installation: Installation, prefixes: Sequence[str], source: str) -> None:
    async with installation.client("catalogue:write", sources=prefixes) as client:
        answer = await post(client, objective(source=source))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/source-not-allowed")
    assert answer.json()["source"] == source


async def test_who_may_not_post_learns_nothing_of_what_is_recorded(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    """An identical retry of what another system posted is refused like any foreign source."""
    posted = objective()
    await post(client, posted)
    async with installation.client("catalogue:write", sources=["urn:other"]) as foreign:
        assert (await post(foreign, posted)).status_code == 403


async def test_another_client_may_retry_for_a_source_it_may_post(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    posted = objective()
    first = await post(client, posted)
    async with installation.client("catalogue:write", client_id="other") as other:
        again = await post(other, posted)
    assert (again.status_code, again.json()) == (200, first.json())
    entry = (await client.get(first.headers["location"])).json()
    assert entry["authid"] == "tests"


async def test_what_is_at_no_address_is_not_found(client: httpx2.AsyncClient) -> None:
    for path in ("/v1/nothing", "/v1/events/1", "/v1/log/entries/0", "/v1/log/entries/9999999", "/v1/log/entries/x"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/events", "POST"),
        ("PUT", "/v1/persons", "POST"),
        ("POST", "/v1/log/entries", "GET"),
    ],
)
async def test_a_method_that_an_address_does_not_know(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert allowed in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain",
        "application/cloudevents+xml",
        "application/cloudevents",
        "application/cloudevents+json; charset=iso-8859-1",
        "application/x-www-form-urlencoded",
        "",
        "*/*",
    ],
)
async def test_events_have_a_media_type_of_their_own(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/v1/events", content=b"{}", headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/cloudevents+xml", ""])
async def test_binary_data_is_json(client: httpx2.AsyncClient, content_type: str) -> None:
    headers = {f"ce-{name}": value for name, value in objective().items() if name != "data"}
    answer = await client.post("/v1/events", content=b"{}", headers=headers | {"Content-Type": content_type})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_structured_data_is_json(client: httpx2.AsyncClient) -> None:
    answer = await post(client, objective(datacontenttype="application/xml"))
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
