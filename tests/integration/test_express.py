"""The express lane on a real socket: which requests it takes, and that those get what the layers give."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from contracts.problems import Malformed
from services.edge import limits
from services.edge.access_log import JsonLines
from services.edge.express import Answer, AnyHeaders, Lane
from services.edge.keys import FileKeys
from services.edge.limits import Bounds, Limits
from services.edge.metrics import Metrics
from services.edge.outer import Outer
from services.edge.protocol import Protocol
from services.edge.tokens import Authenticator, Caller
from tests.integration.filled_log import until
from tests.unit.edge_issuer import AUDIENCE, ISSUER, document, token

TOKEN = token(client_id="hr").decode()
REQUESTS = 40
IN_FLIGHT = 4


class Things:
    """The route in the lane. A body is answered as it is, once `open`; `bad` is refused, `bug` is one."""

    method = "POST"
    path = "/things"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.begun: list[bytes] = []
        self.answered: list[asyncio.Task[bytes]] = []

    def takes(self, headers: AnyHeaders) -> bool:
        if b"x-bug" in headers:
            raise ValueError("a bug before it is begun")
        return b"prefer" not in headers

    def begin(self, headers: AnyHeaders, body: bytes, caller: Caller) -> "asyncio.Future[bytes]":
        self.begun.append(body)
        if body == b"bad":
            raise Malformed("It is bad.")
        self.answered.append(asyncio.create_task(self._answer(body)))
        return self.answered[-1]

    async def _answer(self, body: bytes) -> bytes:
        await self.open.wait()
        return body

    def answer(self, found: bytes) -> Answer:
        if found == b"bug":
            raise ValueError("secret sentence")
        return Answer(201, [(b"location", b"/things/1")], b"express " + found)


async def layers(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the layers."""
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message["body"]
        more = message["more_body"]
    answer = b"layers %d" % len(body)
    headers = [(b"content-length", str(len(answer)).encode()), (b"location", b"/things/1")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})


class Patient(Protocol):
    """Waits for a body as long as any test may take."""

    late_s = 60.0


class Served:
    """A server with a lane, in this process."""

    def __init__(self, folder: Path) -> None:
        self.jwks = folder / "jwks.json"
        self.jwks.write_bytes(document())
        self.things, self.log, self.registry = Things(), BytesIO(), CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.authenticator = Authenticator(FileKeys(self.jwks), issuer=ISSUER, audience=AUDIENCE)
        bounds = Bounds(requests=REQUESTS, anonymous=REQUESTS, in_flight=IN_FLIGHT, in_flight_all=IN_FLIGHT)
        limits = Limits(layers, self.authenticator, bounds)
        outer = Outer(limits, self.metrics, JsonLines(self.log), body_timeout_s=0.2)
        self.state = ServerState()
        self.protocol: type[Protocol] = Patient
        self.config: Any = uvicorn.Config(
            Lane(self.things, outer, limits, self.authenticator), lifespan="off", log_config=None, proxy_headers=False
        )
        self.config.load()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: self.protocol(config=self.config, server_state=self.state, app_state={}), "127.0.0.1", 0
        )
        self.port: int = self.server.sockets[0].getsockname()[1]

    async def connect(self) -> "Connection":
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """The lines of the access log, once there are so many."""

        async def there() -> bool:
            return self.log.getvalue().count(b"\n") >= count

        await until(there)
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


class Connection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, content: bytes) -> None:
        self.writer.write(content)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next one: status, headers, body."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:-2])
            return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


def posted(body: bytes, *fields: str, version: str = "1.1", length: int | None = None) -> bytes:
    """A request with a token. length: of a body that goes on."""
    head = [f"POST /things HTTP/{version}", "Host: t", f"Authorization: Bearer {TOKEN}", *fields]
    return "\r\n".join([*head, f"Content-Length: {length or len(body)}", "", ""]).encode() + body


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    await served.start()
    yield served
    served.server.close()


@pytest_asyncio.fixture
async def known(served: Served) -> AsyncIterator[Connection]:
    """A connection, once the token is known."""
    connection = await served.connect()
    connection.send(posted(b"first"))
    assert await body_of(connection) == b"layers 5", "a token is verified behind the layers"
    yield connection
    connection.writer.close()


async def body_of(connection: Connection) -> bytes:
    return (await connection.answer())[2]


async def test_a_plain_request_of_a_known_caller_takes_the_lane(served: Served, known: Connection) -> None:
    for number in range(3):
        known.send(posted(b"%d" % number))
        assert await body_of(known) == b"express %d" % number


async def test_the_lane_and_the_layers_give_the_same_headers(
    known: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = limits.monotonic()
    monkeypatch.setattr(limits, "monotonic", lambda: now)  # nothing refills
    fields = ("X-Request-Id: mine-1",)
    known.send(posted(b"x", *fields))
    status, express, _ = await known.answer()
    known.send(posted(b"x", *fields, "Prefer: layers"))
    other, layered, _ = await known.answer()
    assert status == other == 201
    assert express.keys() == layered.keys()
    different = {name for name in express if express[name] != layered[name]} - {"date"}
    assert different == {"content-length", "ratelimit"}
    left = [int(headers["ratelimit"].split(";")[1].removeprefix("r=")) for headers in (express, layered)]
    assert left == [REQUESTS - 2, REQUESTS - 3], "all count"


@pytest.mark.parametrize(
    "sent",
    [
        posted(b"body", "Prefer: layers"),
        posted(b"body").replace(b"/things", b"/things?a=b"),
        posted(b"body").replace(b"/things", b"/other"),
        posted(b"body").replace(b"POST", b"PUT"),
        posted(b"body", "X-Twice: 1", "X-Twice: 2"),
        posted(b"body").replace(b"Authorization", b"Other"),
        posted(b"body").replace(b"Bearer", b"Basic"),
        posted(b"x" * 100_000),
        posted(b"body", "X-Bug: 1"),
    ],
    ids=["preference", "query", "path", "method", "a header twice", "no token", "no bearer", "large", "a bug"],
)
async def test_what_is_not_plain_goes_through_the_layers(served: Served, known: Connection, sent: bytes) -> None:
    known.send(sent)
    assert (await body_of(known)).startswith(b"layers ")
    assert served.things.begun == []


async def test_who_expects_to_be_told_to_go_on_is_told(known: Connection) -> None:
    known.send(posted(b"", "Expect: 100-continue", length=4))
    async with asyncio.timeout(20):
        assert await known.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    known.send(b"body")
    assert await body_of(known) == b"layers 4"


async def test_a_body_may_come_apart_from_its_head_and_in_pieces(known: Connection) -> None:
    known.send(posted(b"", length=4))
    for piece in (b"b", b"od", b"y"):
        await known.writer.drain()
        known.send(piece)
    assert await body_of(known) == b"express body"


async def test_a_late_body_goes_through_the_layers_which_give_it_up(served: Served, known: Connection) -> None:
    served.protocol = Protocol
    late = await served.connect()
    late.send(posted(b"bo", length=4))
    assert (await late.answer())[0] == 408
    assert await late.ended()
    late.writer.close()
    assert served.things.begun == []


async def test_requests_in_a_row_are_answered_in_order(served: Served, known: Connection) -> None:
    known.send(posted(b"1") + posted(b"2", "Prefer: layers") + posted(b"3") + posted(b"4"))
    assert [await body_of(known) for _ in range(4)] == [b"express 1", b"layers 1", b"express 3", b"express 4"]


async def test_a_body_that_is_late_behind_another_request_goes_through_the_layers_too(known: Connection) -> None:
    known.send(posted(b"1") + posted(b"bo", length=4))
    assert await body_of(known) == b"express 1"
    assert (await known.answer())[0] == 408
    assert await known.ended()


@pytest.mark.parametrize(
    "sent", [posted(b"x", "Connection: close"), posted(b"x", version="1.0")], ids=["close", "HTTP/1.0"]
)
async def test_a_connection_ends_when_the_client_says_so(served: Served, known: Connection, sent: bytes) -> None:
    known.send(sent)
    status, headers, body = await known.answer()
    assert (status, headers["connection"], body) == (201, "close", b"express x")
    assert await known.ended()


async def test_a_server_that_stops_ends_a_connection_behind_its_answer(served: Served, known: Connection) -> None:
    served.things.open.clear()
    known.send(posted(b"x"))
    await until(begun(served, 1))
    for connection in list(served.state.connections):
        connection.shutdown()
    served.things.open.set()
    assert (await known.answer())[2] == b"express x"
    assert await known.ended()


def begun(served: Served, count: int) -> Any:
    async def there() -> bool:
        return len(served.things.begun) >= count

    return there


async def test_a_problem_is_answered_as_the_layers_do(served: Served, known: Connection) -> None:
    known.send(posted(b"bad"))
    status, headers, body = await known.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body) == Malformed("It is bad.").members()
    known.send(posted(b"good"))
    assert await body_of(known) == b"express good"


async def test_a_bug_is_answered_without_its_words_and_the_connection_goes_on(
    served: Served, known: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    known.send(posted(b"bug", "X-Request-Id: mine-2"))
    status, _, body = await known.answer()
    assert (status, json.loads(body)["type"]) == (500, "/problems/internal-error")
    assert b"secret" not in body
    assert "mine-2" in (logged := capsys.readouterr().out)
    assert logged.count("ValueError: secret sentence") == 1
    known.send(posted(b"good"))
    assert await body_of(known) == b"express good"


async def test_beyond_the_quota_a_request_is_refused(known: Connection) -> None:
    status, taken = 201, 1
    while status == 201:  # some more come in meanwhile on a slow machine
        known.send(posted(b"x"))
        status, headers, body = await known.answer()
        taken += status == 201
    assert (status, headers["ratelimit"][:12], json.loads(body)["policy"]) == (429, '"client";r=0', "client")
    assert taken >= REQUESTS


async def test_so_many_are_under_way_and_no_more(served: Served, known: Connection) -> None:
    served.things.open.clear()
    connections = [await served.connect() for _ in range(IN_FLIGHT)]
    for connection in connections:
        connection.send(posted(b"x"))
    await until(begun(served, IN_FLIGHT))
    assert served.metrics.in_flight == IN_FLIGHT
    known.send(posted(b"x"))
    status, headers, body = await known.answer()
    assert (status, headers["retry-after"], json.loads(body)["in_flight_max"]) == (503, "1", IN_FLIGHT)
    served.things.open.set()
    assert [await body_of(connection) for connection in connections] == [b"express x"] * IN_FLIGHT
    known.send(posted(b"x"))
    assert await body_of(known) == b"express x", "those that ended count no more"
    for connection in connections:
        connection.writer.close()


async def test_a_client_that_leaves_is_counted_no_more(served: Served, known: Connection) -> None:
    served.things.open.clear()
    known.send(posted(b"x"))
    await until(begun(served, 1))
    known.writer.close()

    async def left() -> bool:
        return not served.state.connections

    await until(left)
    assert served.metrics.in_flight == 1
    served.things.open.set()
    assert [line["status"] for line in await served.lines(2)] == [201, 201]
    assert served.metrics.in_flight == 0


async def test_a_client_that_leaves_before_its_body_is_there_is_told_of(served: Served, known: Connection) -> None:
    known.send(posted(b"bo", length=4))
    known.writer.close()
    assert [line["status"] for line in await served.lines(2)] == [201, 499]
    assert served.things.begun == []


async def test_a_key_that_is_withdrawn_ends_what_it_verified(served: Served, known: Connection) -> None:
    known.send(posted(b"x"))
    assert await body_of(known) == b"express x"
    content = json.loads(served.jwks.read_bytes())
    content["keys"] = [key for key in content["keys"] if key["kid"] != "ES256"]
    served.jwks.write_bytes(json.dumps(content).encode())

    async def forgotten() -> bool:
        known.send(posted(b"y"))
        _, headers, _ = await known.answer()
        return headers["ratelimit-policy"].startswith('"address"')

    await until(forgotten)
    assert served.authenticator.remembered(f"Bearer {TOKEN}".encode()) is None


async def test_a_request_is_told_of_by_its_route(served: Served, known: Connection) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    known.send(posted(b"x", "X-Request-Id: mine-3", f"traceparent: {trace}"))
    await known.answer()
    known.send(posted(b"bad", "X-Request-Id: a b"))
    _, headers, _ = await known.answer()
    _, line, refused = await served.lines(3)
    assert line.pop("duration_ms") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "mine-3",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "POST",
        "route": "/things",
        "status": 201,
    }
    assert (refused["status"], refused["request_id"]) == (400, headers["x-request-id"])
    assert refused.keys() == {"duration_ms", "timestamp", *line} - {"trace_id"}
    for status in ("201", "400"):
        labels = {"method": "POST", "route": "/things", "status": status}
        assert served.registry.get_sample_value("http_requests_total", labels) == 1
