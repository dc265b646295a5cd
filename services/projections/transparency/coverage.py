"""Waiting until the published checkpoint covers a position."""

import asyncio
import contextlib
import re
from typing import NamedTuple

from contracts.problems import NotFound
from services.log.listener import Listener
from services.projections.transparency.note import NoteRefused
from services.projections.transparency.published import Published

WAIT_S_MAX = 10
PROOF_RELATION = "https://c2sp.org/tlog-proof"
"""What `Link` calls the proof of a receipt (RFC 8288: a relation that is not registered is an address)."""

LOOK_EVERY_S = 0.02
"""The log tells of every commit, far more often than there are checkpoints."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


def wait_s_of(prefer: str | None) -> int:
    """The seconds that a Prefer header (RFC 7240) asks to wait, cut to what is allowed."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), WAIT_S_MAX) if match else 0


class _Waiter(NamedTuple):
    position: int
    covered: asyncio.Future[bool]


class Coverage:
    """How far the published checkpoint reaches. However many wait, one of them looks."""

    def __init__(self, published: Published, news: Listener, drain: asyncio.Event) -> None:
        self._published = published
        self._news = news
        self._drain = drain
        self._size = 0
        self._waiters: list[_Waiter] = []
        self._looking: asyncio.Task[None] | None = None

    async def reached(self, position: int, wait_s: float) -> bool:
        """Whether a checkpoint covers the position, within so long; False at once where none will ever."""
        if position <= self._size:
            return True
        if wait_s <= 0 or not self._published.anywhere:
            return False
        waiter = _Waiter(position, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="coverage")
        try:
            async with asyncio.timeout(wait_s):
                return await waiter.covered
        except TimeoutError:
            return False

    async def receipt_headers(self, prefer: str, position: int) -> dict[str, str]:
        """What a receipt tells once a checkpoint covers its position, if `Prefer: wait=N` asks to wait for that.

        Nothing when it does not, or no checkpoint has come in time: the fact is recorded all the same.
        """
        wait_s = wait_s_of(prefer)
        if not await self.reached(position, wait_s):
            return {}
        link = f'</v1/log/entries/{position}/proof>; rel="{PROOF_RELATION}"; type="text/plain"'
        return {"Preference-Applied": f"wait={wait_s}", "Link": link}

    async def _look(self) -> None:
        while self._waiters:
            news = self._news.news
            with contextlib.suppress(NotFound, NoteRefused, OSError):  # who asks for the proof is told what is wrong
                self._size = max(self._size, (await self._published.checkpoint()).checkpoint.size)
            for waiter in self._waiters:
                if not waiter.covered.done() and (waiter.position <= self._size or self._drain.is_set()):
                    waiter.covered.set_result(waiter.position <= self._size)
            self._waiters = [waiter for waiter in self._waiters if not waiter.covered.done()]
            await asyncio.sleep(LOOK_EVERY_S)
            await self._news.wait(news)
