"""GET /v1/ops/followers."""

import asyncpg
from litestar import Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide

from services.edge.tokens import Requires
from services.projections.exposition import Followers, followers


async def provide_followers(state: State) -> asyncpg.Pool:
    """The pool that the application's state holds while it runs."""
    pool: asyncpg.Pool = state["followers"]
    return pool


@get(
    "/v1/ops/followers",
    operation_id="listFollowers",
    summary="How far the read side is",
    tags=["operations"],
    guards=[Requires("ops:read")],
    dependencies={"pool": Provide(provide_followers)},
)
async def get_followers(*, pool: NamedDependency[asyncpg.Pool]) -> Response[Followers]:
    """Every follower with its position, its lag, who runs it, what it was made of, and which keys wait for a repair."""
    return Response(await followers(pool), headers={"Cache-Control": "no-store"})
