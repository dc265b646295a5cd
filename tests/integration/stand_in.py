"""`certibranche up` with stand-ins for the registry's own processes, to be run as a script.

The stand-ins are as small as processes can be, so that these tests fail for one reason only: the supervision.
"""

import asyncio
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import asyncpg
import nats

from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder
from services.embedded.up import Installation, up
from services.settings import UpSettings, read


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


async def _migrate() -> None:
    database = await asyncpg.connect(os.environ["CERTIBRANCHE_DATABASE_URL"])
    await database.execute("CREATE TABLE IF NOT EXISTS note (text text)")
    await database.close()
    broker = await nats.connect(os.environ["CERTIBRANCHE_NATS_URL"])
    await broker.jetstream().add_stream(name="CERTIBRANCHE", subjects=["certibranche.v1.>"])
    await broker.close()


def _run(name: str) -> None:
    match name:
        case "migrate":
            asyncio.run(_migrate())
        case "serve":
            HTTPServer(("127.0.0.1", int(os.environ["CERTIBRANCHE_PORT"])), _Healthy).serve_forever()
        case "broken":
            sys.exit("the stand-in is broken on purpose")
        case _:
            signal.pause()


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name != "up":
        return _run(name)
    data, api_port, nats_port, broken = arguments
    commands = {command: [sys.executable, __file__, command] for command in ("migrate", "serve", "follow", "relay")}
    if broken:
        commands[broken] = [sys.executable, __file__, "broken"]
    installation = Installation(
        folder=DataFolder(Path(data)),
        settings=read(UpSettings, os.environ),
        api_port=int(api_port),
        nats_port=int(nats_port),
        tell=lambda line: print(line, file=sys.stderr, flush=True),
        commands=commands,
    )
    try:
        asyncio.run(up(installation, lambda: print("ready", flush=True)))
    except CannotRun as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
