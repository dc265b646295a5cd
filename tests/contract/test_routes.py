"""Who may use each route: nothing is public, or open to clients that are limited to some organisers, by oversight."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from services.app import create_app
from services.edge.tokens import Requires
from services.settings import ServeSettings

PUBLIC = {
    "GET /docs",
    "GET /docs/litestar",
    "GET /docs/litestar/openapi.json",
    "GET /docs/litestar/{path}",
    "GET /docs/static/{name}",
    "GET /health/live",
    "GET /health/ready",
    "GET /log/checkpoint",
    "GET /log/tile/{level}/{place}",
    "GET /metrics",
    "GET /openapi.json",
    "GET /problems",
    "GET /problems/{slug}",
    "GET /v1/branch/counts",
    "GET /v1/certificates/{certificate_number}",
    "GET /v1/certifications",
    "GET /v1/certifications/{certification_id}",
    "GET /v1/certifications/{certification_id}/versions/{version}",
    "GET /v1/equivalences",
    "GET /v1/log/checkpoints",
    "GET /v1/log/consistency",
}
"""What anybody may ask for; counts show more to some."""

JUDGED_BY_THE_FACT = {"POST /v1/events"}
"""Scope and limit depend on what is posted."""

OPEN_TO_LIMITED_CLIENTS = {
    "GET /v1/persons/{person_id}": "person",
    "GET /v1/persons/{person_id}/competencies": "person",
    "GET /v1/persons/{person_id}/history": "person",
    "GET /v1/persons/{person_id}/pathways": "person",
    "GET /v1/registrations/{registration_id}": "registration",
    "POST /v1/persons": "caller",
}


@pytest.fixture(scope="module")
def routes() -> dict[str, list[Requires]]:
    """Method and address of every route, with its guards. The application is not started."""
    nowhere = ServeSettings(
        database_url="postgresql://", nats_url="nats://", jwks="-", issuer="-", audience="-", vault_key=bytes(32)
    )
    inner: Any = create_app(nowhere, asyncio.Event())
    while not isinstance(inner, Litestar):
        inner = getattr(inner, "app", None) or inner._app
    return dict(_routes(inner))


def _routes(app: Litestar) -> Iterator[tuple[str, list[Requires]]]:
    for route in app.routes:
        assert isinstance(route, HTTPRoute), route.path
        for method, (handler, _) in route.route_handler_map.items():
            if method not in ("HEAD", "OPTIONS"):  # HEAD is answered as GET; OPTIONS names methods
                guards = [guard for guard in handler.resolve_guards() if isinstance(guard, Requires)]
                yield f"{method} {route.path_format}", guards


def test_every_route_has_a_scope_or_is_public_on_purpose(routes: dict[str, list[Requires]]) -> None:
    assert {name for name, guards in routes.items() if not guards} == PUBLIC | JUDGED_BY_THE_FACT


def test_a_route_is_open_to_limited_clients_on_purpose_only(routes: dict[str, list[Requires]]) -> None:
    """One guard that is about all closes it, whatever others say."""
    about = {name: {guard.about for guard in guards} for name, guards in routes.items() if guards}
    assert {name: kinds for name, kinds in about.items() if "all" not in kinds} == {
        name: {kind} for name, kind in OPEN_TO_LIMITED_CLIENTS.items()
    }
