"""`certibranche replay` against answers that break off, end early or lack an entry."""

import io
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stamina
from click.testing import CliRunner

from services.replay import GapFound, Replay, Wanted, replay
from tests.unit.http_server import serving

LOG = [f'{{"data":{{"n":"é{n}"}},"sequence":"{n:019d}"}}\n'.encode() for n in range(1, 101)]
WHOLE = b"".join(LOG)

Answer = Callable[[int, int], Iterator[bytes]]
"""What a registry streams when asked for the entries after a position, at most a limit."""


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


def client(*answers: Answer | int) -> httpx2.Client:
    """A registry that gives these answers in turn, the last one for ever; a number is a status."""
    remaining = list(answers)

    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(answer, int):
            return httpx2.Response(answer, json={"title": "No", "detail": "no"})
        after, limit = (int(request.url.params.get(name, default)) for name, default in (("after", 0), ("limit", 100)))
        return httpx2.Response(200, stream=_Stream(answer(after, limit)))

    return httpx2.Client(transport=httpx2.MockTransport(handle), base_url="http://registry")


class _Stream(httpx2.SyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def whole(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[after : after + limit])


def in_small_chunks(after: int, limit: int) -> Iterator[bytes]:
    body = b"".join(LOG[after : after + limit])
    yield from (body[at : at + 7] for at in range(0, len(body), 7))


def cut_within_an_entry(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[after : after + 10]) + LOG[after + 10][:20]
    raise httpx2.ReadError("the connection broke")


def ending_within_an_entry(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[after : after + 10]) + LOG[after + 10][:20]


def ended_early(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[after : after + 10])


def without_entry_50(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[after:49] + LOG[50:])


def broken_at_once(after: int, limit: int) -> Iterator[bytes]:
    raise httpx2.ReadError("the connection broke")
    yield b""


def copy(source: httpx2.Client, **wanted: Any) -> tuple[bytes, Replay]:
    target = io.BytesIO()
    replay = Replay(
        client=source, write=lambda entry: target.write(entry + b"\n"), **{"after": 0, "head": 100, **wanted}
    )
    replay.run(lambda: None)
    return target.getvalue(), replay


@pytest.mark.parametrize(
    "answers",
    [
        [whole],
        [in_small_chunks],
        [cut_within_an_entry, whole],
        [ending_within_an_entry, whole],
        [cut_within_an_entry, broken_at_once, 503, whole],
        [ended_early, 503, ended_early, whole],
    ],
    ids=lambda answers: "-".join(getattr(answer, "__name__", str(answer)) for answer in answers),
)
@pytest.mark.parametrize("head", [100, None])
def test_every_byte_arrives_once_whatever_happens_on_the_way(answers: list[Answer | int], head: int | None) -> None:
    body, replay = copy(client(*answers), head=head)
    assert body == WHOLE
    assert replay.summary() == "100 entries, positions 1 to 100 without a gap"


def test_it_begins_after_a_position_and_stops_at_a_limit() -> None:
    body, replay = copy(client(cut_within_an_entry, whole), after=40, limit=25)
    assert body == b"".join(LOG[40:65])
    assert replay.summary() == "25 entries, positions 41 to 65 without a gap"


def test_nothing_behind_the_head_is_nothing() -> None:
    body, replay = copy(client(whole), after=100)
    assert body == b""
    assert replay.summary() == "no entries behind position 100"


def test_a_missing_entry_is_found() -> None:
    with pytest.raises(GapFound, match="after position 49 came 51"):
        copy(client(without_entry_50))


def test_a_log_shorter_than_its_checkpoint_is_found() -> None:
    with pytest.raises(GapFound, match="signs 101 entries, but they end at position 100"):
        copy(client(whole), head=101)


def backwards(after: int, limit: int) -> Iterator[bytes]:
    yield LOG[1] + LOG[0]


@pytest.mark.parametrize("wanted", [Wanted(types=["certibranche.jury.held.v1"]), Wanted(tags=["bloc:a"])])
def test_entries_that_are_chosen_have_gaps_but_an_order(wanted: Wanted) -> None:
    body, replay = copy(client(without_entry_50), wanted=wanted)
    assert len(body.splitlines()) == 99
    assert "gaps cannot be seen" in replay.summary()
    with pytest.raises(GapFound, match="after position 2 came 1"):
        copy(client(backwards), wanted=wanted)


def from_entry_30(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[max(after, 29) : 60])


def from_entry_30_without_50(after: int, limit: int) -> Iterator[bytes]:
    yield b"".join(LOG[max(after, 29) : 49] + LOG[50:])


def test_a_window_of_time_begins_and_ends_anywhere_but_has_no_gap_in_it() -> None:
    window = Wanted(from_time="2018-01-01T00:00:00Z", to_time="2019-01-01T00:00:00Z")
    body, replay = copy(client(from_entry_30), wanted=window)
    assert body == b"".join(LOG[29:60])
    assert replay.summary() == "31 entries, positions 30 to 60 without a gap"
    with pytest.raises(GapFound, match="after position 49 came 51"):
        copy(client(from_entry_30_without_50), wanted=window)


def test_what_is_wanted_is_asked_for() -> None:
    asked: list[httpx2.QueryParams] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params)
        return httpx2.Response(200, content=b"")

    source = httpx2.Client(transport=httpx2.MockTransport(handle), base_url="http://registry")
    copy(source, wanted=Wanted(["a", "b"], ["bloc:c"], "2018-01-01T00:00:00+02:00", None))
    expected = [("type", "a"), ("type", "b"), ("tag", "bloc:c"), ("from", "2018-01-01T00:00:00+02:00"), ("after", "0")]
    assert asked[0].multi_items() == expected


def test_a_registry_that_gives_nothing_exhausts_patience() -> None:
    with pytest.raises(httpx2.ReadError):
        copy(client(broken_at_once))


class _Registry(BaseHTTPRequestHandler):
    """A registry whose first stream of the log breaks off; it knows one token."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer right":
            return self._send(403, b'{"title": "The token does not hold the scope", "status": 403, "detail": "no"}')
        if self.path == "/log/checkpoint":
            return self._send(200, b"origin\n100\nroot\n")
        after = int(self.path.partition("after=")[2])
        body = b"".join(LOG[after:])
        return self._send(200, body[: len(body) // 2] if after == 0 else body, length=len(body))

    def _send(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(_Registry) as url:
        yield url


def test_the_command_writes_bytes_to_standard_output_and_the_summary_beside_it(url: str) -> None:
    result = CliRunner().invoke(replay, ["--url", url, "--token", "right"])
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == WHOLE
    assert result.stderr.strip() == "100 entries, positions 1 to 100 without a gap"


def test_the_command_writes_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    result = CliRunner().invoke(replay, ["--url", url, "--token", "right", "--output", str(file)])
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == b""
    assert file.read_bytes() == WHOLE


def test_a_refusal_is_shown_and_not_repeated(url: str) -> None:
    result = CliRunner().invoke(replay, ["--url", url, "--token", "wrong"])
    assert result.exit_code == 1
    assert "The token does not hold the scope" in result.stderr
