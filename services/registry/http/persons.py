"""`/v1/persons`: register persons, and read who they are."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import HttpMethod, Request, Response, delete, get, patch, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.problems import Malformed, Problem, UnsupportedMediaType
from services.edge.ndjson import Line, NdjsonAnswer
from services.edge.operations import SHOWS_IDENTITY, problems
from services.edge.problems import malformed
from services.edge.tokens import Caller, Requires
from services.log.proposal import Recorded
from services.registry.http import strict_json
from services.registry.http.cloudevents import NDJSON, media_type
from services.registry.http.events import read_body, refuse_other_codings
from services.registry.http.person_forms import (
    MERGE_PATCH,
    Merge,
    Merged,
    MergePersons,
    PatchPerson,
    Person,
    PersonId,
    PersonResult,
    PostPersons,
)
from services.registry.proposals import paris_day
from services.registry.vault.identity import Identity
from services.registry.vault.vault import Registered, Vault

BODY_BYTES_MAX = 1 << 16

_encoder = msgspec.json.Encoder()


@post(
    "/v1/persons",
    operation_id="postPersons",
    summary="Register persons",
    tags=["Persons"],
    status_code=201,
    guards=[Requires("persons:write", about="caller"), refuse_other_codings],
    request_max_body_size=None,
    operation_class=PostPersons,
)
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
        PersonId(registered.person_id),
        status_code=201 if registered.new else 200,
        headers={"Location": f"/v1/persons/{registered.person_id}"},
    )


@get(
    "/v1/persons/{person_id:str}",
    operation_id="getPerson",
    summary="Who a person is",
    tags=["Persons"],
    guards=[Requires("persons:read", about="person")],
    opt=problems(410) | {SHOWS_IDENTITY: True},
)
async def get_person(person_id: FromPath[str], vault: NamedDependency[Vault]) -> Response[Person]:
    """Who a person is. An id that was merged into another answers as that one."""
    return _who(*await vault.identity(person_id))


@patch(
    "/v1/persons/{person_id:str}",
    operation_id="rectifyPerson",
    summary="Put an identity right",
    tags=["Persons"],
    guards=[Requires("persons:admin"), refuse_other_codings],
    request_max_body_size=None,
    operation_class=PatchPerson,
    opt=problems(409, 410) | {SHOWS_IDENTITY: True},
)
async def rectify_person(
    request: Request[Any, Any, Any],
    person_id: FromPath[str],
    caller: NamedDependency[Caller],
    vault: NamedDependency[Vault],
) -> Response[Person]:
    """Put an identity right: a merge patch (RFC 7396) of the identity."""
    if media_type(request.headers.get("content-type", "")) not in ("application/json", MERGE_PATCH):
        raise UnsupportedMediaType(f"Patch with {MERGE_PATCH}, or application/json.")
    changes = strict_json.parse(await read_body(request, BODY_BYTES_MAX))
    if not isinstance(changes, dict):
        raise Malformed("A merge patch of an identity is a JSON object.")

    def amend(before: Identity | None) -> Identity:
        return _identity(merge_patch(msgspec.to_builtins(before), changes))

    kept_id, after, recorded = await vault.rectify(person_id, amend, caller.client_id, names_nir="nir" in changes)
    return _who(kept_id, after, **({} if recorded is None else _position(recorded)))


@post(
    "/v1/persons/{person_id:str}/merge",
    operation_id="mergePersons",
    summary="Two ids are one person",
    tags=["Persons"],
    status_code=200,
    guards=[Requires("persons:admin"), refuse_other_codings],
    request_max_body_size=None,
    operation_class=MergePersons,
    opt=problems(409, 410, 422),
)
async def merge_persons(
    request: Request[Any, Any, Any],
    person_id: FromPath[str],
    caller: NamedDependency[Caller],
    vault: NamedDependency[Vault],
) -> Response[Merged]:
    """Record that two ids are one person: from then on merged_id is another name of this one."""
    if media_type(request.headers.get("content-type", "")) != "application/json":
        raise UnsupportedMediaType("Post application/json.")
    try:
        merge = msgspec.convert(strict_json.parse(await read_body(request, BODY_BYTES_MAX)), Merge)
    except msgspec.ValidationError as error:
        raise malformed(error) from error
    recorded = await vault.merge(person_id, merge.merged_id, caller.client_id)
    return Response(Merged(kept_id=person_id, merged_id=merge.merged_id), headers=_position(recorded))


@delete(
    "/v1/persons/{person_id:str}/identity",
    operation_id="erasePerson",
    summary="Erase an identity",
    tags=["Persons"],
    status_code=204,
    guards=[Requires("persons:erase")],
    opt=problems(409, 410),
)
async def erase_person(
    person_id: FromPath[str], caller: NamedDependency[Caller], vault: NamedDependency[Vault]
) -> Response[None]:
    """Erase who a person is. What was awarded stays true; nobody can say any more to whom."""
    recorded = await vault.erase(person_id, caller.client_id)
    return Response(None, status_code=204, headers=_position(recorded))


@route("/v1/persons/{person_id:str}", http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
async def person_options() -> Response[None]:
    """Litestar's own answer would name the first method alone where two routes share an address."""
    return Response(None, headers={"Allow": "GET, OPTIONS, PATCH"})


def merge_patch(target: Any, changes: Any) -> Any:
    """The target changed as RFC 7396 says: null takes a member away, objects are merged, all else replaces."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(target) if isinstance(target, dict) else {}
    for name, change in changes.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), change)
    return merged


def _who(person_id: str, identity: Identity, **headers: str) -> Response[Person]:
    person = Person(person_id=person_id, **msgspec.structs.asdict(identity))
    return Response(person, headers={"Cache-Control": "no-store"} | headers)


def _position(recorded: Recorded) -> dict[str, str]:
    return {"Registry-Position": str(recorded.position)}


def _identity(value: Any) -> Identity:
    """Raises Malformed, naming the member but never its value."""
    strict_json.canonical(value)
    try:
        identity = msgspec.convert(value, Identity)
    except msgspec.ValidationError as error:
        raise malformed(error) from error
    if identity.birth_date > paris_day(datetime.now(UTC)):
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
    return _encoder.encode(PersonResult(201 if registered.new else 200, registered.person_id))
