"""Every exception has its problem, and none tells more than it should."""

from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.exceptions import HTTPException, LitestarException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from contracts.problems import Bug, Malformed, Problem, ScopeMissing, Unauthenticated, Unavailable
from services.edge.problems import exception_handlers, malformed, problem_headers, problem_of


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    count: int
    names: list[str] = []
    by_name: dict[str, int] = {}


@post("/inner")
async def post_inner(data: JSONBody[Inner], limit: FromQuery[int | None] = None) -> None: ...


@get("/things/{thing:uuid}")
async def get_thing(thing: FromPath[UUID], limit: FromQuery[int]) -> None: ...


@get("/span")
async def get_span(first: Annotated[int, QueryParameter(name="from")], to: FromQuery[int] = 0) -> None: ...


@get("/raises/{status:int}")
async def raise_status(status: FromPath[int]) -> None:
    raise HTTPException(status_code=status, detail="internal sentence")


@pytest.fixture
def client() -> httpx.AsyncClient:
    handlers = [post_inner, get_thing, get_span, raise_status]
    app = Litestar(handlers, exception_handlers=exception_handlers, openapi_config=None, logging_config=None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b'{"count":"one"}', "#/count"),
        (b'{"count":1,"names":["a",2]}', "#/names/1"),
        (b'{"count":1,"other":2}', "#"),
        (b"{}", "#"),
    ],
)
async def test_a_malformed_body_is_pointed_at(client: httpx.AsyncClient, content: bytes, pointer: str) -> None:
    answer = await client.post("/inner", content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_body_that_is_missing_or_no_json_is_malformed(client: httpx.AsyncClient) -> None:
    assert (await client.post("/inner")).json()["detail"] == "A JSON body is required."
    broken = (await client.post("/inner", content=b'{"count":')).json()
    assert broken["detail"] == "The content is not valid JSON: Input data was truncated"


async def test_a_malformed_parameter_is_named_and_the_query_is_not_repeated(client: httpx.AsyncClient) -> None:
    path = "/things/6f1c1c10-0000-4000-8000-000000000000"
    answer = await client.get(f"{path}?limit=martin")
    assert answer.json()["errors"] == [{"detail": "Expected `int`, got `str`", "parameter": "limit"}]
    assert "martin" not in answer.text
    assert (await client.get(path)).json()["detail"] == "The query parameter limit is required."


async def test_a_malformed_parameter_is_named_as_it_was_sent(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/span?from=x")).json()
    assert answer["errors"][0]["parameter"] == "from"
    assert answer["detail"].endswith(", at from.")
    assert (await client.get("/span?from=1&to=x")).json()["errors"][0]["parameter"] == "to"
    assert (await client.get("/span")).json()["detail"] == "The query parameter from is required."


async def test_unknown_addresses_and_methods_are_told(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things/not-a-uuid?limit=1")).status_code == 404
    answer = await client.get("/inner")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(("raised", "status"), [(401, 401), (413, 413), (418, 400), (429, 429), (500, 500), (503, 503)])
async def test_http_errors_keep_their_status_and_lose_their_words(
    client: httpx.AsyncClient, raised: int, status: int
) -> None:
    answer = await client.get(f"/raises/{raised}")
    assert answer.status_code == answer.json()["status"] == status
    assert "internal sentence" not in answer.text


def test_a_value_of_a_map_is_a_star_in_the_pointer() -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(b'{"count":1,"by_name":{"a":"b"}}', type=Inner)
    assert malformed(refused.value).values["errors"][0]["pointer"] == "#/by_name/*"


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), Unavailable),
        (TimeoutError(), Unavailable),
        (asyncpg.ConnectionDoesNotExistError(), Unavailable),
        (asyncpg.TooManyConnectionsError(), Unavailable),
        (asyncpg.AdminShutdownError(), Unavailable),
        (asyncpg.LockNotAvailableError(), Unavailable),
        (asyncpg.ReadOnlySQLTransactionError(), Unavailable),
        (asyncpg.InterfaceError("pool is closing"), Unavailable),
        (asyncpg.InterfaceError("another operation is in progress"), Bug),
        (asyncpg.exceptions._base.DataError("invalid input for query argument $1"), Bug),
        (asyncpg.UniqueViolationError("secret"), Bug),
        (msgspec.DecodeError("malformed"), Malformed),
        (KeyError("secret"), Bug),
        (chained(LitestarException(), TimeoutError()), Unavailable),
        (chained(LitestarException(), KeyError()), Bug),
    ],
)
def test_each_error_has_its_fate(error: Exception, kind: type[Problem]) -> None:
    problem = problem_of(error)
    assert type(problem) is kind
    assert "secret" not in problem.detail


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        (Unavailable("later", retry_after_s=5), {"retry-after": "5"}),
        (Unauthenticated("none"), {"www-authenticate": "Bearer"}),
        (Unauthenticated("bad", error="invalid_token"), {"www-authenticate": 'Bearer error="invalid_token"'}),
        (
            ScopeMissing("no", scope="log:read"),
            {"www-authenticate": 'Bearer error="insufficient_scope", scope="log:read"'},
        ),
    ],
)
def test_problems_bring_their_headers(problem: Problem, headers: dict[str, Any]) -> None:
    found = {name.decode(): value.decode() for name, value in problem_headers(problem)}
    assert found == {"content-type": "application/problem+json"} | headers
