"""`certibranche replay --format parquet`: every row says what its stored bytes say, and the bytes are there."""

import hashlib
import sys
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from contracts.envelope import decode
from contracts.examples import EXAMPLES
from contracts.tags import filter_tags
from services.parquet import IDS, ParquetFile
from services.replay import replay
from tests.unit.http_server import serving


def numbered(entry: bytes, position: int) -> bytes:
    return entry.replace(decode(entry).sequence.encode(), b"%019d" % position)


LOG = [numbered(entry, position) for position, entry in enumerate(EXAMPLES.values(), 1)]
"""One event of each type."""


def test_each_row_is_an_entry_in_columns(tmp_path: Path) -> None:
    with ParquetFile(tmp_path / "log.parquet") as file:
        for entry in LOG:
            file.write(entry)
    rows = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert [row["entry"] for row in rows] == LOG
    for row, entry in zip(rows, LOG, strict=True):
        event = msgspec.json.decode(entry)
        for name in ("id", "source", "type", "subject", "time", "authid"):
            assert row[name] == event[name]
        assert row["position"] == int(event["sequence"])
        assert row["recordedtime"] == datetime.fromisoformat(event["recordedtime"])
        assert row["data"].encode() == msgspec.json.encode(event["data"], order="sorted")
        assert {name: row[name] for name in IDS} == {name: event["data"].get(name) for name in IDS}
        assert row["tags"] == sorted(filter_tags(decode(entry).data))


def test_memory_is_bounded_by_rows_and_by_bytes(tmp_path: Path) -> None:
    for bounds in ({"rows_max": 4}, {"bytes_max": 2_000}):
        path = tmp_path / "log.parquet"
        with ParquetFile(path, **bounds) as file:
            for entry in LOG:
                file.write(entry)
        read = pq.ParquetFile(path)
        assert [row["entry"] for row in read.read().to_pylist()] == LOG
        groups = [read.read_row_group(number).to_pylist() for number in range(read.num_row_groups)]
        assert len(groups) > 2
        for group in groups[:-1]:
            assert len(group) <= bounds.get("rows_max", len(LOG))
            assert sum(len(row["entry"]) for row in group[:-1]) < bounds.get("bytes_max", 1 << 20)


def test_what_ends_in_an_error_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    path.write_bytes(b"of yesterday")
    with pytest.raises(msgspec.ValidationError), ParquetFile(path) as file:
        file.write(b"{}")
    assert path.read_bytes() == b"of yesterday"
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_log_is_a_file_without_rows(tmp_path: Path) -> None:
    with ParquetFile(tmp_path / "log.parquet"):
        pass
    assert pq.read_table(tmp_path / "log.parquet").num_rows == 0


# The command


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        checkpoint = self.path == "/log/checkpoint"
        entries = b"".join(entry + b"\n" for entry in LOG[int(self.path.partition("after=")[2] or 0) :])
        body = b"origin\n%d\nroot\n" % len(LOG) if checkpoint else entries
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(_Registry) as url:
        yield url


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(replay, ["--url", url, "--token", "any", *arguments])


@pytest.mark.parametrize("arguments", [["-o", "log.parquet"], ["--format", "parquet", "--output", "log"]])
def test_the_command_writes_parquet_by_suffix_or_when_asked(url: str, tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / arguments[-1]
    result = run(url, *arguments[:-1], str(path))
    assert result.exit_code == 0, result.output
    assert [row["entry"] for row in pq.read_table(path).to_pylist()] == LOG
    assert f"{len(LOG)} entries, positions 1 to {len(LOG)} without a gap" in result.stderr


def test_ndjson_may_be_named_parquet_when_asked(url: str, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    assert run(url, "--format", "ndjson", "-o", str(path)).exit_code == 0
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(b"\n".join([*LOG, b""])).digest()


def test_parquet_needs_a_file(url: str) -> None:
    result = run(url, "--format", "parquet")
    assert (result.exit_code, "needs a name" in result.stderr) == (2, True)


def test_without_the_extra_it_says_what_to_install(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "services.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    result = run(url, "-o", str(tmp_path / "log.parquet"))
    assert (result.exit_code, "pip install 'certibranche[parquet]'" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
