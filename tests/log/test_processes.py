"""Several writer processes under load: no gap, no step back in time, nothing committed behind a reader, one winner."""

import asyncio
import sys

from services.log.reader import LogReader

WORKERS = 3
JURIES = 150


async def test_writer_processes_share_one_gapless_log(log_url: str, reader: LogReader) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.log.worker", log_url, f"w{n}", str(JURIES), stdout=asyncio.subprocess.PIPE
        )
        for n in range(WORKERS)
    ]
    finished = asyncio.gather(*(worker.communicate() for worker in workers))
    seen: list[int] = []
    while not finished.done():
        page = await reader.page(seen[-1] if seen else 0)
        seen.extend(entry.position for entry in page)  # whatever commits later must come behind
    outputs = await finished
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    head = await reader.head()
    assert head == JURIES + WORKERS * JURIES
    seen.extend(entry.position for entry in await reader.page(seen[-1] if seen else 0))
    assert seen == list(range(1, head + 1))
    entries = [entry async for page in reader.entries(0, until=head) for entry in page]
    times = [entry.event().recorded_at for entry in entries]
    assert times == sorted(times)
    won = [int(line) for stdout, _ in outputs for line in stdout.split()]
    assert sorted(won) == list(range(JURIES))
