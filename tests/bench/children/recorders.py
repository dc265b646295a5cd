"""The eventsourcing library's PostgreSQL recorders as contestants. Usage: python -m tests.bench.children.recorders URL.

The library has one DCB recorder for PostgreSQL, `PostgresDCBRecorderTT` (tables of events and of tags), and
`PostgresApplicationRecorder`, whose condition is a version number of one stream.
"""

import asyncio
import sys
import time
import uuid

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from tests.bench import load
from tests.bench.candidates import BARE_ENTRY, BARE_TYPE, bare_tags
from tests.bench.child import answer
from tests.bench.measure import Sample

THREADS_MAX = 16
PAGE = 5_000

# The log's own events, in the library's tables.
_PRELOAD = """
INSERT INTO dcb_events_tt_main (type, data, tags)
SELECT y.name, e.entry, ARRAY(SELECT t.tag FROM log.tag t WHERE t.position = e.position ORDER BY t.tag)
FROM (SELECT position, type, entry FROM log.event ORDER BY position) e JOIN log.type y ON y.id = e.type
ORDER BY e.position;
INSERT INTO dcb_events_tt_tag (tag, main_id) SELECT tag, id FROM dcb_events_tt_main, unnest(tags) AS tag;
INSERT INTO stored_events (originator_id, originator_version, topic, state)
SELECT gen_random_uuid(), 1, y.name, e.entry FROM log.event e JOIN log.type y ON y.id = e.type ORDER BY e.position;
ANALYZE dcb_events_tt_main; ANALYZE dcb_events_tt_tag; ANALYZE stored_events;
"""


def datastore(url: str, overflow: int = 0) -> PostgresDatastore:
    """Connections for the threads, as the library's own factories make them."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    return PostgresDatastore(
        dbname=parts["dbname"],
        host=parts["host"],
        port=parts.get("port", "5432"),
        user=parts["user"],
        password=parts.get("password", ""),
        pool_size=THREADS_MAX,
        max_overflow=overflow,
        connect_timeout=30,
    )


class Contestants:
    """Both recorders on one database."""

    def __init__(self, url: str) -> None:
        self._datastore = datastore(url)
        self._dcb = PostgresDCBRecorderTT(self._datastore)
        self._application = PostgresApplicationRecorder(self._datastore)
        self._dcb.create_table()
        self._application.create_table()

    async def preload(self) -> Sample:
        """Fill the library's tables with what the log holds."""
        began = time.perf_counter()
        with self._datastore.transaction(commit=True) as cursor:
            # tags by position have no index in the log, on purpose
            cursor.execute("CREATE INDEX preload ON log.tag (position)")
            for statement in _PRELOAD.strip().rstrip(";").split(";"):
                cursor.execute(statement)
            cursor.execute("DROP INDEX log.preload")
        return Sample(operations=1, seconds=time.perf_counter() - began)

    async def dcb(self, callers: int, seconds: float) -> Sample:
        """Conditional appends: no event may have the first tag."""
        return load.threads([self._append] * callers, seconds)

    def _append(self) -> None:
        tags = list(bare_tags())
        condition = DCBAppendCondition(DCBQuery([DCBQueryItem([BARE_TYPE], tags[:1])]))
        self._dcb.append([DCBEvent(BARE_TYPE, BARE_ENTRY, tags)], condition)

    async def application(self, callers: int, seconds: float) -> Sample:
        """Appends to fresh streams: no event may have the same stream and version."""
        return load.threads([self._insert] * callers, seconds)

    def _insert(self) -> None:
        self._application.insert_events([StoredEvent(uuid.uuid4(), 1, BARE_TYPE, BARE_ENTRY)])

    async def replay(self, seconds: float) -> Sample:
        """All events of the DCB recorder, in pages."""
        events, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not events or time.perf_counter() - began < seconds:
            after = 0
            while page := list(self._dcb.read(after=after, limit=PAGE)):
                events += len(page)
                after = page[-1].position
        cpu_s = time.process_time() - cpu_began
        return Sample(operations=events, seconds=time.perf_counter() - began, cpu_s=cpu_s)


if __name__ == "__main__":
    both = Contestants(sys.argv[1])
    asyncio.run(answer(preload=both.preload, dcb=both.dcb, application=both.application, replay=both.replay))
