"""Health, metrics, documentation."""

import asyncio
import re
from typing import Annotated, Literal

import httpx
import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.params import JSONBody, QueryParameter
from prometheus_client import CollectorRegistry, Counter

from services.edge import vendor
from services.edge.docs import docs_router, openapi_config
from services.edge.operations import problems
from services.edge.ops import Check, ops_router
from services.edge.problems import exception_handlers
from services.edge.tokens import Requires


class Cat(msgspec.Struct, tag="cat", forbid_unknown_fields=True):
    lives: int


class Dog(msgspec.Struct, tag="dog", forbid_unknown_fields=True):
    tricks: list[str]


@post("/pets", guards=[Requires("pets:write")], opt=problems(409))
async def post_pet(data: JSONBody[Cat | Dog]) -> None: ...


@get("/pets")
async def get_pets(
    behind: Annotated[int | None, QueryParameter(ge=0, le=2**63 - 1)] = None,
    colour: Annotated[Literal["black", "white"] | None, QueryParameter()] = None,
) -> list[Cat | Dog]:
    return []


@pytest.fixture
def checks() -> dict[str, Check]:
    return {}


@pytest.fixture
def client(checks: dict[str, Check]) -> httpx.AsyncClient:
    registry = CollectorRegistry()
    Counter("cats", "Cats seen", registry=registry).inc()
    app = Litestar(
        [post_pet, get_pets, ops_router(checks, registry, check_s=0.05), docs_router([Cat | Dog])],
        exception_handlers=exception_handlers,
        openapi_config=openapi_config(title="Pets", version="1"),
        logging_config=None,
        state=State({"authenticator": None}),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def passes() -> None: ...


async def fails() -> None:
    raise RuntimeError("secret address")


async def hangs() -> None:
    await asyncio.Event().wait()


async def test_alive_touches_nothing(client: httpx.AsyncClient, checks: dict[str, Check]) -> None:
    checks["log"] = fails
    assert (await client.get("/health/live")).json() == {"status": "ok"}


async def test_ready_when_every_check_passes(client: httpx.AsyncClient, checks: dict[str, Check]) -> None:
    checks["log"] = passes
    assert (await client.get("/health/ready")).status_code == 200


async def test_not_ready_names_the_failing_checks_and_not_why(
    client: httpx.AsyncClient, checks: dict[str, Check]
) -> None:
    checks.update(log=passes, vault=hangs, nats=fails)
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["nats", "vault"])
    assert "secret" not in answer.text


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "cats_total 1.0" in answer.text


async def test_the_document_has_discriminators_closed_objects_and_scopes(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/pets"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body["discriminator"]["propertyName"] == "type"
    assert "oneOf" not in body
    assert document["components"]["schemas"]["Cat"]["additionalProperties"] is False
    assert (operation["security"], operation["x-required-scope"]) == ([{"bearer": ["pets:write"]}], "pets:write")
    assert "security" not in document["paths"]["/pets"]["get"]
    assert "/health/live" in document["paths"]
    assert "/docs" not in document["paths"]


async def test_the_document_tells_the_problems_that_are_really_sent(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    post_answers, get_answers = (document["paths"]["/pets"][method]["responses"] for method in ("post", "get"))
    assert set(post_answers) == {"201", "400", "401", "403", "408", "409", "413", "415", "429", "500", "503"}
    assert set(get_answers) == {"200", "400", "429", "500", "503"}
    problem = document["components"]["responses"][post_answers["400"]["$ref"].rpartition("/")[2]]
    (media_type,) = problem["content"]
    assert media_type == "application/problem+json"


async def test_the_document_tells_parameters_as_they_are_sent(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = {parameter["name"]: parameter["schema"] for parameter in document["paths"]["/pets"]["get"]["parameters"]}
    assert schemas["behind"] == {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    assert schemas["colour"] == {"type": "string", "enum": ["black", "white"]}


async def test_the_docs_page_works_without_the_internet(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await client.get(address)).status_code == 200, address


def test_the_vendored_files_are_those_of_the_lock_file() -> None:
    assert vendor.changed_files() == []
