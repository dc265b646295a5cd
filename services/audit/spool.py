"""The entries that have been read, by position and by decision tag: on disk, so that memory does not grow with the log.

SQLite's own temporary database: it keeps to memory while it is small, and its file is gone with the process.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from contracts.envelope import StoredEvent, decode
from contracts.facts import Fact
from services.log.boundary import BITS
from services.log.proposal import Placed

CACHE_KIB = 65_536

_TABLES = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -{CACHE_KIB};
CREATE TABLE entry (position INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE tag (tag INTEGER, position INTEGER, bit INTEGER NOT NULL, PRIMARY KEY (tag, position)) WITHOUT ROWID;
CREATE TABLE name (name BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
"""

# A tag is kept as its hash; others with the same one are told apart by what they read.
_FIND = """
SELECT tag.position, entry FROM tag JOIN entry ON entry.position = tag.position
WHERE tag = ? AND bit & ? ORDER BY tag.position
"""


class Read(NamedTuple):
    """An event that has been read, with its bytes."""

    event: StoredEvent[Fact]
    entry: bytes
    position: int


class Spool:
    """Everything read so far. One thread uses it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)

    def add(self, events: Sequence[Read]) -> list[tuple[int, int]]:
        """Keep some events. Those whose source and id another one has: their positions, and the other's."""
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO entry VALUES (?, ?)", ((e.position, e.entry) for e in events))
        tags = (
            (hash(tag), read.position, BITS[type(read.event.data)])
            for read in events
            for tag in set(read.event.data.tags())
        )
        self._database.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?, ?)", tags)
        repeated = self._add_names([(_name(read.event), read.position) for read in events])
        self._database.execute("COMMIT")
        return repeated

    def _add_names(self, names: Sequence[tuple[bytes, int]]) -> list[tuple[int, int]]:
        before = self._database.total_changes
        self._database.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", names)
        if self._database.total_changes - before == len(names):
            return []
        found = "SELECT position FROM name WHERE name = ?"
        firsts = ((position, self._database.execute(found, (name,)).fetchone()[0]) for name, position in names)
        return [(position, first) for position, first in firsts if position != first]

    def facts(self, wanted: Mapping[str, int]) -> list[tuple[str, Placed]]:
        """The facts of each tag, of the types whose bits are wanted of it, in order of position."""
        return [
            (tag, Placed(position, event.data))
            for tag, bits in wanted.items()
            for position, event in self._find(tag, bits)
            if tag in event.data.tags()
        ]

    def events(self, tags: Iterable[str], types: Iterable[type[Fact]]) -> list[StoredEvent[Fact]]:
        """The events with any of these tags, of these types, in order, each once."""
        bits = sum(BITS[fact_type] for fact_type in types)
        found = {
            position: event for tag in tags for position, event in self._find(tag, bits) if tag in event.data.tags()
        }
        return [event for _, event in sorted(found.items())]

    def _find(self, tag: str, bits: int) -> list[tuple[int, StoredEvent[Fact]]]:
        rows = self._database.execute(_FIND, (hash(tag), bits)).fetchall()
        return [(position, decode(entry)) for position, entry in rows]

    def close(self) -> None:
        self._database.close()


def _name(event: StoredEvent[Fact]) -> bytes:
    """What a source and an id together name (I1), in half the bytes: enough that no two are the same by chance."""
    return sha256(event.source.encode() + b"\x00" + event.id.encode()).digest()[:16]
