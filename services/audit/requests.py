"""Asking over HTTP: with patience, within bounds, and several questions at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import httpx2
import msgspec
import stamina

from services.audit.findings import CouldNotCheck
from services.remote import PATIENCE_S, REQUEST_TIMEOUT_S, Unavailable, again, settle

A = TypeVar("A")
B = TypeVar("B")

ANSWER_BYTES_MAX = 64_000_000
REQUESTS_AT_ONCE = 4
ANSWERS_AHEAD = 8


class Withheld(CouldNotCheck):
    """It is not there, or not given."""


class Answer(NamedTuple):
    """What came back from a GET."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self, what: str) -> dict[str, Any]:
        """The JSON object of a good answer; raises CouldNotCheck, saying what it is about, for any other."""
        if self.status != 200:
            raise self.refusal(what)
        return _object(self.content, what)

    def lines(self, what: str) -> list[dict[str, Any]]:
        """The same of NDJSON."""
        if self.status != 200:
            raise self.refusal(what)
        return [_object(line, what) for line in self.content.splitlines()]

    def refusal(self, what: str) -> CouldNotCheck:
        """Why the answer is not what was asked for."""
        kind = Withheld if self.status == 404 else CouldNotCheck
        return kind(f"{what}: status {self.status}{self._said()}")

    def settle(self) -> None:
        """Raise Unavailable when another answer may come soon."""
        if self.status in (429, 503):
            said = self._said().removeprefix(", ")
            settle(self.status, {"detail": said}, self.headers.get("Retry-After", ""))

    def _said(self) -> str:
        try:
            problem = msgspec.json.decode(self.content, type=dict[str, Any])
        except msgspec.MsgspecError:  # whoever answers is no registry
            return ""
        return f", {problem.get('detail') or problem.get('title')}"


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise CouldNotCheck(f"{what}: the answer is no JSON object") from error


class Remote:
    """What answers under an address. token: sent with each request, where there is one."""

    def __init__(self, url: str, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self._client = httpx2.Client(headers=headers, timeout=REQUEST_TIMEOUT_S)

    def get(self, path: str, bytes_max: int = ANSWER_BYTES_MAX, **params: Any) -> Answer:
        """The answer to a GET, whatever it is. Asked again while it may pass by itself; then raises CouldNotCheck."""
        try:
            return self._get(path, bytes_max, params)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise CouldNotCheck(f"nothing answers at {self.url}: {error or type(error).__name__}") from error
        except Unavailable as error:
            raise CouldNotCheck(f"{path}: {error.message}") from error

    @stamina.retry(on=again, attempts=None, timeout=PATIENCE_S)
    def _get(self, path: str, bytes_max: int, params: dict[str, Any]) -> Answer:
        with self._client.stream("GET", f"{self.url}/{path}", params=params) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > bytes_max:
                    raise CouldNotCheck(f"{path} has more than {bytes_max} bytes")
        answer = Answer(response.status_code, response.headers, bytes(content))
        answer.settle()
        return answer

    def close(self) -> None:
        self._client.close()


def ahead(work: Callable[[A], B], items: Iterable[A]) -> Iterator[tuple[A, B]]:
    """Each item with its work's result, in order, while threads already do that of those behind it."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        under_way: deque[tuple[A, Future[B]]] = deque()
        try:
            for item in items:
                under_way.append((item, threads.submit(work, item)))
                if len(under_way) > ANSWERS_AHEAD:
                    done, result = under_way.popleft()
                    yield done, result.result()
            while under_way:
                done, result = under_way.popleft()
                yield done, result.result()
        finally:
            for _, result in under_way:
                result.cancel()
