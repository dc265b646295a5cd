"""Streams of events: a result line for each line, in order, whatever the lines hold."""

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest

from tests.installation import (
    Installation,
    certification,
    event,
    objective,
    post,
    register_persons,
    registration,
)

NDJSON = {"Content-Type": "application/x-ndjson"}
MANY = 20_000


def line(posted: Any) -> bytes:
    return msgspec.json.encode(posted) + b"\n"


async def stream(client: httpx2.AsyncClient, content: bytes) -> list[dict[str, Any]]:
    answer = await client.post("/v1/events", content=content, headers=NDJSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert not answer.content or answer.content.endswith(b"\n")
    return [msgspec.json.decode(result) for result in answer.content.splitlines()]


async def test_each_line_gets_its_result_in_order(client: httpx2.AsyncClient) -> None:
    events = [objective() for _ in range(1200)]
    results = await stream(client, b"".join(map(line, events)))
    assert [result["id"] for result in results] == [posted["id"] for posted in events]
    assert {result["status"] for result in results} == {201}
    positions = [result["position"] for result in results]
    assert positions == sorted(set(positions))


async def test_results_are_receipts(client: httpx2.AsyncClient) -> None:
    posted = objective()
    (result,) = await stream(client, line(posted))
    again = (await post(client, posted)).json()
    assert result == again | {"status": 201}


async def test_each_line_sees_those_before_it(client: httpx2.AsyncClient) -> None:
    (person_id,) = await register_persons(client, 1)
    published = certification()
    registered = registration(person_id, published["certification_id"])
    events = [
        event("certification.published", published),
        event("candidate.registered", registered),
        event("candidate.registered", registered),
    ]
    results = await stream(client, b"".join(map(line, events)))
    assert [result["status"] for result in results] == [201, 201, 409]
    assert results[2]["rule"] == "R9"


async def test_a_bad_line_gets_its_problem_and_the_next_goes_on(client: httpx2.AsyncClient) -> None:
    good = msgspec.json.encode(objective())
    bad = [
        b"nonsense",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        good.replace(b'"year":', b'"year":1,"year":'),
        good.replace(b"9999", b"NaN"),
        good.replace(b"objective.set", b"person.registered"),
        good.replace(b'"id":"', b'"id":"\\udc00'),
        b"[" * 5_000,
    ]
    results = await stream(client, b"\n".join([*bad, good, good]))
    assert [result["status"] for result in results] == [400] * len(bad) + [201, 200]
    assert all(result["type"].startswith("/problems/") for result in results[: len(bad)])


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b'"year":', b'"year":1,"year":', 400),
        (b'"specversion":', b'"id":"twice","specversion":', 400),
        (b'"beneficiaries":', b'"beneficiaries":"many","b":', 400),
        (b'"data":{', b'"data":[{', 400),
        (b'"specversion":"1.0"', b'"specversion":1.0', 400),
        (b'"source":"', b'"source":"\xc2\x85', 400),
        (b'"data":{', b'"data": {', 201),
        (b'"specversion":', b'"extension":{"a":[1.50]},"specversion":', 201),
    ],
)
async def test_a_line_in_the_midst_of_good_ones_has_a_result_of_its_own(
    client: httpx2.AsyncClient, old: bytes, new: bytes, status: int
) -> None:
    lines = [line(objective()) for _ in range(300)]
    assert old in lines[150]
    lines[150] = lines[150].replace(old, new)
    results = await stream(client, b"".join(lines))
    assert [result["status"] for result in results] == [201] * 150 + [status] + [201] * 149


async def test_what_is_recorded_of_a_stream_that_is_left_is_its_beginning(
    client: httpx2.AsyncClient, installation: Installation
) -> None:
    """Posted again meanwhile, each line is recorded once, behind those before it."""
    lines = [line(objective()) for _ in range(6_000)]
    reader, writer = await connected(installation, "Transfer-Encoding: chunked")
    content = b"".join(lines)
    writer.write(b"%x\r\n%s\r\n" % (len(content), content))
    await reader.readuntil(b"\r\n\r\n")
    await chunk(reader)
    writer.transport.abort()
    results = await stream(client, content)
    assert {result["status"] for result in results} <= {200, 201}
    assert results[0]["status"] == 200
    positions = [result["position"] for result in results]
    assert positions == sorted(set(positions))


async def test_a_line_that_is_too_long_gets_413_and_the_next_goes_on(client: httpx2.AsyncClient) -> None:
    results = await stream(client, b'"' + b"x" * (1 << 20) + b'"\n' + line(objective()))
    assert [result["status"] for result in results] == [413, 201]


async def test_an_event_that_is_too_large_to_store_gets_413_and_the_next_goes_on(client: httpx2.AsyncClient) -> None:
    competences = [{"competence_id": f"c-{n}", "label": "é" * 300} for n in range(120)]
    blocs = [{"bloc_id": "too-large", "title": "Souder", "competences": competences}]
    large = event("certification.published", certification(blocs=blocs))
    results = await stream(client, line(large) + line(objective()))
    assert [result["status"] for result in results] == [413, 201]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n  \n"])
async def test_the_last_line_may_end_in_any_way(client: httpx2.AsyncClient, ending: bytes) -> None:
    results = await stream(client, line(objective()) + msgspec.json.encode(objective()) + ending)
    assert [result["status"] for result in results] == [201, 201]


async def test_an_empty_stream_has_no_results(client: httpx2.AsyncClient) -> None:
    assert await stream(client, b"") == []


async def test_a_stream_is_not_atomic(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/events?atomic=true", content=line(objective()), headers=NDJSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed")


async def connected(installation: Installation, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket on which a post of NDJSON has begun. HTTP clients send all of a body before they read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    authorization = f"Authorization: Bearer {installation.token('catalogue:write')}"
    head = ["POST /v1/events HTTP/1.1", "Host: registry", authorization, "Content-Type: application/x-ndjson", *headers]
    writer.write("\r\n".join([*head, "\r\n"]).encode())
    return reader, writer


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of an answer, empty at its end."""
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def test_a_client_may_send_everything_before_it_reads_a_result(installation: Installation) -> None:
    events = [objective() for _ in range(MANY)]
    content = b"".join(map(line, events))
    reader, writer = await connected(installation, f"Content-Length: {len(content)}")
    writer.write(content)
    await writer.drain()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    body = bytearray()
    while part := await chunk(reader):
        body += part
    writer.close()
    assert [msgspec.json.decode(result)["id"] for result in body.splitlines()] == [posted["id"] for posted in events]


async def test_results_come_as_lines_commit(installation: Installation) -> None:
    """A client that waits for each result before it sends the next line is answered."""
    reader, writer = await connected(installation, "Transfer-Encoding: chunked")
    positions = []
    for ordinal in range(4):
        posted = line(objective())
        writer.write(b"%x\r\n%s\r\n" % (len(posted), posted))
        if ordinal == 0:
            await reader.readuntil(b"\r\n\r\n")
        positions.append(msgspec.json.decode(await chunk(reader))["position"])
    writer.write(b"0\r\n\r\n")
    assert await chunk(reader) == b""
    writer.close()
    assert positions == sorted(set(positions))
