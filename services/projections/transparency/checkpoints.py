"""Every checkpoint that was ever signed, with the cosignatures it got: files of up to 256, none ever removed.

The checkpoints of sizes 256·n to 256·n + 255 are in `checkpoints/<n>`, numbered as tiles are, one JSON object a line.
There is no checkpoint without a new entry and at most one a second, so a log of a hundred thousand entries a year
keeps some 50 MB a year of them.
"""

from collections.abc import Iterator

import msgspec

from services.projections.transparency.disk import Disk, OtherBytes
from services.projections.transparency.note import size_of, split_note, with_line
from services.projections.transparency.tiles import TILE_WIDTH, place_of_number

FOLDER = "checkpoints"
NEWEST = f"{FOLDER}/newest"
"""The size of the last of them, in decimal, to be found at once."""


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that was signed: the size of its tree, and the signed note with the cosignatures it has got."""

    size: int
    checkpoint: str


_lines = msgspec.json.Decoder(KeptCheckpoint)


class Checkpoints:
    """The checkpoints of a folder. Written by one process at a time; a reader sees each file whole."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def newest(self) -> str | None:
        """The note of the largest tree, None before the first."""
        size = self._newest_size()
        return None if size is None else self.at(size)

    def at(self, size: int) -> str | None:
        """The note of a size, None when none was kept."""
        return self._read(size // TILE_WIDTH).get(size)

    def after(self, size: int, limit: int) -> list[KeptCheckpoint]:
        """The checkpoints of trees larger than that, the smaller ones first, at most so many."""
        found: list[KeptCheckpoint] = []
        for kept in self._from(size + 1, self._newest_size() or 0):
            found.append(kept)
            if len(found) == limit:
                break
        return found

    def keep(self, note: str) -> str:
        """Keep a signed checkpoint, or more signatures of one, safe once this returns. The note with all there are.

        Raises OtherBytes when another one was signed for a tree of this size.
        """
        size, segment = size_of(note), size_of(note) // TILE_WIDTH
        notes = self._read(segment)
        text, lines = split_note(note)
        if (merged := notes.get(size)) is not None:
            if split_note(merged)[0] != text:
                raise OtherBytes(f"another checkpoint of size {size} was signed")
            for line in lines:
                merged = with_line(merged, line)
            note = merged
        notes[size] = note
        content = b"".join(msgspec.json.encode(KeptCheckpoint(*kept)) + b"\n" for kept in sorted(notes.items()))
        self._disk.replace(_path(segment), content)
        newest = self._newest_size()
        if newest is None or newest < size:
            self._disk.replace(NEWEST, b"%d\n" % size)
        self._disk.sync()
        return note

    def _newest_size(self) -> int | None:
        try:
            return int(self._disk.read(NEWEST))
        except FileNotFoundError:
            return None

    def _from(self, first: int, last: int) -> Iterator[KeptCheckpoint]:
        for segment in range(first // TILE_WIDTH, last // TILE_WIDTH + 1):
            for size, note in self._read(segment).items():
                if size >= first:
                    yield KeptCheckpoint(size, note)

    def _read(self, segment: int) -> dict[int, str]:
        """The notes of a file by size, in order."""
        try:
            content = self._disk.read(_path(segment))
        except FileNotFoundError:
            return {}
        return {kept.size: kept.checkpoint for kept in map(_lines.decode, content.splitlines())}


def _path(segment: int) -> str:
    return f"{FOLDER}/{place_of_number(segment)}"
