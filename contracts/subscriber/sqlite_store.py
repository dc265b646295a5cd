"""A store for the example: the events themselves in SQLite. Yours keeps what you make of them in place of them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from contracts.subscriber.subscriber import Event

_TABLES = """
CREATE TABLE IF NOT EXISTS event (position INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS place (position INTEGER NOT NULL);
INSERT INTO place SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM place);
"""


class SqliteStore:
    """Events and position, written together."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.executescript(_TABLES)

    @property
    def position(self) -> int:
        position: int = self._connection.execute("SELECT position FROM place").fetchone()[0]
        return position

    def apply(self, events: Sequence[Event]) -> None:
        """All of them or none."""
        with self._connection:
            self._connection.executemany("INSERT INTO event VALUES (?, ?)", events)
            self._connection.execute("UPDATE place SET position = ?", (events[-1].position,))

    def bodies(self) -> list[bytes]:
        """What was applied, in the order of positions."""
        return [row[0] for row in self._connection.execute("SELECT body FROM event ORDER BY position")]
