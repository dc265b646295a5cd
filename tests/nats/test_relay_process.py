"""`certibranche relay` as production runs it: its own key, TLS, several of them, any of them killed at any time."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.projections.relay import connect, migrate_stream
from tests.integration.filled_log import FilledLog, until
from tests.nats.production import Site, production
from tests.nats.relays import arrived, check_stream, persons, stream_info

KILLS = 4


async def start(site: Site, database_url: str, seed: Path) -> asyncio.subprocess.Process:
    """A relay. Whoever starts it ends it."""
    servers = site.servers("relay")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
    environment |= {
        "CERTIBRANCHE_DATABASE_URL": database_url,
        "CERTIBRANCHE_NATS_URL": servers.url,
        "CERTIBRANCHE_NATS_CA": servers.ca or "",
        "CERTIBRANCHE_NATS_NKEY_FILE": str(seed),
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "services.cli", "relay", env=environment)


@pytest.mark.timeout(300)
async def test_relays_that_are_killed_while_events_are_recorded(log: FilledLog, tmp_path: Path) -> None:
    seed = tmp_path / "relay.nk"
    async with production(Site(tmp_path / "site")) as site:
        seed.write_bytes(site.seeds["relay"])
        await migrate_stream(site.servers("admin"))
        admin = await connect(site.servers("admin"))
        relays = [await start(site, log.url, seed) for _ in range(2)]
        for kill in range(KILLS):
            before = await log.reader.head()

            async def going_on(position: int = before) -> bool:
                info = await stream_info(admin)
                return info is not None and info.state.last_seq > position

            posting = asyncio.create_task(log.put(persons(1000 * (kill + 1), 60)))
            await until(going_on, 60)
            relays[kill % 2].kill()
            await relays[kill % 2].wait()
            relays[kill % 2] = await start(site, log.url, seed)
            await posting
        await arrived(admin, await log.reader.head(), 60)
        await check_stream(admin, log)
        for relay in relays:
            relay.terminate()
        await asyncio.wait_for(asyncio.gather(*(relay.wait() for relay in relays)), 15)
        await admin.close()
