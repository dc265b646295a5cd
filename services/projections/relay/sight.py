"""What can be seen of the stream from outside the relay: is it the log's, how far behind, and who reads it."""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog
from nats.aio.client import Client
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError

from contracts.problems import Unavailable
from services.log.listener import Listener
from services.log.reader import LogReader
from services.projections import metrics
from services.projections.relay.publication import NO_ANSWER, Diverged, Relay
from services.projections.relay.stream import Servers, connect
from services.tasks import cancelled

LOOK_S = 5.0
"""How old the metrics may be."""

CONSUMERS_PAGE = 256
"""The server lists no more consumers in one answer."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class Sight:
    """Looks at the stream now and then, and when asked. Its user need not be allowed to publish.

    Connects in the background: who looks must be able to start without NATS.
    told: hears after each look what is wrong with the stream beside the log, None when nothing is.
    """

    def __init__(
        self,
        servers: Servers,
        reader: LogReader,
        stream: str,
        *,
        look_s: float = LOOK_S,
        told: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._servers = servers
        self._reader = reader
        self._stream = stream
        self._look_s = look_s
        self._told = told
        self._client: Client | None = None

    async def __aenter__(self) -> "Sight":
        self._task = asyncio.create_task(self._run(), name="sight of the stream")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancelled(self._task)
        if self._client is not None:
            await self._client.close()

    async def check(self) -> None:
        """Raise Unavailable before NATS was reached, Diverged, or what nats-py and asyncpg raise without an answer."""
        if self._client is None:
            raise Unavailable("NATS has not been reached yet.")
        await self._relay(self._client).lag()

    async def look(self) -> None:
        """Bring the metrics up to date. Raises as `check` does."""
        await self.check()
        assert self._client is not None
        jetstream = self._client.jetstream()
        state = (await jetstream.stream_info(self._stream)).state
        metrics.STREAM_FIRST.labels(self._stream).set(state.first_seq)
        metrics.STREAM_LAST.labels(self._stream).set(state.last_seq)
        consumers: list[ConsumerInfo] = []
        while len(page := await jetstream.consumers_info(self._stream, offset=len(consumers))) == CONSUMERS_PAGE:
            consumers += page
        self._measure(consumers + page)

    def _measure(self, consumers: list[ConsumerInfo]) -> None:
        gauges = (metrics.CONSUMER_PENDING, metrics.CONSUMER_ACK_PENDING, metrics.CONSUMER_REDELIVERED)
        for gauge in gauges:
            gauge.clear()  # a consumer that is gone must not go on being measured
        for consumer in consumers:
            numbers = (consumer.num_pending, consumer.num_ack_pending, consumer.num_redelivered)
            for gauge, number in zip(gauges, numbers, strict=True):
                gauge.labels(self._stream, consumer.name).set(number or 0)

    def _relay(self, client: Client) -> Relay:
        silence = Listener(asyncpg.connect)  # nothing is followed here
        return Relay(client, self._reader, silence, stream=self._stream)

    async def _run(self) -> None:
        self._client = await connect(self._servers)
        while True:
            try:
                await self.look()
                self._told(None)
            except Diverged as diverged:  # has been logged and measured where it was found
                self._told(str(diverged))
            except (*NO_ANSWER, APIError) as error:
                _log.warning("stream.out_of_sight", error=repr(error))
            await asyncio.sleep(self._look_s)
