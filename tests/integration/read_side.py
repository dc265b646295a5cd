"""The read side over HTTP, in this process and without followers, over a filled log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
from litestar import Litestar
from litestar.datastructures import State
from prometheus_client import CollectorRegistry

from services.edge.keys import keys_at
from services.edge.metrics import Metrics
from services.edge.outer import Outer
from services.edge.problems import exception_handlers
from services.edge.tokens import Authenticator, caller_dependencies
from services.embedded.data_folder import DataFolder
from services.embedded.issuer import AUDIENCE, ISSUER, Issuer
from services.projections import app
from tests.integration.filled_log import FilledLog


@contextlib.asynccontextmanager
async def read_side(log: FilledLog, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its routes, behind the edge."""
    keys = keys_at(str(Issuer(data_folder).jwks()))
    authenticator = Authenticator(keys, issuer=ISSUER, audience=AUDIENCE)
    application = Litestar(
        app.routes(),
        dependencies=dict(caller_dependencies),
        exception_handlers=exception_handlers,
        state=State({"authenticator": authenticator, "drain": asyncio.Event()}),
        logging_config=None,
    )
    async with keys.kept_fresh(), app.reading(application.state, log.url):
        transport = httpx.ASGITransport(Outer(application, Metrics(CollectorRegistry())))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield http
