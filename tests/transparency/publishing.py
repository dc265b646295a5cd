"""A process that publishes, to be killed: `python -m tests.transparency.publishing DATABASE-URL`, settings as usual."""

import asyncio
import os
import sys

from services.log.listener import LOG_CHANNEL
from services.projections.app import listener, pool
from services.projections.transparency.keeping import place_of
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import Publisher
from services.projections.transparency.witnessing import Witnessing
from services.settings import FollowSettings, read


async def main(database_url: str) -> None:
    """Publish without a lease: that of a killed process would have to run out first."""
    place = place_of(read(FollowSettings, os.environ | {"CERTIBRANCHE_DATABASE_URL": database_url}))
    assert place is not None
    async with (
        pool(database_url, "projector", connections_max=2) as connections,
        listener(database_url, LOG_CHANNEL) as news,
    ):
        publisher = Publisher(connections, news, place.disk, place.guard, policy=place.policy)
        witnessing = Witnessing(place.policy, publisher, Published(place.disk.folder))
        await asyncio.gather(publisher.run(), witnessing.run())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
