"""Tasks in the background, and their end."""

import asyncio
from typing import Any

AGAIN_S = 2.0
"""What a task may need to clear up before it is cancelled once more."""


async def cancelled(*tasks: asyncio.Task[Any], again_s: float = AGAIN_S) -> None:
    """Cancel tasks and wait until each has ended, whatever it ended with.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which nats-py waits with, loses a cancellation that
    arrives in the same turn as the answer (gh-81839), and the task goes on for ever.
    """
    going_on = {task for task in tasks if not task.done()}
    while going_on:
        for task in going_on:
            task.cancel()
        _, going_on = await asyncio.wait(going_on, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)
