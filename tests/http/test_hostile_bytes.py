"""Bytes that are no request, or are one in two ways. No 5xx, no hang, nothing recorded, no second request let in."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.http.hostile import Answer, exchange, request
from tests.installation import Installation, objective, post

SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: registry\r\n\r\n"
POST = "POST /v1/events HTTP/1.1"
GET = "GET /health/live HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
HEAD_BYTES_MAX = 1 << 16


@pytest_asyncio.fixture(autouse=True, scope="module")
async def unharmed(installation: Installation) -> AsyncIterator[None]:
    """The log is as long after all of this as it was before."""
    async with installation.client("log:read") as client:
        before = await log_head(client)
        yield
        assert await log_head(client) == before


async def log_head(client: httpx2.AsyncClient) -> str:
    return (await client.get("/v1/log/entries", params={"limit": 1})).headers["registry-position"]


def length(count: int | str) -> str:
    return f"Content-Length: {count}"


TWO_READINGS = {
    "a length and chunks": request(POST, length(6), CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "chunks and a length": request(POST, CHUNKED, length(6), body=b"0\r\n\r\n" + SMUGGLED),
    "two lengths": request(POST, length(0), length(len(SMUGGLED)), body=SMUGGLED),
    "one length twice": request(POST, length(2), length(2), body=b"{}"),
    "a list of lengths": request(POST, length("2, 2"), body=b"{}"),
    "a negative length": request(POST, length(-1), body=SMUGGLED),
    "a length with a sign": request(POST, length("+2"), body=b"{}" + SMUGGLED),
    "a hexadecimal length": request(POST, length("0x2"), body=b"{}"),
    "a length beyond all bounds": request(POST, length("9" * 30), body=b"{}"),
    "a blank before the colon of the length": request(POST, "Content-Length : 2", body=b"{}"),
    "a blank before the colon of the coding": request(POST, "Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "an unknown coding": request(POST, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunks that are not the last coding": request(POST, "Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "chunks twice": request(POST, CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "a vertical tab in the coding": request(POST, "Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: registry\n\n",
    "a bare line feed after a field": b"GET /health/live HTTP/1.1\r\nHost: registry\nX: y\r\n\r\n",
    "a bare carriage return": b"GET /health/live HTTP/1.1\r\nHost: registry\rX: y\r\n\r\n",
    "a folded field": request(GET, "X: y", " z"),
    "a field without a name": request(GET, ": y"),
    "NUL in a field": request(GET, "X: a\x00b"),
    "NUL in the path": request("GET /health\x00/live HTTP/1.1"),
    "bytes beyond ASCII in the path": request("GET /v1/certifications/\xff HTTP/1.1"),
    "bytes beyond ASCII in the query": request("GET /v1/certifications?q=\xff HTTP/1.1"),
    "a chunk size beyond all bounds": request(POST, CHUNKED, body=b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk size": request(POST, CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than its size": request(POST, CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n"),
    "a chunk that ends in a line feed": request(POST, CHUNKED, body=b"2\n{}\n0\n\n" + SMUGGLED),
    "a line feed in a chunk's extension": request(POST, CHUNKED, body=b"2;a\nxx\r\n{}\r\n0\r\n\r\n"),
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two hosts": request(GET, "Host: other"),
    "two media types": request(POST, "Content-Type: application/json", "Content-Type: application/x-ndjson"),
    "a version to come": request("GET /health/live HTTP/9.9"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method nobody knows": request("FROB /health/live HTTP/1.1"),
    "a method in small letters": request("get /health/live HTTP/1.1"),
    "a tunnel": request("CONNECT registry:80 HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "every byte": bytes(range(256)) * 10 + b"\r\n\r\n",
}


@pytest.mark.parametrize("content", TWO_READINGS.values(), ids=TWO_READINGS.keys())
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(
    installation: Installation, content: bytes
) -> None:
    answer = await exchange(installation.port, content)
    assert answer.statuses == [400]
    assert b"application/problem+json" in answer.content
    assert b"/problems/malformed" in answer.content


@pytest.mark.parametrize("content", TWO_READINGS.values(), ids=TWO_READINGS.keys())
async def test_in_small_pieces_it_is_refused_alike(installation: Installation, content: bytes) -> None:
    pieces = (content[place : place + 7] for place in range(0, len(content), 7))
    statuses = (await exchange(installation.port, *pieces)).statuses
    assert statuses in ([400], [401], [401, 400], []), "401 where the head is good, before the body is looked at"


HEADS_TOO_LARGE = {
    "a long path": request("GET /" + "a" * HEAD_BYTES_MAX + " HTTP/1.1"),
    "a long field": request(GET, "X: " + "a" * HEAD_BYTES_MAX),
    "a field without an end": request(GET, "X: " + "a" * (4 << 20))[:-4],
    "many fields": request(GET, *(f"X{number}: y" for number in range(100))),
    "fields without an end": request(GET, *(f"X{number}: y" for number in range(200_000)))[:-4],
    "a field name without an end": request(GET, "X" * (4 << 20))[:-4],
    "trailers without an end": request(POST, CHUNKED, body=b"0\r\nX: " + b"a" * (4 << 20)),
    "many trailers": request(POST, CHUNKED, body=b"0\r\n" + b"X: y\r\n" * 100_000),
    "a chunk's extension without an end": request(POST, CHUNKED, body=b"2;" + b"a" * (4 << 20)),
}


@pytest.mark.parametrize("content", HEADS_TOO_LARGE.values(), ids=HEADS_TOO_LARGE.keys())
async def test_what_is_no_body_is_bounded(installation: Installation, content: bytes) -> None:
    """The connection is gone before all is sent, and then the answer may be lost."""
    answer = await exchange(installation.port, content)
    assert set(answer.statuses) <= {400, 401, 431}


async def test_a_head_of_the_largest_size_is_taken(installation: Installation) -> None:
    content = request(GET, *(f"X{number}: y" for number in range(90)), "X: " + "a" * (HEAD_BYTES_MAX - 1_500))
    assert (await exchange(installation.port, content)).statuses == [200]


async def test_trailers_are_no_header_fields(installation: Installation) -> None:
    token = installation.token("catalogue:write")
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n"
    content = request(POST, CHUNKED, "Content-Type: application/cloudevents+json", body=body)
    assert (await exchange(installation.port, content)).statuses == [401]


ODD = {
    "a chunk's extension": (request(POST, CHUNKED, body=b"2;a=b\r\n{}\r\n0\r\n\r\n"), 401),
    "an address with a host of its own": (request("GET http://other/health/live HTTP/1.1"), 200),
    "a host that is none": (request(GET, host="a b/\x80"), 400),
    "HTTP/1.0": (b"GET /health/live HTTP/1.0\r\n\r\n", 200),
    "an expectation nobody knows": (request(GET, "Expect: 200-maybe"), 200),
    "the wish to speak WebSocket": (request(GET, "Connection: Upgrade", "Upgrade: websocket"), 200),
    "the wish to speak HTTP/2": (request(GET, "Connection: Upgrade", "Upgrade: h2c"), 200),
    "any address": (request("OPTIONS * HTTP/1.1"), 404),
    "a trace": (request("TRACE /health/live HTTP/1.1"), 405),
    "a method to say": (request(GET, "X-HTTP-Method-Override: DELETE"), 200),
    "cookies": (request(GET, "Cookie: \xff=;=;;\x80"), 200),
    "what it accepts": (request("GET /v1/certifications HTTP/1.1", "Accept: a/b/c;q=x, */*;q=nan, ;;;"), 200),
    "what it knows": (request("GET /v1/certifications HTTP/1.1", "If-None-Match: " + '"' * 60_000), 200),
    "a media type": (request(POST, "Content-Type: \xff\xff;charset=\x80", length(2), body=b"{}"), 415),
    "a token": (request("GET /v1/log/entries HTTP/1.1", "Authorization: Bearer \xff\xfe"), 401),
    "a scheme": (request("GET /v1/log/entries HTTP/1.1", "Authorization: \xff"), 401),
    "a request id": (request(GET, "X-Request-Id: a\tb"), 200),
    "a range": (request("GET /docs HTTP/1.1", "Range: bytes=0-0," + "1-2," * 1_000), 200),
}


@pytest.mark.parametrize(("content", "status"), ODD.values(), ids=ODD.keys())
async def test_odd_requests_are_answered(installation: Installation, content: bytes, status: int) -> None:
    assert (await exchange(installation.port, content)).statuses == [status]


ADDRESSES = {
    "/docs/static/../../../../etc/passwd": {404},
    "/docs/static/%2e%2e/%2e%2e/docs.py": {404},
    "/docs/static/..%2f..%2fdocs.py": {404},
    "/docs/static//etc/passwd": {404},
    "/docs/static/..\\..\\docs.py": {404},
    "/docs/static/%00": {404},
    "/docs/static/docs.js%00.css": {404},
    "/docs/static/" + "a" * 5_000: {404},
    "/log/tile/0/%2e%2e/%2e%2e/checkpoint": {404},
    "/log/tile/0/%00": {404},
    "/log/tile/%65ntries/000": {401},
    "//log//tile//entries//000": {401, 404},
    "/log/tile/entries%2f000": {401},
    "/log/tile/0%2f..%2fentries/000": {404},
    "/v1/persons/%2e%2e/log": {401, 404},
    "//v1//log//entries": {401, 404},
    "/v1/log/entries/": {401, 404},
    "/v1%2flog%2fentries": {401, 404},
    "/v1/log/entries;x=y": {404},
    "/v1/log/entries%00": {404},
    "/v1/log/entries%20": {404},
    "/V1/log/entries": {404},
    "/v1/./log/entries": {404},
    "/v1/public/../log/entries": {404},
    "/v1/certifications/%zz": {404},
    "/v1/certifications/%ff%fe": {404},
    "/v1/certificates/%ed%a0%80": {404},
    "/v1/certificates/%00": {404},
    "/v1/certifications/x/versions/" + "9" * 5_000: {404},
    "/v1/certifications?q=%ff%fe": {200},
    "/v1/certifications?q=%00&after=%00": {200},
    "/v1/certifications?q=a&q=b&&&=&?": {200},
    "/v1/certifications?" + "&".join(f"a{number}=b" for number in range(5_000)): {200},
    "/v1/certifications?as_of=0001-01-01T00:00:00%2B23:59": {400},
    "/v1/certifications?as_of=0001-01-01T00:00:00Z": {200},
    "/v1/certifications?as_of=9999-12-31T23:59:59-23:59": {400},
    "/v1/certifications?as_of=2016-12-31T23:59:60Z": {200},
    "/v1/certifications?as_of=2016-12-31T23:59:61Z": {400},
    "/v1/certifications?as_of=2016-12-31T60:59:59Z": {400},
    "/v1/branch/counts?year=" + "9" * 5_000: {400},
    "/v1/branch/counts?year=2018&branch=xx%0a": {400},
    "/problems/%2e%2e": {404},
}


@pytest.mark.parametrize(("address", "statuses"), ADDRESSES.items())
async def test_addresses_lead_nowhere_else(installation: Installation, address: str, statuses: set[int]) -> None:
    answer = await exchange(installation.port, request(f"GET {address} HTTP/1.1"))
    assert set(answer.statuses) <= statuses
    assert len(answer.statuses) == 1


async def test_requests_in_a_row_get_their_answers_in_order(installation: Installation) -> None:
    asked = [f"GET {path} HTTP/1.1\r\nHost: registry\r\n\r\n" for path in ("/health/live", "/nothing", "/problems")]
    answer = await exchange(installation.port, "".join(asked).encode() + request(GET))
    assert answer.statuses == [200, 404, 200, 200]


async def test_nonsense_behind_a_request_is_not_taken_for_its_answer(installation: Installation) -> None:
    answer = await exchange(installation.port, request("GET /v1/certifications HTTP/1.1") + b"\x00\xff\r\n\r\n")
    assert answer.statuses in ([], [200], [200, 400])


async def test_whoever_expects_to_be_told_to_go_on_is_told_or_refused(installation: Installation) -> None:
    expects = [length(2), "Expect: 100-continue", "Content-Type: application/cloudevents+json"]
    refused = await exchange(installation.port, request(POST, *expects))
    assert refused.statuses == [401], "without a token the body is not asked for"
    bearer = f"Authorization: Bearer {installation.token('catalogue:write')}"
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    writer.write(request(POST, *expects, bearer))
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_clients_that_leave_in_the_middle_record_nothing(
    installation: Installation, client: httpx2.AsyncClient
) -> None:
    bearer = f"Authorization: Bearer {installation.token('catalogue:write')}"
    for media_type in ("application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson"):
        for framing in (length(5_000), CHUNKED):
            head = request(POST, bearer, framing, f"Content-Type: {media_type}")
            for body in (b"", b'{"specversion":', b'1388\r\n{"specversion":'):
                answer: Answer = await exchange(installation.port, head + body, leave=True)
                assert set(answer.statuses) <= {400, 499}, "a half-closed connection is a client that left"


async def test_a_slow_client_holds_up_nobody_else(installation: Installation, client: httpx2.AsyncClient) -> None:
    """Heads and bodies that never become complete; an honest post among them is recorded at once."""
    bearer = f"Authorization: Bearer {installation.token('catalogue:write')}"
    head = request(POST, bearer, length(5_000), "Content-Type: application/cloudevents+json")
    slow = [await asyncio.open_connection("127.0.0.1", installation.port) for _ in range(200)]
    for number, (_, writer) in enumerate(slow):
        writer.write(head + b"{" if number % 2 else head[:-2])
        await writer.drain()
    async with asyncio.timeout(10):
        assert (await client.get("/health/live")).status_code == 200
        assert (await post(client, objective(id=""))).status_code == 400
    for _, writer in slow:
        writer.close()
