"""What the OpenAPI document says of an operation beyond Litestar: the problems it answers, and who may call it.

A route tells the statuses that its subject brings with `opt=problems(409, 422)`; the rest follows from its form.
"""

from collections.abc import Iterator
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute

from contracts.problems import MEDIA_TYPE
from services.edge.limits import UNLIMITED
from services.edge.tokens import CALLER, CALLER_IF_ANY, Requires

PROBLEMS = "problems"
"""The key among a route's `opt`."""

SHOWS_IDENTITY = "shows_identity"
"""The key among a route's `opt`: its answer says who a person is; or does so with the query parameter named."""

STATUSES = {
    400: "The request is malformed.",
    401: "A valid bearer token is required.",
    403: "The token may not do this.",
    404: "There is no such thing.",
    408: "The request's body took too long to arrive.",
    409: "It conflicts with what is recorded.",
    410: "The person's identity has been erased.",
    413: "The content is too large.",
    415: "The media type is not understood here.",
    422: "A rule of the branch refuses.",
    429: "The client has used up its quota.",
    500: "The registry failed.",
    503: "Not now; the same request may succeed later.",
}
"""What each status of a problem says in general; `/problems` lists every kind."""

NULL = {"type": "null"}

HEADERS = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

SCHEMA = {
    "type": "object",
    "description": "A problem (RFC 9457), with the values it speaks of as further members.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^/problems/[a-z-]+$", "description": "Leads to a page about it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, naming nobody."},
        "rule": {"type": "string", "description": "The rule that refuses, of those at /problems."},
        "errors": {
            "type": "array",
            "description": "Where something is wrong.",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "A JSON Pointer, as a fragment."},
                    "parameter": {"type": "string"},
                },
            },
        },
    },
}


def problems(*statuses: int) -> dict[str, Any]:
    """For the `opt` of a route: the statuses of problems that cannot be told from its form."""
    return {PROBLEMS: statuses}


def finish_operations(document: dict[str, Any], app: Litestar) -> None:
    """Complete each operation of the document, and the components it refers to."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = SCHEMA
    components["responses"] = {_name(status): _response(status) for status in STATUSES}
    for path, method, handler in _documented(app):
        operation = document["paths"][path][method]
        for parameter in operation.get("parameters", ()):
            _finish_parameter(parameter["schema"], _definition(handler, parameter["name"]))
        answers = operation["responses"]
        answers.pop("400", None)  # Litestar's own form, which is never sent
        for status in sorted(_statuses(operation, path, handler)):
            answers[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
        if (security := _security(handler)) is not None:
            operation["security"] = security
        if (scope := _scope(handler)) is not None:
            operation["x-required-scope"] = scope


def _finish_parameter(schema: dict[str, Any], definition: ParameterKwarg | None) -> None:
    """A parameter that is not given is absent, never null. Bounds are integers, zero included: Litestar's are not."""
    if NULL in (members := schema.get("oneOf", ())):
        (given,) = (member for member in members if member != NULL)
        del schema["oneOf"]
        schema.update(given)
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (type_ for type_ in schema["type"] if type_ != "null")
    if None in schema.get("enum", ()):
        schema["enum"].remove(None)
    if definition is not None:
        bounds = {"minimum": definition.ge, "maximum": definition.le}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})


def _definition(handler: HTTPRouteHandler, name: str) -> ParameterKwarg | None:
    """What the route declares of its parameter."""
    for field in handler.parsed_fn_signature.parameters.values():
        definition = field.kwarg_definition
        if isinstance(definition, ParameterKwarg) and name in (definition.name, field.name):
            return definition
    return None


def _name(status: int) -> str:
    return f"Problem{status}"


def _response(status: int) -> dict[str, Any]:
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"status": {"const": status}}}]}
    response: dict[str, Any] = {"description": STATUSES[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if (header := HEADERS.get(status)) is not None:
        response["headers"] = {header: {"required": True, "schema": {"type": "string"}}}
    return response


def _statuses(operation: dict[str, Any], path: str, handler: HTTPRouteHandler) -> set[int]:
    statuses = {500, 503, *handler.opt.get(PROBLEMS, ())}
    if path not in UNLIMITED:
        statuses.add(429)
    if operation.get("parameters"):
        statuses.add(400)
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {400, 408, 413, 415}
    if _scope(handler) or _asks_for(handler, CALLER):
        statuses |= {401, 403}
    if _asks_for(handler, CALLER_IF_ANY):
        statuses |= {401, 403}
    return statuses


def _security(handler: HTTPRouteHandler) -> list[dict[str, list[str]]] | None:
    """A scope is told as OpenAPI 3.1 has it for schemes other than OAuth: a role among the scheme's requirements."""
    if (scope := _scope(handler)) is not None:
        return [{"bearer": [scope]}]
    if _asks_for(handler, CALLER):
        return [{"bearer": []}]
    return [{}, {"bearer": []}] if _asks_for(handler, CALLER_IF_ANY) else None


def _scope(handler: HTTPRouteHandler) -> str | None:
    return next((guard.scope for guard in handler.resolve_guards() if isinstance(guard, Requires)), None)


def _asks_for(handler: HTTPRouteHandler, dependency: str) -> bool:
    return dependency in handler.parsed_fn_signature.parameters


def _documented(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format or "/", method.lower(), handler
