"""A registry does not start on a log that lacks what was published, and records nothing when it finds that later."""

from pathlib import Path

import pytest

from contracts.problems import Unavailable
from contracts.subjects import STREAM
from services.embedded import CannotRun
from services.projections import app
from services.restore.standing import refuse_if_behind
from services.settings import ServeSettings
from tests.integration.filled_log import FilledLog, until
from tests.ports import free_port
from tests.restore.conftest import HEAD, History, MakeBackup, log_writer, posted
from tests.tampering import tamper


def settings(
    log: FilledLog, history: History, *, tiles: Path | None = None, nats_url: str | None = None
) -> ServeSettings:
    return ServeSettings(
        database_url=log.url,
        nats_url=nats_url or history.servers.url,
        jwks="unused",
        issuer="unused",
        audience="unused",
        vault_key=bytes(32),
        tiles=str(tiles) if tiles else None,
    )


NOWHERE = f"nats://127.0.0.1:{free_port()}"


async def test_a_log_that_holds_all_that_was_published_is_served(history: History, backup: MakeBackup) -> None:
    ahead = await backup(HEAD)
    async with log_writer(ahead.url) as writer:
        await writer.append_one(posted(HEAD + 1))
    for log in (history.log, ahead):
        await refuse_if_behind(settings(log, history, tiles=history.tiles.folder))


@pytest.mark.parametrize("head", [0, HEAD - 1])
async def test_an_older_log_is_refused_with_both_heads_and_the_command(
    history: History, backup: MakeBackup, head: int
) -> None:
    older = await backup(head)
    with pytest.raises(CannotRun, match=f"the stream is at {HEAD}, the log at {head}.*restore --from-stream"):
        await refuse_if_behind(settings(older, history))
    with pytest.raises(CannotRun, match=f"the tiles are at {HEAD}, the log at {head}.*restore --from-tiles"):
        await refuse_if_behind(settings(older, history, tiles=history.tiles.folder))


async def test_another_history_is_refused_without_a_command(history: History, backup: MakeBackup) -> None:
    other = await backup(HEAD)
    await tamper(other.pool, "UPDATE log.event SET entry = entry || ' '::bytea WHERE position = $1", HEAD)
    for tiles, who in ((None, "stream"), (history.tiles.folder, "tiles")):
        with pytest.raises(CannotRun, match=f"the {who} and the log differ at {HEAD}") as refusal:
            await refuse_if_behind(settings(other, history, tiles=tiles))
        assert "--from" not in str(refusal.value)


async def test_who_publishes_nothing_or_cannot_reach_nats_is_served(history: History, tmp_path: Path) -> None:
    alone = settings(history.log, history, tiles=tmp_path / "none", nats_url=NOWHERE)
    await refuse_if_behind(alone, look_s=0.5)


async def test_nothing_is_recorded_while_the_stream_holds_what_the_log_has_not(
    history: History, backup: MakeBackup
) -> None:
    """The database was replaced, or failed over to one that had not received all, under a running registry."""
    older = await backup(HEAD - 1)
    async with log_writer(older.url) as writer:
        heard: list[str | None] = []

        def told(diverged: str | None) -> None:
            heard.append(diverged)
            writer.refuse(diverged)

        async def refused() -> bool:
            return bool(heard)

        async with app.relay_check(older.url, history.servers, STREAM, told):
            await until(refused)
            assert heard == [f"the stream is at {HEAD}, the log at {HEAD - 1}"]
            with pytest.raises(Unavailable, match="the stream is at"):
                await writer.append([posted(HEAD + 1)])
        async with app.relay_check(history.log.url, history.servers, STREAM, told):

            async def right() -> bool:
                return heard[-1] is None

            await until(right)
        assert (await writer.append_one(posted(HEAD))).position == HEAD
