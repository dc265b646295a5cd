"""The issuer's keys over a real HTTP connection."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from contracts.problems import Unauthenticated, Unavailable
from services.edge import keys
from services.edge.keys import UrlKeys
from services.edge.tokens import Authenticator
from tests.unit.edge_issuer import AUDIENCE, ISSUER, document, public, token


class JwksServer:
    """Answers any request with `status` and `content`; `answers` counts."""

    def __init__(self) -> None:
        self.status, self.content, self.answers = 200, document(public("ES256")), 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/jwks.json"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.answers += 1
        lines = [
            f"HTTP/1.1 {self.status} x",
            f"Content-Length: {len(self.content)}",
            "Location: /",
            "Connection: close",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + self.content)
        writer.close()

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    server = JwksServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def fetched(issuer: JwksServer, clock: Clock) -> AsyncIterator[UrlKeys]:
    async with httpx2.AsyncClient() as client:
        yield UrlKeys(issuer.url, client, clock=clock)


async def test_an_unknown_key_is_fetched_once_for_all_who_wait_and_then_not_too_often(
    issuer: JwksServer, fetched: UrlKeys, clock: Clock
) -> None:
    found = await asyncio.gather(*(fetched.find("ES256") for _ in range(20)))
    assert all(found)
    assert issuer.answers == 1
    issuer.content = document(public("ES256"), public("EdDSA"))
    assert await fetched.find("EdDSA") is None, "within the cool-down"
    clock.now += keys.COOL_DOWN_S
    assert await fetched.find("EdDSA") is not None
    assert issuer.answers == 2


async def test_a_flood_of_unknown_keys_does_not_reach_the_issuer(
    issuer: JwksServer, fetched: UrlKeys, clock: Clock
) -> None:
    """Nor does it keep those waiting whose key is known; and the same while the issuer is out of reach."""
    authenticator = Authenticator(fetched, issuer=ISSUER, audience=AUDIENCE)
    for minutes, status in ((0, 200), (1, 500)):
        clock.now, issuer.status = 60.0 * minutes, status
        before = issuer.answers
        forged = [b"Bearer " + token(kid=f"unknown-{n}", client_id=f"forger-{minutes}") for n in range(200)]
        outcomes = await asyncio.gather(*map(authenticator.caller, forged), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unauthenticated}
        assert issuer.answers == before + 1
        assert (await authenticator.caller(b"Bearer " + token(jti=str(minutes)))).client_id == "hr"
        assert issuer.answers == before + 1


async def test_keys_rotate_and_a_key_taken_back_is_believed_no_more(
    issuer: JwksServer, fetched: UrlKeys, clock: Clock
) -> None:
    authenticator = Authenticator(fetched, issuer=ISSUER, audience=AUDIENCE)
    old, new = b"Bearer " + token("ES256"), b"Bearer " + token("EdDSA")
    assert await authenticator.caller(old)
    issuer.content = document(public("ES256"), public("EdDSA"))
    clock.now += keys.COOL_DOWN_S
    assert await authenticator.caller(new), "the first token of a new key fetches it"
    assert await authenticator.caller(old), "both are valid meanwhile"
    issuer.content = document(public("EdDSA"))
    await fetched.refresh()
    with pytest.raises(Unauthenticated):
        await authenticator.caller(old)
    assert await authenticator.caller(new)


@pytest.mark.parametrize(
    ("status", "content"),
    [(500, b""), (302, document()), (200, b"<html>"), (200, b" " * (keys.JWKS_BYTES_MAX + 1) + document())],
)
async def test_the_last_good_keys_stay_when_the_answer_is_bad_but_not_for_ever(
    issuer: JwksServer, fetched: UrlKeys, clock: Clock, status: int, content: bytes
) -> None:
    await fetched.refresh()
    version = fetched.version()
    issuer.status, issuer.content = status, content
    await fetched.refresh()
    assert fetched.version() == version
    assert await fetched.find("ES256") is not None
    clock.now += keys.USABLE_S + 1
    with pytest.raises(Unavailable):
        await fetched.find("ES256")
    issuer.status, issuer.content = 200, document(public("ES256"))
    await fetched.refresh()
    assert await fetched.find("ES256") is not None


async def test_an_issuer_out_of_reach_is_unavailable(issuer: JwksServer, fetched: UrlKeys) -> None:
    await issuer.stop()
    with pytest.raises(Unavailable):
        await fetched.find("ES256")
    with pytest.raises(Unavailable):
        await fetched.check()


async def test_keys_are_fetched_in_the_background_from_the_start(issuer: JwksServer) -> None:
    fetched = keys.keys_at(issuer.url)
    async with fetched.kept_fresh(), asyncio.timeout(5):
        while fetched.version() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await fetched.find("ES256") is not None
        assert issuer.answers == 1
