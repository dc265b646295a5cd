"""A million lines through `POST /v1/events` as NDJSON, from a client that sends its whole body before it reads.

`python -m tests.soak.ndjson [LINES]`. The server's memory must not grow with the lines, and each line has its result in
order. Exit code 1 when not.
"""

import asyncio
import socket
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.progress import Progress

from tests.installation import Installation

LINES = 1_000_000
CHUNK = 1_000
GROWTH_MAX_MIB = 200
"""A warm process: caches, the garbage collector's slack, the pages of a spool that the kernel has yet to write."""


def lines(run: str, first: int) -> bytes:
    """Some lines: each 100th is wrong, so that there are problems among the receipts."""
    return b"".join(
        b'{"specversion":"1.0","id":"%s-%d","source":"urn:soak","type":"certibranche.objective.set.v1",'
        b'"data":{"year":2031,"beneficiaries":%d}}\n' % (run.encode(), number, number % 100)
        for number in range(first, first + CHUNK)
    )


def resident_mib(process_id: int, field: str) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(field))) / 1024


def exchange(port: int, token: str, run: str, count: int, progress: Progress) -> int:
    """Send all lines, then read all results; how many results are right and in order."""
    sending, reading = progress.add_task("sent", total=count), progress.add_task("read", total=count)
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/events HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n"
    connection.sendall(f"{head}Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n".encode())
    for first in range(0, count, CHUNK):
        body = lines(run, first)
        connection.sendall(b"%x\r\n%s\r\n" % (len(body), body))
        progress.advance(sending, CHUNK)
    connection.sendall(b"0\r\n\r\n")
    right = 0
    with connection, connection.makefile("rb") as answer:
        while answer.readline() != b"\r\n":
            pass
        for number, line in enumerate(results(answer)):
            right += msgspec.json.decode(line)["status"] == (201 if number % 100 else 400)
            progress.advance(reading)
    return right


def results(answer):  # type: ignore[no-untyped-def]
    """The lines of a chunked body."""
    rest = b""
    while size := int(answer.readline(), 16):
        *whole, rest = (rest + answer.read(size)).split(b"\n")
        answer.readline()
        yield from whole


async def main(count: int) -> int:
    installation = Installation(Path(tempfile.mkdtemp(prefix="soak-")) / "data")
    await installation.start()
    try:
        server = installation.process_id("serve")
        assert server is not None
        token = installation.token("catalogue:write")
        with Progress() as progress:
            await asyncio.to_thread(exchange, installation.port, token, "warm-up", 20_000, progress)
            warm = resident_mib(server, "VmRSS")
            right = await asyncio.to_thread(exchange, installation.port, token, "soak", count, progress)
        peak = resident_mib(server, "VmHWM")
    finally:
        await installation.stop()
    print(f"{right} of {count} results right and in order; server {warm:.0f} MiB warm, {peak:.0f} MiB at its peak")
    return 0 if right == count and peak - warm < GROWTH_MAX_MIB else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else LINES)))
