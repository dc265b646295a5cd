"""Logs: one JSON object a line on standard error, or coloured text when a person watches."""

import logging
import sys
from typing import Any

import msgspec
import structlog

from services.edge.access_log import AccessLog, JsonLines, shown
from services.edge.outer import AnswerAbortedError


def configure_logs(*, level: int = logging.INFO, json: bool | None = None) -> None:
    """Configure structlog, and send what libraries log through it. JSON unless standard error is a terminal."""
    json = _no_terminal() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if json:
        render: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _json_line]
        factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        # Rich's tracebacks, the default, show the values of variables: identities and keys among them.
        render = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)
    logging.getLogger("uvicorn").setLevel(level)


def access_log() -> AccessLog:
    """Where lines of the access log go: to standard error as all others."""
    return JsonLines(sys.stderr.buffer) if _no_terminal() else shown


def _no_terminal() -> bool:
    return not sys.stderr.isatty()


def _json_line(_logger: Any, _name: str, event: structlog.typing.EventDict) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)


class _ToStructlog(logging.Handler):
    """The standard library's records, as ours. An answer we aborted on purpose is not uvicorn's to complain about."""

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info
        if exc_info and isinstance(exc_info[1], AnswerAbortedError):
            return
        logger = structlog.get_logger()
        logger.log(record.levelno, record.getMessage().strip(), logger=record.name, exc_info=exc_info or None)
