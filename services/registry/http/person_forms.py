"""What the OpenAPI document says of persons: the bodies that routes read by themselves."""

from dataclasses import dataclass

import msgspec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)

from contracts.facts.fact import Uuid
from services.registry.http.cloudevents import NDJSON
from services.registry.vault.identity import Identity

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class PersonId(msgspec.Struct, frozen=True):
    """The id under which the log knows a person."""

    person_id: Uuid


class PersonResult(msgspec.Struct, frozen=True):
    """What became of one identity among many: 201 when registered, 200 when known before."""

    status: int
    person_id: Uuid


class Person(Identity, frozen=True, kw_only=True):
    """Who a person is."""

    person_id: Uuid


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which person is merged into the one of the address."""

    merged_id: Uuid


class Merged(msgspec.Struct, frozen=True):
    """Two ids that are one person from now on."""

    kept_id: Uuid
    merged_id: Uuid


def _content(name: str) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=Reference(ref=f"#/components/schemas/{name}"))


@dataclass
class PostPersons(Operation):
    """The operation with its bodies and its answers."""

    def __post_init__(self) -> None:
        identity = _content("Identity")
        self.request_body = RequestBody(
            description="One civil identity, or a stream of them, one a line.",
            required=True,
            content={JSON: identity, NDJSON: identity},
        )
        result = Schema(
            any_of=[
                Reference(ref="#/components/schemas/PersonResult"),
                Reference(ref="#/components/schemas/Problem"),
            ]
        )
        self.responses = {
            "201": OpenAPIResponse(description="Registered", content={JSON: _content("PersonId")}),
            "200": OpenAPIResponse(
                description="Known before: the id it has. Or the results of a stream, in order, as they come",
                content={JSON: _content("PersonId"), NDJSON: OpenAPIMediaType(schema=result)},
            ),
        }


@dataclass
class PatchPerson(Operation):
    """The operation with its body."""

    def __post_init__(self) -> None:
        patch = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT))
        self.request_body = RequestBody(
            description="A merge patch (RFC 7396) of the identity: null takes a member away.",
            required=True,
            content={MERGE_PATCH: patch, JSON: patch},
        )


@dataclass
class MergePersons(Operation):
    """The operation with its body."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(required=True, content={JSON: _content("Merge")})
