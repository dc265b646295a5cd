"""Clients that wish for another protocol: Java's own, and `curl --http2`, do so in their first request over plain TCP.

The registry speaks HTTP/1.1 and passes the wish over (RFC 9110, section 7.8): no body may be lost by it.
"""

import asyncio

import httpx2
import msgspec
import pytest

from tests.http.hostile import exchange, request
from tests.installation import Installation, objective, post

WISH = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: h2c")
STRUCTURED = "application/cloudevents+json"


def posted(installation: Installation, media_type: str, body: bytes, *fields: str) -> tuple[bytes, bytes]:
    """Head and body of a post that asks for HTTP/2."""
    bearer = f"Authorization: Bearer {installation.token('catalogue:write')}"
    more = (bearer, f"Content-Type: {media_type}", *(fields or (f"Content-Length: {len(body)}",)))
    return request("POST /v1/events HTTP/1.1", *WISH, *more), body


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "body behind the head"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_event_is_recorded_whatever_protocol_its_client_wishes_for(
    installation: Installation, client: httpx2.AsyncClient, framing: str, apart: bool
) -> None:
    event = objective()
    body = msgspec.json.encode(event)
    if framing == "length":
        parts = posted(installation, STRUCTURED, body)
    else:
        parts = posted(
            installation, STRUCTURED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked"
        )
    answer = await exchange(installation.port, *(parts if apart else [b"".join(parts)]))
    assert answer.statuses == [201]
    assert (await post(client, event)).status_code == 200


async def test_no_line_of_a_stream_is_lost_to_the_wish(installation: Installation, client: httpx2.AsyncClient) -> None:
    """A line that looks like the field is a line: a bad one."""
    first, last = objective(), objective()
    body = b"\r\n".join([msgspec.json.encode(first), b"Upgrade: h2c", msgspec.json.encode(last), b""])
    answer = await exchange(installation.port, b"".join(posted(installation, "application/x-ndjson", body)))
    assert answer.statuses == [200]
    assert [answer.content.count(b'"status":%d' % status) for status in (201, 400)] == [2, 1]
    assert [(await post(client, event)).status_code for event in (first, last)] == [200, 200]


async def test_a_body_that_the_wish_has_taken_is_refused(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    """The field came in two pieces, so the parser has heard it. An empty stream's 200 would look like success."""
    event = objective()
    head, body = posted(installation, "application/x-ndjson", msgspec.json.encode(event))
    place = head.index(b"grade: h2c")
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: registry\r\n\r\n" + head[:place])
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")  # so the first piece of the head is read
        writer.write(head[place:] + body)
        answers = await reader.read()
    writer.close()
    assert b"HTTP/1.1 400 " in answers
    assert (await post(client, event)).status_code == 201


async def test_the_wish_alone_is_passed_over(installation: Installation) -> None:
    for field in ("Upgrade: h2c", "upgrade: websocket", "UPGRADE: TLS/1.0", "uPgRaDe: x"):
        content = request("GET /health/live HTTP/1.1", "Connection: Upgrade", field)
        assert (await exchange(installation.port, content)).statuses == [200]
