"""What tests over HTTP may ask for."""

from collections.abc import AsyncIterator

import httpx2
import pytest_asyncio

from tests.installation import SCOPES, Installation


@pytest_asyncio.fixture
async def client(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that may do everything."""
    async with installation.client(*SCOPES) as connected:
        yield connected
