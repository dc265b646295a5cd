"""Any exception becomes a problem here, by one table, and a problem becomes an answer."""

import re
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar import exceptions as http
from litestar.types import ExceptionHandlersMap

from contracts import problems
from contracts.problems import MEDIA_TYPE, Bug, Malformed, Problem, Unavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.edge")

Headers = list[tuple[bytes, bytes]]


class ClientGone(Problem):
    """The client hung up before its request was complete. Nobody reads this answer; 499 is for logs and metrics."""

    slug, title, status = "client-gone", "The client left", 499


def problem_of(error: BaseException) -> Problem:
    """The problem that tells a caller of `error`, without SQL, paths or identities.

    The first class of the error's family that the table knows decides.
    """
    for kind in type(error).__mro__:
        if (translate := TABLE.get(kind)) is not None:
            return translate(error)
    return _bug(error)


def report(error: BaseException, problem: Problem) -> None:
    """Log what an operator must see: bugs with their chain, and what made the registry unavailable."""
    if isinstance(problem, Bug):
        log.error("bug", exc_info=error)
    elif isinstance(problem, Unavailable) and error is not problem:
        log.warning("unavailable", exc_info=error)


def problem_headers(problem: Problem) -> Headers:
    """The headers a problem brings, its media type included."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if isinstance(problem, Unavailable | problems.TooManyRequests):
        headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    if isinstance(problem, problems.RequestTimeout):
        headers.append((b"connection", b"close"))  # RFC 9110, section 15.5.9: what may still arrive is not read
    if challenge := _challenge(problem):
        headers.append((b"www-authenticate", challenge.encode()))
    if allow := problem.values.get("allow"):
        headers.append((b"allow", ", ".join(allow).encode()))
    return headers


def _challenge(problem: Problem) -> str | None:
    """RFC 6750, section 3: no error code when no token was presented."""
    if problem.status not in (401, 403):
        return None
    code = problem.values.get("error", "insufficient_scope" if problem.status == 403 else None)
    parts = [f'error="{code}"'] if code else []
    if scope := problem.values.get("scope"):
        parts.append(f'scope="{scope}"')
    return f"Bearer {', '.join(parts)}".rstrip()


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    if isinstance(error, http.ValidationException):
        _name_as_sent(request, error)
    problem = problem_of(error)
    report(error, problem)
    headers = {name.decode(): value.decode() for name, value in problem_headers(problem)[1:]}
    return Response(problem.encode(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


exception_handlers: ExceptionHandlersMap = {Exception: answer_problem}
"""For `Litestar(exception_handlers=…)`."""

_MISSING = re.compile(r"^Missing required (\w+) parameter '([\w-]+)'")
_AT = re.compile(r" - at `(?:key in )?\$?([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def malformed(error: msgspec.MsgspecError) -> Malformed:
    """What msgspec refused, with the place as a JSON Pointer in `errors` (RFC 9457's own example member).

    A value of a map is `*` in the pointer: msgspec does not say which.
    """
    message = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Malformed(f"The content is not valid JSON: {message}")
    place = _AT.search(message)
    detail = message[: place.start()] if place else message
    return _misplaced(detail, {"pointer": _pointer(place.group(1) if place else "")})


def _pointer(path: str) -> str:
    """`.a[0].b` or `a[0].b`, msgspec's way, as the URI fragment `#/a/0/b`."""
    steps = _STEP.findall(path if path.startswith(("[", ".")) else f".{path}")
    names = (name or ("*" if index == "..." else index) for name, index in steps)
    return "#" + "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _misplaced(detail: str, place: dict[str, str]) -> Malformed:
    (at,) = place.values()
    return Malformed(f"{detail}, at {at}.", errors=[{"detail": detail, **place}])


def _name_as_sent(request: Request[Any, Any, Any], error: http.ValidationException) -> None:
    """Litestar tells of parameters by their names in Python, which a caller who sent `from` has never seen."""
    parameters = request.route_handler.parsed_fn_signature.parameters
    for item in error.extra if isinstance(error.extra, list) else []:
        field = parameters.get(item.get("key", ""))
        if field is not None and (name := getattr(field.kwarg_definition, "name", None)):
            item["key"] = name


def _validation(error: http.ValidationException) -> Problem:
    """A parameter or a body Litestar could not convert. Its own detail repeats the query string: not taken over."""
    refused = error.extra if isinstance(error.extra, list) else []
    for item in refused:
        key, message = item.get("key", ""), item["message"]
        if item.get("source") != "body":
            return _misplaced(message, {"parameter": key})
        if message == "'data'":
            return Malformed("A JSON body is required.")
        return _misplaced(message, {"pointer": _pointer("" if key == "data" else key)})
    if missing := _MISSING.search(error.detail):
        return Malformed(f"The {missing.group(1)} parameter {missing.group(2)} is required.")
    return _client(error)


def _client(error: http.HTTPException) -> Problem:
    cause = error.__cause__
    if isinstance(cause, http.SerializationException):
        cause = cause.__cause__
    if isinstance(cause, msgspec.MsgspecError):
        return malformed(cause)
    kind = STATUSES.get(error.status_code)
    if kind is None:
        return _bug(error) if error.status_code >= 500 else Malformed("The request could not be understood.")
    return kind(f"{kind.title}.")


def _not_allowed(error: http.MethodNotAllowedException) -> Problem:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    methods = sorted(headers.get("allow", "").replace(" ", "").split(","))
    return problems.MethodNotAllowed(f"This address answers {', '.join(methods)}.", allow=methods)


def _wrapped(error: Exception) -> Problem:
    """Litestar wraps what was raised after the answer began, and what msgspec refused."""
    return problem_of(error.__cause__) if error.__cause__ is not None else _bug(error)


def _interface(error: asyncpg.InterfaceError) -> Problem:
    """asyncpg says "closed", "closing" or "released" of a connection or pool it lost; the rest is our misuse."""
    lost = type(error) is asyncpg.InterfaceError and "in progress" not in str(error)
    return _database(error) if lost else _bug(error)


def _database(_error: BaseException) -> Problem:
    return Unavailable("The registry cannot reach what it needs for this right now; try again.")


def _bug(_error: BaseException) -> Problem:
    return Bug("The registry failed to answer; the failure has been logged under this answer's X-Request-Id.")


STATUSES: dict[int, type[Problem]] = {
    400: Malformed,
    401: problems.Unauthenticated,
    403: problems.ScopeMissing,
    404: problems.NotFound,
    406: problems.NotAcceptable,
    408: problems.RequestTimeout,
    413: problems.TooLarge,
    415: problems.UnsupportedMediaType,
    429: problems.TooManyRequests,
    503: Unavailable,
}

TABLE: dict[type, Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    # Litestar
    http.NotFoundException: lambda _: problems.NotFound("There is nothing at this address; see /docs."),
    http.MethodNotAllowedException: _not_allowed,
    http.ValidationException: _validation,
    http.HTTPException: _client,
    http.LitestarException: _wrapped,
    # Content
    msgspec.MsgspecError: malformed,
    # PostgreSQL: connection lost or refused, too many of them, shutting down or cancelled, a lock not got in time, a
    # conflict that a retry resolves, a standby that is not yet the primary.
    asyncpg.PostgresConnectionError: _database,
    asyncpg.InsufficientResourcesError: _database,
    asyncpg.OperatorInterventionError: _database,
    asyncpg.LockNotAvailableError: _database,
    asyncpg.TransactionRollbackError: _database,
    asyncpg.ReadOnlySQLTransactionError: _database,
    asyncpg.InvalidAuthorizationSpecificationError: _database,
    asyncpg.InterfaceError: _interface,
    asyncpg.InternalClientError: _database,  # raised when a server is killed in the middle of its answer
    # The system below: sockets, time-outs (asyncio's too), disks.
    OSError: _database,
    Exception: _bug,
}
