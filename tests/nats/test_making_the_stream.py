"""The stream is made although the server could not make its files at once, and not said to be when it cannot."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import stamina
from nats.js.errors import NotFoundError, ServerError
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from contracts.subjects import STREAM
from services.projections.relay import Servers, migrate_stream
from tests.nats.relays import OwnServer, administrator, started

REFUSAL = ServerError(500, "error creating store for stream", 10049)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[OwnServer]:
    """A server without a stream."""
    async for server in started(tmp_path / "own"):
        yield server


@pytest.fixture
def in_the_way(server: OwnServer) -> Path:
    """A file where the server has the folder of all streams."""
    folder = server.files / "jetstream"
    shutil.rmtree(folder)
    folder.touch()
    return folder


async def test_a_stream_whose_files_cannot_be_made_yet_is_asked_for_again(server: OwnServer, in_the_way: Path) -> None:
    causes = []
    hooks = get_on_retry_hooks()

    def clear(details: RetryDetails) -> None:
        causes.append(details.caused_by)
        in_the_way.unlink()

    set_on_retry_hooks([*hooks, clear])
    try:
        await migrate_stream(Servers(server.nats.admin_url))
    finally:
        set_on_retry_hooks(hooks)
    async with administrator(server.nats.admin_url) as admin:
        assert (await admin.jetstream().stream_info(STREAM)).config.deny_delete
    assert [str(cause) for cause in causes] == [str(REFUSAL)]


@pytest.mark.usefixtures("in_the_way")
async def test_a_stream_whose_files_cannot_be_made_is_refused_in_the_end(server: OwnServer) -> None:
    with stamina.set_testing(True, attempts=2), pytest.raises(ServerError, match="error creating store"):
        await migrate_stream(Servers(server.nats.admin_url))
    async with administrator(server.nats.admin_url) as admin:
        with pytest.raises(NotFoundError):
            await admin.jetstream().stream_info(STREAM)
