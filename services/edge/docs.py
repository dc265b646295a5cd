"""The OpenAPI document, completed from what Litestar leaves out, and the page that shows it without the internet."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.response import File

from contracts.json_schemas import NOT_A_LINE_FEED
from contracts.problems import NotFound
from services.edge.operations import finish_operations

STATIC = Path(__file__).parent / "static"
REF = "#/components/schemas/{name}"
BEARER = (
    "A JWT of the registry's issuer. The claim `scope` holds what an operation requires; `sources` lists prefixes"
    " of the sources that it may post as."
)
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles from its script and draws icons from data: addresses."""


def openapi_config(*, title: str, version: str, description: str | None = None) -> OpenAPIConfig:
    """For `Litestar(openapi_config=…)`. Its own routes stay below `/docs/litestar`; ours are in `docs_router`."""
    scheme = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description=BEARER)
    return OpenAPIConfig(
        title=title,
        version=version,
        description=description,
        components=Components(security_schemes={"bearer": scheme}),
        path="/docs/litestar",
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
    )


def docs_router(types: Sequence[Any]) -> Router:
    """`/openapi.json`, `/docs` and its files. `types` are completed by `complete`."""
    document = b""
    files = {file.relative_to(STATIC).as_posix(): file for file in STATIC.rglob("*") if file.is_file()}

    @get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
        nonlocal document
        document = document or msgspec.json.encode(openapi_document(request.app, types))
        tag = f'"{hashlib.sha256(document).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        return Response(document, media_type="application/vnd.oai.openapi+json", headers=headers)

    @get("/docs", include_in_schema=False)
    async def docs() -> Response[bytes]:
        headers = {"Content-Security-Policy": PAGE_POLICY}
        return Response((STATIC / "docs.html").read_bytes(), media_type="text/html", headers=headers)

    @get("/docs/static/{name:path}", include_in_schema=False)
    async def static(name: FromPath[str]) -> File:
        file = files.get(name.strip("/"))  # a name from outside never meets the file system
        if file is None:
            raise NotFound("There is nothing at this address; see /docs.")
        return File(file, content_disposition_type="inline")

    return Router("/", route_handlers=[openapi, docs, static])


def openapi_document(app: Litestar, types: Sequence[Any]) -> dict[str, Any]:
    """The application's whole document."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    complete(document, types)
    finish_operations(document, app)
    return document


def complete(document: dict[str, Any], types: Sequence[Any]) -> None:
    """Put msgspec's own schemas of the types into the document, over Litestar's of the same name.

    Litestar's lack the discriminator of a union and `additionalProperties: false`. A union among `types` replaces
    every `oneOf` or `anyOf` of the same members in the document.
    """
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    unions = {_members(schema): schema for schema in schemas if "discriminator" in schema}
    for part in _parts(document):
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].removesuffix(NOT_A_LINE_FEED)
        if "discriminator" not in part and (union := unions.get(_members(part))) is not None:
            part.pop("oneOf", None)
            part.update(union)


def _members(schema: dict[str, Any]) -> frozenset[str]:
    members: Iterable[Any] = schema.get("oneOf") or schema.get("anyOf") or ()
    return frozenset(member.get("$ref", "") for member in members if isinstance(member, dict))


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in list(value.values()):
            yield from _parts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(part)
