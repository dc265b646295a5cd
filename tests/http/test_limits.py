"""Quotas of the real product: generous where all clients are one's own, and told in each answer."""

import httpx2

from services.embedded.up import REQUESTS
from tests.installation import Installation, objective, post


async def test_posts_and_reads_tell_the_quota_of_their_client(client: httpx2.AsyncClient) -> None:
    for answer in (await post(client, objective()), await client.get("/v1/certifications"), await client.get("/v1/no")):
        assert answer.headers["ratelimit-policy"] == f'"client";q={REQUESTS};w=10'
        assert answer.headers["ratelimit"].startswith('"client";r=')


async def test_without_a_token_the_quota_is_the_addresss(installation: Installation) -> None:
    async with installation.client() as anonymous:
        answer = await anonymous.get("/v1/certifications")
        probe = await anonymous.get("/health/ready")
    assert answer.headers["ratelimit-policy"].startswith('"address";')
    assert "ratelimit" not in probe.headers
