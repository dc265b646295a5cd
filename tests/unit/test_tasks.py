"""Tasks in the background end when they are told to."""

import asyncio

from services.tasks import cancelled


async def test_a_task_that_lost_its_cancellation_is_cancelled_again() -> None:
    started, lost = asyncio.Event(), 0

    async def loses_the_first() -> None:
        nonlocal lost
        while True:
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    task = asyncio.create_task(loses_the_first())
    await started.wait()
    await cancelled(task, again_s=0.01)
    assert task.cancelled()
    assert lost == 1


async def test_whatever_a_task_ended_with_is_not_raised() -> None:
    async def fails() -> None:
        raise RuntimeError("before it was told to")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await cancelled(task)
    assert isinstance(task.exception(), RuntimeError)


async def test_clearing_up_is_not_disturbed() -> None:
    started = asyncio.Event()
    cleared = False

    async def clears_up() -> None:
        nonlocal cleared
        try:
            started.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleared = True

    task = asyncio.create_task(clears_up())
    await started.wait()
    await cancelled(task)
    assert cleared
