"""What the OpenAPI document says of posted events and their answers. Litestar cannot tell: the route reads its body and
writes its answers by itself."""

from dataclasses import dataclass

from litestar.openapi.spec import (
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)

from contracts.facts import FACTS
from services.registry.http.cloudevents import BATCH, ID_LENGTH_MAX, NDJSON, STRUCTURED

BATCH_EVENTS_MAX = 1_000

DESCRIPTION = (
    "One CloudEvent 1.0 as JSON, a batch of them, or a stream of one a line. Or one in binary mode: application/json "
    "holds its data, and the headers ce-specversion, ce-id, ce-source, ce-type and perhaps ce-time its attributes."
)

POSTED = {
    type_name: Reference(ref=f"#/components/schemas/{fact_type.posted.__name__}")
    for type_name, fact_type in FACTS.items()
    if fact_type.posted is not None
}
"""The data of each type that is posted."""

_STRING = Schema(type=OpenAPIType.STRING, min_length=1)
_EVENT = Schema(
    type=OpenAPIType.OBJECT,
    required=["specversion", "id", "source", "type", "data"],
    properties={
        "specversion": Schema(const="1.0"),
        "id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=ID_LENGTH_MAX),
        "source": _STRING,
        "time": Schema(type=OpenAPIType.STRING, description="When it occurred: a timestamp of RFC 3339."),
        "correlationid": _STRING,
        "causationid": _STRING,
        "traceparent": _STRING,
    },
    one_of=[
        Schema(title=type_name, properties={"type": Schema(const=type_name), "data": data})
        for type_name, data in POSTED.items()
    ],
)


_PREFER = Parameter(
    name="Prefer",
    param_in="header",
    description="`wait=N` (RFC 7240), one event only: answer once a signed checkpoint covers it, 10 seconds at most."
    " `Preference-Applied` and a `Link` to its proof then say so; without them it is recorded all the same.",
    schema=Schema(type=OpenAPIType.STRING),
)
_RECEIPT = Reference(ref="#/components/schemas/Receipt")
_RESULT = Schema(
    description="What became of one event: a receipt with the status 201 or 200, or a problem.",
    any_of=[Reference(ref="#/components/schemas/Result"), Reference(ref="#/components/schemas/Problem")],
)
_RESULTS = Schema(
    type=OpenAPIType.OBJECT,
    required=["results"],
    properties={"results": Schema(type=OpenAPIType.ARRAY, items=_RESULT, description="In the order of the events.")},
)
_ONE_OR_MANY = OpenAPIMediaType(schema=Schema(any_of=[_RECEIPT, _RESULTS]))
_LOCATION = OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description="Where the entry of one event is found.")


@dataclass
class PostEvents(Operation):
    """The operation with its bodies and its answers."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or []), _PREFER]
        batch = Schema(type=OpenAPIType.ARRAY, items=_EVENT, max_items=BATCH_EVENTS_MAX)
        self.request_body = RequestBody(
            description=DESCRIPTION,
            required=True,
            content={
                STRUCTURED: OpenAPIMediaType(schema=_EVENT),
                BATCH: OpenAPIMediaType(schema=batch),
                NDJSON: OpenAPIMediaType(schema=_EVENT),
                "application/json": OpenAPIMediaType(schema=Schema(any_of=list(POSTED.values()))),
            },
        )
        self.responses = {
            "201": OpenAPIResponse(
                description="Recorded: the receipt of one event, or the results of an atomic batch",
                content={"application/json": _ONE_OR_MANY},
                headers={"Location": _LOCATION},
            ),
            "200": OpenAPIResponse(
                description="Recorded before: the first receipt. Or the results of a batch, or of a stream",
                content={"application/json": _ONE_OR_MANY, NDJSON: OpenAPIMediaType(schema=_RESULT)},
                headers={"Location": _LOCATION},
            ),
        }
