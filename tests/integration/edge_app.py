"""An application with what the edge must cope with; run as `python -m tests.integration.edge_app HOST PORT`."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.response import Stream
from prometheus_client import CollectorRegistry

from contracts.problems import Problem, Unavailable
from services.edge.logs import access_log, configure_logs
from services.edge.metrics import Metrics
from services.edge.ndjson import Line, NdjsonAnswer
from services.edge.ops import ops_router
from services.edge.outer import Outer
from services.edge.problems import exception_handlers
from services.edge.protocol import Protocol
from services.edge.server import run


def _peak_kib() -> int:
    """This program's own peak; getrusage's begins with that of the process it was forked from."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found
    return int(found[1])


@get("/things/{number:int}")
async def thing(number: int) -> Response[dict[str, int]]:
    return Response({"number": number}, headers={"ETag": f'"{number}"'})


@get("/bug")
async def bug() -> None:
    raise ValueError("secret sentence")


@get("/broken")
async def broken() -> Stream:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"begun\n"
        raise ValueError("in the middle")

    return Stream(parts())


async def results(lines: AsyncIterator[list[Line]]) -> AsyncGenerator[bytes, None]:
    """One result a line, of some 270 bytes; `stop` fails; `memory` tells the peak resident size in KiB."""
    number = 0
    async for batch in lines:
        await asyncio.sleep(0)
        for line in batch:
            number += 1
            if isinstance(line, Problem):
                yield line.encode() + b"\n"
            elif line == b"stop":
                raise Unavailable("stopped", retry_after_s=7)
            elif line == b"memory":
                yield b'{"peak_kib":%d}\n' % _peak_kib()
            else:
                yield b'{"number":%d,"bytes":%d,"padding":"%s"}\n' % (number, len(line), b"x" * 230)


@post("/lines", status_code=200, request_max_body_size=None)
async def lines() -> NdjsonAnswer:
    return NdjsonAnswer(results)


@post("/body", status_code=200)
async def body(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"bytes": len(await request.body())}


class Impatient(Protocol):
    head_s = 0.5


def main(host: str, port: int) -> None:
    drain = asyncio.Event()

    @get("/follow")
    async def follow() -> Stream:
        async def parts() -> AsyncGenerator[bytes, None]:
            yield b"hello\n"
            await drain.wait()
            yield b"bye\n"

        return Stream(parts())

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        if os.environ.get("EDGE_APP_FAILS"):
            raise RuntimeError("cannot start")
        yield
        print(json.dumps({"event": "lifespan ended"}), file=sys.stderr)

    registry = CollectorRegistry()
    app = Litestar(
        [thing, bug, broken, lines, body, follow, ops_router({}, registry)],
        exception_handlers=exception_handlers,
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=None,
    )
    configure_logs()
    run(
        Outer(app, Metrics(registry), access_log(), body_timeout_s=1.0),
        host=host,
        port=port,
        drain=drain,
        protocol=Impatient,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
