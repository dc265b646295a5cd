"""What the tables are given: the plan, the servers, and the log that several of them start from."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.child import child
from tests.bench.measure import Plan
from tests.bench.servers import Log, Servers

LIBRARY = importlib.util.find_spec("psycopg") is not None
"""Whether the library's PostgreSQL recorders can run: `make bench` installs what they need."""

UMADB = importlib.util.find_spec("umadb") is not None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the benchmarks. tell: hears, a line each, what goes on."""

    plan: Plan
    servers: Servers
    tell: Callable[[str], None]

    async def preloaded(self) -> Log:
        """A log of 200 000 events, the same in the library's tables beside it. To be copied, not appended to."""
        persons, singles = (500, 3_000) if self.plan.quick else (8_000, 40_000)
        made = self.servers.has("preloaded")
        log = await self.servers.log("preloaded", persons, singles)
        if LIBRARY and not made:
            self.tell("the same events into the library's tables")
            async with child("recorders", log.url) as library:
                await library.ask("preload")
        return log

    def missing(self) -> list[str]:
        """A note on each peer that is not there."""
        peers = {"the eventsourcing library's PostgreSQL recorders (psycopg)": LIBRARY, "UmaDB": UMADB}
        return [f"Not installed, not measured: {name}." for name, there in peers.items() if not there]
