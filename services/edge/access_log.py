"""The access log: a line for each answered request, by its route's template. Paths and queries hold ids of persons."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO

import msgspec
import structlog
from msgspec import UNSET, UnsetType

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.access")


class Line(msgspec.Struct, kw_only=True):
    """What is told of a request. duration_ms: to the last byte. complete: false where the answer was cut."""

    event: str = "request"
    level: str = "info"
    timestamp: datetime
    request_id: str
    trace_id: str | UnsetType
    method: str
    route: str
    status: int
    duration_ms: float
    complete: bool | UnsetType = UNSET


AccessLog = Callable[[Line], None]


def shown(line: Line) -> None:
    """Show a line in the way that all logs are shown."""
    members = {name: value for name, value in msgspec.structs.asdict(line).items() if value is not UNSET}
    for name in ("level", "timestamp", "event"):
        del members[name]  # the logger's own
    _log.info("request", **members)


class JsonLines:
    """Writes lines as all logs are written in JSON, but those of one turn of the event loop together, at its end.

    It is the busiest log: this takes a quarter of the time. Whatever the process answers it logs, unless it is killed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[Line] = []

    def __call__(self, line: Line) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(line)

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._file.write(self._encoder.encode_lines(lines))
        self._file.flush()
