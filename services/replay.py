"""`certibranche replay`: the log as NDJSON or Parquet, byte for byte, whatever happens to the connection meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
import rich_click as click
import stamina
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from services.remote import (
    PATIENCE_S,
    REQUEST_TIMEOUT_S,
    OutOfReach,
    access_token,
    again,
    check,
    registry_options,
    tell_retries,
)

FORMS = ("ndjson", "parquet")


class GapFound(click.ClickException):
    """A log has positions 1, 2, 3 … without gaps; what came has not."""


class Wanted(NamedTuple):
    """Which entries: of any of these types, naming any of these ids, recorded from a time on and before another.

    Empty: all of them.
    """

    types: Sequence[str] = ()
    tags: Sequence[str] = ()
    from_time: str | None = None
    to_time: str | None = None

    @property
    def params(self) -> dict[str, str | Sequence[str]]:
        """As `GET /v1/log/entries` takes them."""
        named = {"type": self.types, "tag": self.tags, "from": self.from_time, "to": self.to_time}
        return {name: value for name, value in named.items() if value}

    @property
    def sparse(self) -> bool:
        """Whether there may be gaps between the entries: then only their order can be looked at."""
        return bool(self.types or self.tags)

    @property
    def windowed(self) -> bool:
        """Whether it is left to the registry where they begin and end."""
        return bool(self.from_time or self.to_time)


EVERYTHING = Wanted()


class _Place(msgspec.Struct):
    sequence: str


_place = msgspec.json.Decoder(_Place)


@dataclass(kw_only=True)
class Replay:
    """A copy of the log in the making.

    write: takes the entries, one after the other.
    after: the position behind which it begins.
    head: the size of the log when it began, where known. A stream that ends short of it was ended by a registry that
    is stopping; where it is not known, only a stream that brings nothing is the end.
    limit: how many entries are wanted; None for all.
    first: the position of the first entry written; position: of the last one; entries: how many were written.
    """

    client: httpx2.Client
    write: Callable[[bytes], object]
    after: int
    head: int | None
    limit: int | None = None
    wanted: Wanted = EVERYTHING
    first: int = field(init=False, default=0)
    position: int = field(init=False)
    entries: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.position = self.after

    def run(self, told: Callable[[], None]) -> None:
        """Copy all that is wanted, calling `told` now and then. GapFound when an entry is missing."""
        while self.entries != self.limit and self._stream(told):
            pass
        whole = self.wanted == EVERYTHING and self.entries != self.limit
        if whole and self.head is not None and self.position < self.head:
            raise GapFound(f"the checkpoint signs {self.head} entries, but they end at position {self.position}")

    @stamina.retry(on=again, attempts=None, timeout=PATIENCE_S)
    def _stream(self, told: Callable[[], None]) -> bool:
        """Copy one answer; whether there may be more behind it.

        A stream that breaks is resumed behind its last whole entry. Patience ends only while nothing comes at all.
        """
        before = self.entries
        try:
            with self.client.stream("GET", "/v1/log/entries", params=self._params()) as response:
                if response.is_error:
                    response.read()
                    check(response)
                for lines in _whole_lines(response.iter_bytes()):
                    self._copy(lines)
                    told()
        except httpx2.TransportError:
            if self.entries == before:
                raise
            return True
        return self.entries > before and (self.head is None or self.position < self.head)

    def _params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.wanted.params | {"after": self.position}
        if self.limit is not None:
            params["limit"] = self.limit - self.entries
        return params

    def _copy(self, lines: list[bytes]) -> None:
        for line in lines:
            position = int(_place.decode(line).sequence)
            if position <= self.position or not (self._may_skip() or position == self.position + 1):
                raise GapFound(f"after position {self.position} came {position}")
            self.write(line)
            self.first = self.first or position
            self.position = position
            self.entries += 1

    def _may_skip(self) -> bool:
        return self.wanted.sparse or (self.wanted.windowed and not self.entries)

    def summary(self) -> str:
        """What has been written, and what is proved about it."""
        if not self.entries:
            return f"no entries behind position {self.after}"
        if self.wanted.sparse:
            return f"{self.entries} entries, positions {self.first} to {self.position}; gaps cannot be seen"
        return f"{self.entries} entries, positions {self.first} to {self.position} without a gap"


@click.command()
@registry_options
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Begin behind this position.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many entries.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Of this type, e.g. certibranche.jury.held.v1.")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="That name this id, e.g. certification:cqpm-2014-0300."
)
@click.option("--from", "from_time", metavar="TIME", help="Recorded at this time (RFC 3339) or later.")
@click.option("--to", "to_time", metavar="TIME", help="Recorded before this time.")
@click.option("--format", "form", type=click.Choice(FORMS), help="Default: parquet for a FILE.parquet, else ndjson.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    metavar="FILE",
    help="Default: standard output.",
)
def replay(
    *,
    url: str,
    data: Path | None,
    token: str | None,
    after: int,
    limit: int | None,
    types: tuple[str, ...],
    tags: tuple[str, ...],
    from_time: str | None,
    to_time: str | None,
    form: str | None,
    output: Path,
) -> None:
    """Write the log's entries, byte for byte as they are stored, and see that none is missing.

    As NDJSON, or as a Parquet file, whose column `entry` holds the bytes.

    --type and --tag may be given repeatedly: any of them. --type with --tag: both.
    """
    wanted = Wanted(types, tags, from_time, to_time)
    console = Console(stderr=True)
    tell_retries(console)
    headers = {"Authorization": f"Bearer {access_token(token, data, ('log:read',), 'replay')}"}
    try:
        with (
            httpx2.Client(base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_S) as client,
            _target(output, form or ("parquet" if output.suffix == ".parquet" else "ndjson")) as write,
        ):
            copy = Replay(client=client, write=write, after=after, head=_head(client), limit=limit, wanted=wanted)
            with _progress(console, copy) as told:
                copy.run(told)
    except httpx2.TransportError as error:
        raise OutOfReach(url, error) from error
    console.print(copy.summary(), soft_wrap=True)


@contextmanager
def _target(output: Path, form: str) -> Iterator[Callable[[bytes], object]]:
    """Yields what takes the entries, in this form."""
    if form == "ndjson":
        with click.open_file(str(output), "wb") as file:
            yield lambda entry: file.write(entry + b"\n")
            file.flush()
        return
    if str(output) == "-":
        raise click.UsageError("a Parquet file needs a name: --output FILE")
    try:
        from services.parquet import ParquetFile  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise click.ClickException(f"Parquet needs pyarrow: pip install 'certibranche[parquet]' ({error})") from error
    with ParquetFile(output) as parquet:
        yield parquet.write


@stamina.retry(on=again, attempts=None, timeout=PATIENCE_S)
def _head(client: httpx2.Client) -> int | None:
    """The size that the log's checkpoint signs (its second line: c2sp.org/tlog-checkpoint), once there is one."""
    response = client.get("/log/checkpoint")
    if response.status_code == 404:
        return None
    check(response)
    return int(response.text.split("\n")[1])


@contextmanager
def _progress(console: Console, copy: Replay) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere. Yields what to call when entries have been written."""
    columns = (TextColumn("Replay"), BarColumn(), TextColumn("position {task.fields[position]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        total = None
        if copy.wanted == EVERYTHING:
            total = copy.limit if copy.limit or copy.head is None else max(copy.head - copy.after, 0)
        task = bar.add_task("", total=total, position=copy.after)
        yield lambda: bar.update(task, completed=copy.position - copy.after, position=copy.position)


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines that each chunk completes. A last line without its end means that the stream was cut."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        raise httpx2.RemoteProtocolError("the stream ended within a line")
