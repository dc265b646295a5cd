"""Where the log's files come from: a registry, or a static copy of them. Nothing they say is believed here."""

from pathlib import Path
from typing import Protocol

from services.audit.findings import CouldNotCheck
from services.audit.requests import Remote, Withheld
from services.projections.transparency.tiles import ENTRIES, HASH_BYTES, TILE_WIDTH, Tile, beginning

CHECKPOINT = "checkpoint"
NOTE_BYTES_MAX = 100_000
BUNDLE_BYTES_MAX = TILE_WIDTH * (2 + 65_535)


class Files(Protocol):
    """The files of a tiled log, by their paths (c2sp.org/tlog-tiles)."""

    def read(self, path: str, bytes_max: int) -> bytes:
        """Raises Withheld when there is no such file, CouldNotCheck for any other reason why it cannot be read."""
        ...


class Folder:
    """A copy of the files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "log" if (folder / "log" / CHECKPOINT).exists() else folder

    def read(self, path: str, bytes_max: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                content = file.read(bytes_max + 1)
        except FileNotFoundError:
            raise Withheld(f"{path} is not in the folder") from None
        except OSError as error:
            raise CouldNotCheck(f"{path} cannot be read: {error.strerror}") from error
        if len(content) > bytes_max:
            raise CouldNotCheck(f"{path} has more than {bytes_max} bytes")
        return content


class Served:
    """The files of a registry, or of a static server's copy of them at the address itself.

    is_copy: which of the two, known once the checkpoint has been read.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.is_copy = False

    def read(self, path: str, bytes_max: int) -> bytes:
        try:
            return self._read("" if self.is_copy else "log/", path, bytes_max)
        except Withheld:
            if self.is_copy or path != CHECKPOINT:
                raise
            content = self._read("", path, bytes_max)
            self.is_copy = True
            return content

    def _read(self, prefix: str, path: str, bytes_max: int) -> bytes:
        answer = self._remote.get(f"{prefix}{path}", bytes_max)
        if answer.status == 200:
            return answer.content
        raise answer.refusal(path)


def read_tile(files: Files, tile: Tile) -> bytes:
    """The content of a tile or an entry bundle; of a partial one that is gone, out of the full one it became."""
    bytes_max = BUNDLE_BYTES_MAX if tile.level == ENTRIES else HASH_BYTES * TILE_WIDTH
    try:
        return files.read(tile.path, bytes_max)
    except Withheld as withheld:
        if tile.width == TILE_WIDTH:
            raise
        try:
            full = files.read(tile.full().path, bytes_max)
        except Withheld:
            raise withheld from None
        try:
            return beginning(tile, full)
        except ValueError:  # a damaged bundle: who reads it finds that out
            return full
