"""The log as a Parquet file: for who counts and joins rather than proves. The stored bytes go with each row."""

import contextlib
from pathlib import Path
from typing import Any, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.envelope import decode
from contracts.tags import filter_tags

ROWS_MAX = 10_000
BYTES_MAX = 16 << 20
"""A row group is written when it holds so many rows, or so many stored bytes: what is in memory is bounded."""

IDS = ("person_id", "registration_id", "certification_id", "bloc_id", "certificate_number")
"""Members of data that have a column of their own. `tags` names every id, as `GET /v1/log/entries?tag=` does."""

SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("time", pa.string(), nullable=False),  # as posted: any offset, perhaps a leap second
        pa.field("recordedtime", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("authid", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in IDS),
        pa.field("tags", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
        pa.field("data", pa.string(), nullable=False),
        pa.field("entry", pa.binary(), nullable=False),
    ]
)


class _Stored(msgspec.Struct):
    """What of stored bytes goes into columns as it is."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    authid: str
    data: msgspec.Raw


_stored = msgspec.json.Decoder(_Stored)


class ParquetFile:
    """A file that is there only once it is whole. A context: what ends in an error leaves nothing behind."""

    def __init__(self, path: Path, *, rows_max: int = ROWS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        self._rows_max, self._bytes_max = rows_max, bytes_max
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(self._unfinished, SCHEMA, compression="zstd")
        return self

    def write(self, entry: bytes) -> None:
        """Add an entry of the log as a row."""
        self._rows.append(row(entry))
        self._bytes += len(entry)
        if len(self._rows) >= self._rows_max or self._bytes >= self._bytes_max:
            self._write_group()

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._unfinished.unlink, missing_ok=True)
            with contextlib.closing(self._writer):
                if failed is None:
                    self._write_group()
            if failed is None:
                self._unfinished.replace(self._path)

    def _write_group(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._rows, self._bytes = [], 0


def row(entry: bytes) -> dict[str, Any]:
    """The columns of an entry."""
    stored, event = _stored.decode(entry), decode(entry)
    members = msgspec.json.decode(stored.data)
    return {
        "position": event.position,
        **{name: getattr(stored, name) for name in ("id", "source", "type", "subject", "time", "authid")},
        "recordedtime": event.recorded_at,
        **{name: members.get(name) for name in IDS},
        "tags": sorted(filter_tags(event.data)),
        "data": bytes(stored.data).decode(),
        "entry": entry,
    }
