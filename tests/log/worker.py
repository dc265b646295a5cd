"""A writer process: appends beside others until it has made its share, and prints what it won.

Usage: python -m tests.log.worker URL NAME COUNT. All workers try the same juries (J3), each once, in random order.
"""

import asyncio
import random
import sys
import uuid
from functools import partial

import asyncpg

from contracts.problems import Problem
from services.log.transaction import CONNECTION_SETTINGS
from services.log.writer import LogWriter
from services.registry.domain.reference import Reference
from tests.log.conftest import jury, objective

CALLERS = 8


def jury_id(number: int) -> str:
    """The same ids for all workers."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


async def main(url: str, name: str, count: int) -> None:
    connect = partial(asyncpg.connect, url, server_settings=CONNECTION_SETTINGS)
    numbers = random.sample(range(count), count)
    async with LogWriter(connect, Reference()) as writer:

        async def caller(share: list[int]) -> None:
            for number in share:
                outcomes = await writer.append([jury(jury_id(number)), objective(id_=f"{name}-{number}")])
                if not isinstance(outcomes[0], Problem):
                    print(number, flush=True)

        await asyncio.gather(*(caller(numbers[n::CALLERS]) for n in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
