"""The relay, stopped at each step, cut off, deceived: the stream is the log all the same, or the relay stops."""

import asyncio
import contextlib
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from contracts.subjects import STREAM
from services.embedded.nats import Nats
from services.projections import metrics
from services.projections.relay import Diverged, Relay, Servers, Sight, connect
from services.projections.relay.stream import stream_config
from services.tasks import cancelled
from tests.integration.filled_log import FilledLog, until
from tests.nats.relays import (
    OwnServer,
    administrator,
    arrived,
    check_stream,
    make_anew,
    persons,
    relaying,
    stream_state,
)
from tests.tampering import tamper

CHUNK = 5
"""The log's 12 events go in chunks of 5, 5 and 2."""


class Killed(BaseException):
    """The process is no more."""


def abort(client: Any) -> None:
    """Cut the connection; what it has not sent yet is lost."""
    client._transport._io_writer.transport.abort()


class Mortal(Client):
    """A connection whose process is killed at its nth step: before or after a request, or within the nth message."""

    steps_left = 0

    async def request(self, *arguments: Any, **options: Any) -> Any:
        self._step()
        answer = await super().request(*arguments, **options)
        self._step()
        return answer

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        messages = [b"HPUB " + message for message in cmd.split(b"HPUB ")[1:]]
        for number, message in enumerate(messages):
            if self.steps_left == 0:
                await cut_within(self, b"".join(messages[:number]) + message[: len(message) // 2])
            self._step()
        await super()._send_command(cmd, priority)

    def _step(self) -> None:
        if self.steps_left == 0:
            abort(self)
            raise Killed
        self.steps_left -= 1


async def cut_within(client: Any, sent: bytes) -> None:
    """Cut the connection when so much of a batch has reached the server."""
    client._transport.write(sent)
    await client._transport.drain()
    client._transport._io_writer.transport.close()


async def mortal(nats_server: Nats, steps: int) -> Mortal:
    client = Mortal()
    await client.connect(nats_server.relay_url, pending_size=-1, allow_reconnect=False)
    client.steps_left = steps
    return client


async def test_a_relay_killed_at_any_step_is_followed_by_another(
    log: FilledLog, admin: Client, nats_server: Nats
) -> None:
    """Every step of publishing 12 events: each publish, each request before it is sent, and after its answer."""
    deaths = 0
    for steps in range(100):
        await make_anew(admin, stream_config())
        dying = await mortal(nats_server, steps)
        victim = asyncio.create_task(Relay(dying, log.reader, log.news, chunk_events_max=CHUNK).run())
        arriving = asyncio.create_task(arrived(admin, 12))
        await asyncio.wait((victim, arriving), return_when=asyncio.FIRST_COMPLETED)
        died = victim.done()
        await cancelled(victim)
        if died:
            deaths += 1
            heir = await connect(Servers(nats_server.relay_url))
            async with relaying(Relay(heir, log.reader, log.news, chunk_events_max=CHUNK)):
                await arriving
            await heir.close()
        await check_stream(admin, log)
        await dying.close()
        if not died:
            break
    assert deaths >= 14, "two steps to look at the tip, twelve to publish"


async def test_two_and_three_relays_race(log: FilledLog, admin: Client, nats_server: Nats) -> None:
    for count in (2, 3):
        clients = [await connect(Servers(nats_server.relay_url)) for _ in range(count)]
        async with relaying(*(Relay(client, log.reader, log.news, chunk_events_max=3) for client in clients)):
            for round_ in range(10):
                head = await log.put(persons(1000 * count + 10 * round_, 7))
            await arrived(admin, head)
        await check_stream(admin, log)
        for client in clients:
            await client.close()


async def test_a_server_whose_files_are_rolled_back_gets_what_it_lost(log: FilledLog, own_server: OwnServer) -> None:
    client = await connect(Servers(own_server.nats.relay_url))
    async with administrator(own_server.nats.admin_url) as admin:
        async with relaying(*(Relay(client, log.reader, log.news, answer_s=1, chunk_events_max=4) for _ in range(2))):
            await arrived(admin, 12)
            await own_server.copy_files()
            await arrived(admin, await log.put(persons(100, 12)))
            await own_server.roll_back()
            await arrived(admin, await log.put(persons(200, 4)))
        await check_stream(admin, log)
    await client.close()


async def test_a_server_that_lost_all_its_files_gets_the_log_again(log: FilledLog, own_server: OwnServer) -> None:
    async with administrator(own_server.nats.admin_url) as admin:
        async with relaying(Relay(admin, log.reader, log.news, answer_s=1, chunk_events_max=4)):
            await arrived(admin, 12)
            await admin.jetstream().delete_stream(STREAM)
            await arrived(admin, await log.put(persons(100, 2)))
        await check_stream(admin, log)


async def test_what_is_published_while_disconnected_never_comes_late(log: FilledLog, own_server: OwnServer) -> None:
    client = await connect(Servers(own_server.nats.relay_url))
    disconnected = asyncio.Event()

    async def note() -> None:
        disconnected.set()

    client._disconnected_cb = note
    await own_server.kill()
    await disconnected.wait()
    with contextlib.suppress(nats.errors.ConnectionReconnectingError):
        while not client.is_connected:
            with pytest.raises(nats.errors.OutboundBufferLimitError):
                await client.publish("certibranche.v1.0.late.late.-", b"zombie")
            await asyncio.sleep(0)
    async with administrator(own_server.nats.admin_url) as admin:
        async with relaying(Relay(client, log.reader, log.news, chunk_events_max=4)):
            await arrived(admin, 12)
        await check_stream(admin, log)
    await client.close()


class CutOff(Client):
    """A connection that is cut in the middle of its first batches, with some of the batch sent and some pending."""

    cuts_left = 3

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        if self.cuts_left and cmd.startswith(b"HPUB"):
            self.cuts_left -= 1
            await cut_within(self, cmd[: len(cmd) * 2 // 3])
        await super()._send_command(cmd, priority)


async def test_a_connection_cut_within_a_batch_leaves_no_part_of_it(
    log: FilledLog, admin: Client, nats_server: Nats
) -> None:
    client = CutOff()
    await client.connect(nats_server.relay_url, pending_size=-1, max_reconnect_attempts=-1, reconnect_time_wait=0.01)
    async with relaying(Relay(client, log.reader, log.news, answer_s=0.5, chunk_events_max=CHUNK)):
        await arrived(admin, 12)
    assert client.cuts_left == 0
    await check_stream(admin, log)
    await client.close()


@pytest.mark.parametrize("first", [1, 5, 13])
async def test_a_stream_made_again_goes_on_at_its_first_sequence(
    log: FilledLog, admin: Client, nats_server: Nats, first: int
) -> None:
    client = await connect(Servers(nats_server.relay_url))
    async with relaying(Relay(client, log.reader, log.news, answer_s=0.5, chunk_events_max=CHUNK)):
        await arrived(admin, 12)
        await make_anew(admin, stream_config().evolve(first_seq=first))
        head = await log.put(persons(100, 2))
        await arrived(admin, head)
    state = await stream_state(admin)
    assert (state.first_seq, state.messages) == (first, head - first + 1)
    await check_stream(admin, log)
    await client.close()


async def test_nothing_can_be_taken_out_of_the_stream(log: FilledLog, admin: Client) -> None:
    async with relaying(Relay(admin, log.reader, log.news)):
        await arrived(admin, 12)
        jetstream = admin.jetstream()
        for attempt in (jetstream.purge_stream(STREAM), jetstream.delete_msg(STREAM, 3)):
            with pytest.raises(APIError):
                await attempt
        loose = StreamConfig(STREAM, subjects=["certibranche.v1.>"], allow_direct=True, allow_atomic=True)
        with pytest.raises(APIError):
            await jetstream.update_stream(loose)
    await check_stream(admin, log)


async def _behind(log: FilledLog) -> None:
    """The log was restored from a backup: its end is missing."""
    await tamper(log.pool, "DELETE FROM log.event WHERE position > 8")


async def _other(log: FilledLog) -> None:
    """The log was restored and has gone on with other events."""
    await _behind(log)
    await log.put(persons(500, 9))


@pytest.mark.parametrize("change", [_behind, _other])
async def test_a_log_behind_its_stream_or_of_another_history_stops_a_running_relay(
    log: FilledLog, admin: Client, nats_server: Nats, change: Any
) -> None:
    client = await connect(Servers(nats_server.relay_url))
    running = asyncio.create_task(Relay(client, log.reader, log.news).run())
    await arrived(admin, 12)
    await change(log)
    with pytest.raises(Diverged):
        await asyncio.wait_for(running, 10)
    with pytest.raises(Diverged):
        await asyncio.wait_for(Relay(client, log.reader, log.news).run(), 10)
    assert (await stream_state(admin)).last_seq == 12, "nothing was published"
    await client.close()


async def test_a_diverged_stream_raises_the_alarm_in_readiness_and_metrics(
    log: FilledLog, admin: Client, nats_server: Nats
) -> None:
    async with relaying(Relay(admin, log.reader, log.news)):
        await arrived(admin, 12)
    async with Sight(Servers(nats_server.monitor_url), log.reader, STREAM, look_s=0.05) as sight:

        async def healthy() -> bool:
            return _value(metrics.STREAM_LAST.labels(STREAM)) == 12 and _value(metrics.RELAY_LAG_POSITIONS) == 0

        await until(healthy)
        await sight.check()
        assert _value(metrics.RELAY_DIVERGED) == 0
        await _behind(log)

        async def alarmed() -> bool:
            return _value(metrics.RELAY_DIVERGED) == 1

        await until(alarmed)
        with pytest.raises(Diverged):
            await sight.check()


async def test_an_event_that_has_not_reached_the_stream_is_lag(
    log: FilledLog, admin: Client, nats_server: Nats
) -> None:
    async with Sight(Servers(nats_server.monitor_url), log.reader, STREAM, look_s=0.05):

        async def seen() -> bool:
            return _value(metrics.RELAY_LAG_POSITIONS) == 12

        await until(seen)


def _value(gauge: Any) -> float:
    value: float = gauge._value.get()
    return value
