"""What the files of a tiled log are called and hold (c2sp.org/tlog-tiles): names, widths, entry bundles."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

TILE_WIDTH = 256
HASH_BYTES = 32
ENTRIES = -1
"""The level of entry bundles: as wide and as many as the tiles of level 0."""

LEVEL_MAX = 63
NUMBER_MAX = 2**55
"""More entry bundles than there are positions."""

_LEVEL = re.compile("0|[1-9][0-9]?").fullmatch
_PLACE = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?").fullmatch


class Tile(NamedTuple):
    """A tile of hashes, or an entry bundle. width: how many it holds, 1 to 256; less than 256 is a partial one."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Below the log's prefix: `tile/0/x001/x234/067`, `tile/entries/000.p/12`."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        part = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{place_of_number(self.number)}{part}"

    @property
    def partials(self) -> str:
        """The folder of the partial tiles that this one began as, below the log's prefix."""
        return f"{self.full().path}.p"

    def full(self) -> "Tile":
        """The tile that a partial one becomes."""
        return self._replace(width=TILE_WIDTH)


def parse_tile(level: str, place: str) -> Tile | None:
    """The tile of the two parts of a path, `0` or `entries`, and `x001/067` or `067.p/5`; None unless it is one's.

    Whatever comes back has one path only, without dots and slashes of the caller's.
    """
    match = _PLACE(place)
    if match is None or not (level == "entries" or (_LEVEL(level) and int(level) <= LEVEL_MAX)):
        return None
    number = int(match[1].replace("x", "").replace("/", ""))
    width = TILE_WIDTH if match[2] is None else int(match[2])
    tile = Tile(ENTRIES if level == "entries" else int(level), number, width)
    canonical = match[1] == place_of_number(number) and (match[2] is None or width < TILE_WIDTH)
    return tile if canonical and number <= NUMBER_MAX else None


def tile_at(level: int, number: int, size: int) -> Tile:
    """This tile as a tree of that size has it. ValueError when it has none."""
    width = min(TILE_WIDTH, (size >> 8 * max(level, 0)) - TILE_WIDTH * number)
    if width < 1:
        raise ValueError(f"a tree of size {size} has no tile {number} at level {level}")
    return Tile(level, number, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of hashes of a tree, level by level."""
    level = 0
    while count := size >> 8 * level:
        yield from (tile_at(level, number, size) for number in range(-(-count // TILE_WIDTH)))
        level += 1


def bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length in two bytes. OverflowError for one of more than 65 535 bytes."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))


def unbundle(content: bytes) -> list[bytes]:
    """The entries of a bundle. ValueError when it is cut off."""
    entries, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if end > len(content) or at + 2 > len(content):
            raise ValueError("an entry bundle is cut off")
        entries.append(content[at + 2 : end])
        at = end
    return entries


def beginning(tile: Tile, full: bytes) -> bytes:
    """The partial tile, out of the content of the full one that it became."""
    return bundle(unbundle(full)[: tile.width]) if tile.level == ENTRIES else full[: HASH_BYTES * tile.width]


def place_of_number(number: int) -> str:
    """1234067 is `x001/x234/067`: no folder ever has more than a thousand files."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
