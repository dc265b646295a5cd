"""The HTTP client: many connections, one request after the other on each; as little work as possible beside the server.

Usage: python -m tests.bench.children.client SCATTERED SINGLES (persons, as JSON).
"""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import uvloop

from tests.bench import load
from tests.bench.candidates import BARE_TYPE, SOURCE, Candidates, Persons
from tests.bench.child import answer
from tests.bench.measure import Sample

BATCH = 100
CHUNK_LINES = 100
CHUNK_BYTES = 1 << 16
AHEAD_LINES = 4_000
"""Lines sent and not answered yet: without a bound the sockets' buffers would hold seconds of work."""

_encoder = msgspec.json.Encoder()
_ids = itertools.count()


class Connection:
    """A connection that is kept, speaking just enough HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._writer.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        answered = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answered.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(answered[9:12]), await self._reader.readexactly(length)

    async def stream(self, head: bytes, chunks: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
        """Send chunks as they come, and give the parts of the answer as on the wire. None: there is no body."""
        sending = asyncio.create_task(self._send(head, chunks))
        tail = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            part = await self._reader.read(CHUNK_BYTES)
            if not part or (not tail and b" 200 " not in part[:16]):
                sending.cancel()
                raise ConnectionError(f"the answer was cut, or no stream: {part[:1000]!r}")
            tail = (tail + part)[-16:]
            yield part
        await sending

    async def _send(self, head: bytes, chunks: AsyncIterator[bytes] | None) -> None:
        if chunks is None:
            self._writer.write(head + b"\r\n")
            return
        self._writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        async for chunk in chunks:
            self._writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await self._writer.drain()
        self._writer.write(b"0\r\n\r\n")

    def close(self) -> None:
        self._writer.close()


class Client:
    """Posts registrations of the same persons to several servers, and reads."""

    def __init__(self, persons: dict[str, Persons]) -> None:
        self._persons = persons
        self._candidates: dict[tuple[int, str], Candidates] = {}

    async def single(self, port: int, token: str, persons: str, connections: int, seconds: float) -> Sample:
        """One event a request."""
        head = _head("POST", "/v1/events", port, token, "application/cloudevents+json")
        body = partial(_event, self._of(port, persons))
        opened = await _connections(port, connections)

        async def posted() -> bool:
            connection = opened.pop()
            status, _ = await connection.post(head, body())
            opened.append(connection)
            return status == 201

        return _closed(opened, await load.tasks(posted, connections, seconds))

    async def batch(self, port: int, token: str, persons: str, connections: int, seconds: float) -> Sample:
        """A hundred events a request; the operations are events, the latencies those of requests."""
        head = _head("POST", "/v1/events", port, token, "application/cloudevents-batch+json")
        body = partial(_event, self._of(port, persons))
        opened = await _connections(port, connections)
        refused = 0

        async def posted() -> bool:
            nonlocal refused
            connection = opened.pop()
            status, answered = await connection.post(head, b"[%b]" % b",".join(body() for _ in range(BATCH)))
            opened.append(connection)
            refused += BATCH - answered.count(b'"status":201')
            return status == 200

        sample = _closed(opened, await load.tasks(posted, connections, seconds))
        return msgspec.structs.replace(sample, operations=BATCH * sample.operations - refused, refused=refused)

    async def ndjson(self, port: int, token: str, persons: str, seconds: float) -> Sample:
        """One long stream of events, until the seconds are over and all are answered."""
        head = _head("POST", "/v1/events", port, token, "application/x-ndjson")
        body = partial(_event, self._of(port, persons))
        answered = Marks(b'"status":201')
        lines = 0
        stop = time.perf_counter() + seconds

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal lines
            while time.perf_counter() < stop:
                await answered.reach(lines - AHEAD_LINES)
                lines += CHUNK_LINES
                yield b"".join(body() + b"\n" for _ in range(CHUNK_LINES))

        sample = await _streamed(port, head, chunks(), answered)
        return msgspec.structs.replace(sample, refused=lines - sample.operations)

    async def replay(self, port: int, token: str, seconds: float) -> Sample:
        """The whole log as NDJSON, once and again until the seconds are over; its bytes are counted, not parsed."""
        head = _head("GET", "/v1/log/entries", port, token, "application/x-ndjson")
        taken: list[Sample] = []
        while sum(sample.seconds for sample in taken) < seconds:
            taken.append(await _streamed(port, head, None, Marks(b"}\n")))
        return Sample(
            operations=sum(sample.operations for sample in taken),
            seconds=sum(sample.seconds for sample in taken),
            cpu_s=sum(sample.cpu_s for sample in taken),
        )

    def _of(self, port: int, persons: str) -> Candidates:
        return self._candidates.setdefault((port, persons), Candidates(self._persons[persons]))


def _head(method: str, path: str, port: int, token: str, content_type: str) -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {token}",
        f"Content-Type: {content_type}",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _event(candidates: Candidates) -> bytes:
    return _encoder.encode(
        {
            "specversion": "1.0",
            "id": f"event-{next(_ids)}",
            "source": SOURCE,
            "type": BARE_TYPE,
            "data": candidates.next(),
        }
    )


async def _connections(port: int, count: int) -> list[Connection]:
    return [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(count)]


def _closed(connections: list[Connection], sample: Sample) -> Sample:
    for connection in connections:
        connection.close()
    return sample


class Marks:
    """How often a mark has occurred in a stream."""

    def __init__(self, mark: bytes) -> None:
        self.count = 0
        self._mark = mark
        self._rest = b""
        self._more = asyncio.Event()

    def look(self, part: bytes) -> None:
        """Count in the next part. A mark may be cut between two; none is counted twice."""
        seen = self._rest + part
        self.count += seen.count(self._mark)
        self._rest = seen[len(seen) - len(self._mark) + 1 :]
        self._more.set()

    async def reach(self, count: int) -> None:
        """Returns once there are so many."""
        while self.count < count:
            self._more.clear()
            await self._more.wait()


async def _streamed(port: int, head: bytes, chunks: AsyncIterator[bytes] | None, marks: Marks) -> Sample:
    """A stream in both directions; the operations are the marks in the answer."""
    (connection,) = await _connections(port, 1)
    began, cpu_began = time.perf_counter(), time.process_time()
    async for part in connection.stream(head, chunks):
        marks.look(part)
    connection.close()
    cpu_s = time.process_time() - cpu_began
    return Sample(operations=marks.count, seconds=time.perf_counter() - began, cpu_s=cpu_s)


async def main(scattered: Persons, singles: Persons) -> None:
    client = Client({"scattered": scattered, "singles": singles})
    await answer(single=client.single, batch=client.batch, ndjson=client.ndjson, replay=client.replay)


if __name__ == "__main__":
    uvloop.run(main(*(msgspec.json.decode(text, type=Persons) for text in sys.argv[1:3])))
