"""`/v1/persons`: register persons, and read who they are."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import date
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.facts.fact import Uuid
from contracts.problems import Malformed, NotFound, Problem, UnsupportedMediaType
from services.edge.ndjson import Line, NdjsonAnswer
from services.edge.problems import malformed
from services.edge.tokens import Caller, Requires
from services.registry.http import strict_json
from services.registry.http.cloudevents import NDJSON, media_type
from services.registry.http.events import read_body
from services.registry.vault.identity import Identity
from services.registry.vault.vault import Registered, Vault

BODY_BYTES_MAX = 1 << 16

_encoder = msgspec.json.Encoder()


@post("/v1/persons", status_code=201, guards=[Requires("persons:write")], request_max_body_size=None)
async def post_persons(
    request: Request[Any, Any, Any], caller: NamedDependency[Caller], vault: NamedDependency[Vault]
) -> Response[Any]:
    """Register a person, or a stream of them. A civil identity that is known answers with the id it has."""
    kind = media_type(request.headers.get("content-type", ""))
    if kind == NDJSON:
        return NdjsonAnswer(lambda lines: _stream(lines, caller, vault))
    if kind != "application/json":
        raise UnsupportedMediaType(f"Post application/json, or {NDJSON}.")
    identity = _identity(strict_json.parse(await read_body(request, BODY_BYTES_MAX)))
    (registered,) = await vault.register([identity], caller.client_id)
    return Response(
        {"person_id": registered.person_id},
        status_code=201 if registered.new else 200,
        headers={"Location": f"/v1/persons/{registered.person_id}"},
    )


@get("/v1/persons/{person_id:str}", guards=[Requires("persons:read")])
async def get_person(person_id: FromPath[str], vault: NamedDependency[Vault]) -> Response[Any]:
    """Who a person is."""
    identity = await vault.identity(person_id) if _is_uuid(person_id) else None
    if identity is None:
        raise NotFound("No such person is registered.")
    members = msgspec.to_builtins(identity)
    return Response({"person_id": person_id} | members, headers={"Cache-Control": "no-store"})


def _is_uuid(text: str) -> bool:
    try:
        msgspec.convert(text, type=Uuid)
    except msgspec.ValidationError:
        return False
    return True


def _identity(value: Any) -> Identity:
    """Raises Malformed, naming the member but never its value."""
    strict_json.canonical(value)
    try:
        identity = msgspec.convert(value, Identity)
    except msgspec.ValidationError as error:
        raise malformed(error) from error
    if identity.birth_date > date.today():
        raise Malformed("birth_date lies in the future.")
    return identity


async def _stream(lines: AsyncIterator[list[Line]], caller: Caller, vault: Vault) -> AsyncGenerator[bytes, None]:
    async for batch in lines:
        parsed = [_line(line) for line in batch]
        identities = [identity for identity in parsed if isinstance(identity, Identity)]
        registered = iter(await vault.register(identities, caller.client_id) if identities else [])
        for line in parsed:
            yield (line.encode() if isinstance(line, Problem) else _result(next(registered))) + b"\n"


def _line(line: Line) -> Identity | Problem:
    if isinstance(line, Problem):
        return line
    try:
        return _identity(strict_json.parse(line))
    except Problem as problem:
        return problem


def _result(registered: Registered) -> bytes:
    return _encoder.encode({"status": 201 if registered.new else 200, "person_id": registered.person_id})
