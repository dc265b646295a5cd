"""A gate before PostgreSQL: puts of groups that trust wait at it, so that tests decide what happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


class Gate:
    """Holds back the puts of groups that trust, and what is read meanwhile; or the answers to them."""

    def __init__(self) -> None:
        self.closed = False
        self.answers = False
        self.reads: asyncio.Event | None = None
        self.read_answers: asyncio.Event | None = None
        self.held: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.reads_meanwhile = 0
        self.reads_answered = 0
        self.put_sizes: list[int] = []

    def connection(self) -> type[asyncpg.Connection]:
        gate = self

        class Gated(asyncpg.Connection):  # type: ignore[misc]
            async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
                if "AS what" in query:
                    gate.reads_meanwhile += gate.closed
                    if gate.reads is not None:
                        await gate.reads.wait()
                answer = await super().fetch(query, *args, **kwargs)
                if "AS what" in query and gate.read_answers is not None:
                    gate.reads_answered += 1
                    await gate.read_answers.wait()
                return answer

            async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
                if "THEN NULL" in query:
                    gate.put_sizes.append(len(args[2]))
                    if gate.answers:
                        answer = await super().fetchval(query, *args, **kwargs)
                        await gate.pass_()
                        return answer
                    await gate.pass_()
                return await super().fetchval(query, *args, **kwargs)

        return Gated

    async def pass_(self) -> None:
        if self.closed:
            passing = asyncio.get_running_loop().create_future()
            self.held.put_nowait(passing)
            await passing

    @asynccontextmanager
    async def holding(self, *, answers: bool = False) -> AsyncIterator[asyncio.Future[None]]:
        """The next put is held back in here, before it is sent or before it is answered. It may be told to fail."""
        self.closed, self.answers = True, answers
        yield (passing := await self.held.get())
        self.closed = False
        if not passing.done():
            passing.set_result(None)
