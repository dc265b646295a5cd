"""The routes of those who run the registry: is it alive, is it ready, what does it count."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from litestar import MediaType, Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from contracts.problems import Unavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.edge")

CHECK_S = 2.0

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is not ready."""


def ops_router(checks: Mapping[str, Check], registry: CollectorRegistry, *, check_s: float = CHECK_S) -> Router:
    """`/health/live`, `/health/ready` and `/metrics`. The names of the checks are public; what they raise is not.

    `checks` is read at each request: more may be added after start.
    """

    @get("/health/live", tags=["operations"], summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready", tags=["operations"], summary="All that requests need is within reach")
    async def ready() -> dict[str, str]:
        failing = await failing_checks(checks, check_s)
        if failing:
            raise Unavailable(f"Not ready: {', '.join(failing)}.", failing=failing)
        return {"status": "ok"}

    @get("/metrics", tags=["operations"], summary="Metrics for Prometheus", media_type=MediaType.TEXT)
    async def metrics() -> Response[bytes]:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Router("/", route_handlers=[live, ready, metrics])


async def failing_checks(checks: Mapping[str, Check], check_s: float) -> list[str]:
    """The names of the checks that fail or take over `check_s`, in order; all run at once."""
    names = sorted(checks)
    passed = await asyncio.gather(*(_passes(name, checks[name], check_s) for name in names))
    return [name for name, good in zip(names, passed, strict=True) if not good]


async def _passes(name: str, check: Check, check_s: float) -> bool:
    try:
        async with asyncio.timeout(check_s):
            await check()
    except Exception as error:
        log.warning("not_ready", check=name, reason=type(error).__name__)
        return False
    return True
