"""The edge over a real socket: uvicorn in a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.ports import free_port

START_S = 20.0

THING = "471108154711081547110815"
"""Long enough not to be part of a time or of an id by chance."""


class EdgeServer:
    """The process, its address, and its log."""

    def __init__(self, log_file: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = log_file

    async def start(self, **environment: str) -> None:
        with self.log_file.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.integration.edge_app", "127.0.0.1", str(self.port),
                stderr=log, env=os.environ | environment,
            )  # fmt: skip

    async def until_live(self) -> None:
        async with asyncio.timeout(START_S), httpx2.AsyncClient() as client:
            while self.process.returncode is None:
                try:
                    await client.get(f"{self.url}/health/live")
                    return
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
        raise AssertionError(self.log_file.read_text())

    async def stop(self, sig: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(sig)
        async with asyncio.timeout(15):
            return await self.process.wait()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EdgeServer]:
    server = EdgeServer(tmp_path / "log")
    await server.start()
    await server.until_live()
    yield server
    await server.stop(signal.SIGKILL)


@pytest_asyncio.fixture
async def client(server: EdgeServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


async def test_a_client_may_send_all_its_lines_before_it_reads_a_result(server: EdgeServer) -> None:
    count = 200_000

    def body() -> Iterator[bytes]:
        block = b'{"specversion":"1.0","data":"%s"}\n' % (b"y" * 300) * 100
        for _ in range(count // 100):
            yield block
        yield b"memory"

    def post_then_read() -> list[bytes]:
        headers = {"content-type": "application/x-ndjson"}
        with httpx2.Client(timeout=60) as client:
            return client.post(f"{server.url}/lines", content=body(), headers=headers).content.splitlines()

    results = await asyncio.to_thread(post_then_read)
    assert len(results) == count + 1
    assert [json.loads(line)["number"] for line in results[:-1]] == list(range(1, count + 1))
    assert json.loads(results[-1])["peak_kib"] < 200_000, "54 MB of results were not kept in memory"


async def test_a_result_arrives_before_the_next_line_is_sent(client: httpx2.AsyncClient) -> None:
    proceed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first\r\n\r\n"
        await proceed.wait()
        yield b"sec"
        yield b"ond"

    headers = {"content-type": "application/x-ndjson"}
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(b"POST /lines HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\nContent-Length: 12\r\n\r\n")
    writer.write(b"first\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b'"number":1,')
    writer.write(b"second")
    async with asyncio.timeout(5):
        await reader.readuntil(b'"number":2,"bytes":6')
    writer.close()
    proceed.set()
    answer = await client.post("/lines", content=body(), headers=headers)
    assert [json.loads(line)["bytes"] for line in answer.text.splitlines()] == [5, 6]


async def test_a_line_too_long_gets_its_problem_and_the_next_goes_on(client: httpx2.AsyncClient) -> None:
    content = b"x" * (5 << 20) + b"\nshort\n"
    answer = await client.post("/lines", content=content, headers={"content-type": "application/x-ndjson"})
    long, short = map(json.loads, answer.text.splitlines())
    assert (long["status"], short["bytes"]) == (413, 5)


async def test_unavailable_before_the_first_result_has_its_own_status(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/lines", content=b"stop\n", headers={"content-type": "application/x-ndjson"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_unavailable_midway_ends_the_stream_after_the_results_before(
    server: EdgeServer, client: httpx2.AsyncClient
) -> None:
    seen = b""
    headers = {"content-type": "application/x-ndjson"}
    async with client.stream("POST", "/lines", content=b"one\ntwo\nstop\nthree\n", headers=headers) as answer:
        parts = answer.aiter_raw()
        with contextlib.suppress(httpx2.RemoteProtocolError):
            async for part in parts:
                seen += part
            pytest.fail("the answer ended as if it were complete")
    assert [json.loads(line)["number"] for line in seen.splitlines()] == [1, 2]
    assert not [entry for entry in server.log() if entry["level"] == "error"], "it is no bug"


async def test_head_answers_as_get_without_a_body(client: httpx2.AsyncClient) -> None:
    got, head = await client.get("/things/7"), await client.head("/things/7")
    assert head.status_code == got.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.content == b""
    endless = await client.head("/follow")
    assert endless.status_code == 200


async def test_an_unchanged_thing_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/things/7", headers={"if-none-match": '"6", W/"7"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"7"')
    assert (await client.get("/things/7", headers={"if-none-match": '"6"'})).status_code == 200


async def test_a_bug_is_logged_once_with_its_chain_and_tells_the_caller_nothing(
    server: EdgeServer, client: httpx2.AsyncClient
) -> None:
    answer = await client.get("/bug", headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert answer.headers["x-request-id"] == "mine-1"
    assert "secret" not in answer.text
    (entry,) = [entry for entry in server.log() if "secret sentence" in entry.get("exception", "")]
    assert entry["request_id"] == "mine-1"


async def test_a_bug_midway_cuts_the_answer_and_is_logged_once(server: EdgeServer, client: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get("/broken")
    errors = [entry for entry in server.log() if entry["level"] == "error"]
    assert len(errors) == 1


async def test_a_body_that_stops_arriving_is_given_up(server: EdgeServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
    async with asyncio.timeout(10):
        answer = await reader.read()  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /things/7 HTTP/1.1\r\nHost: t\r\n",
        b"GET /things/7 HTTP/1.1\r\nHost: t\r\n\r\nGET /things/7 HTTP/1.1\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc",
    ],
    ids=["nothing", "a head", "a second head", "a body nobody waits for"],
)
async def test_a_request_that_does_not_go_on_ends_the_connection(server: EdgeServer, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(begun)
    async with asyncio.timeout(10):
        answer = await reader.read()  # to the end: the connection is closed
    assert answer.count(b"HTTP/1.1 ") == begun.count(b"\r\n\r\n")
    writer.close()


async def test_a_connection_that_waits_for_its_next_request_is_kept(server: EdgeServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for pause_s in (1.2, 0):  # longer than a head may take
        writer.write(b"GET /things/7 HTTP/1.1\r\nHost: t\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"}")).endswith(b'{"number":7}')
        await asyncio.sleep(pause_s)
    writer.close()


async def test_metrics_tell_true_statuses_by_route_template(client: httpx2.AsyncClient) -> None:
    await client.get("/things/7?name=martin")
    await client.get("/nothing/here")
    await client.post("/things/7")
    await client.get("/bug")
    text = (await client.get("/metrics")).text
    for labels in (
        'method="GET",route="/things/{number}",status="200"',
        'method="GET",route="(none)",status="404"',
        'method="POST",route="(none)",status="405"',
        'method="GET",route="/bug",status="500"',
    ):
        assert f"http_requests_total{{{labels}}} 1.0" in text
    assert "http_requests_in_flight 1.0" in text


async def test_the_access_log_names_routes_and_never_paths_or_queries(
    server: EdgeServer, client: httpx2.AsyncClient
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.get(f"/things/{THING}?name=martin", headers={"traceparent": trace})
    await server.stop()
    (entry,) = [entry for entry in server.log() if entry["event"] == "request"]
    assert entry["route"] == "/things/{number}"
    assert entry["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert THING not in server.log_file.read_text()
    assert "martin" not in server.log_file.read_text()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_streams_and_ends_as_a_success(
    server: EdgeServer, client: httpx2.AsyncClient, sig: int
) -> None:
    async with client.stream("GET", "/follow") as answer:
        parts = answer.aiter_text()
        assert await anext(parts) == "hello\n"
        server.process.send_signal(sig)
        assert await anext(parts) == "bye\n"
    async with asyncio.timeout(10):
        assert await server.process.wait() == 0
    assert "lifespan ended" in [entry["event"] for entry in server.log()]


async def test_an_application_that_cannot_start_is_a_failure(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "log")
    await server.start(EDGE_APP_FAILS="1")
    async with asyncio.timeout(START_S):
        assert await server.process.wait() == 3


async def test_a_client_that_leaves_is_no_bug(server: EdgeServer, client: httpx2.AsyncClient) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(b"POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
    connection.close()
    async with asyncio.timeout(5):
        while 'route="/body",status="499"' not in (await client.get("/metrics")).text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert not [entry for entry in server.log() if entry["level"] == "error"]
