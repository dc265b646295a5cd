"""`certibranche restore` against servers and files that the settings name."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.filled_log import FilledLog
from tests.restore.conftest import HEAD, History, MakeBackup, log_writer, posted, rows
from tests.tampering import tamper


async def restore(log: FilledLog, history: History, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit code, and what it says."""
    key = history.tiles.folder.parent / "log.key"
    key.write_text(history.signing_key)
    given = {
        "CERTIBRANCHE_DATABASE_URL": log.url,
        "CERTIBRANCHE_NATS_URL": history.servers.url,
        "CERTIBRANCHE_TILES": str(history.tiles.folder),
        "CERTIBRANCHE_LOG_KEY_FILE": str(key),
        "CERTIBRANCHE_LOG_GUARD": str(history.tiles.guard_path),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "restore", *arguments),
        env=environment | given | settings,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("source", ["stream", "tiles"])
async def test_it_restores_what_the_settings_name(history: History, backup: MakeBackup, source: str) -> None:
    older = await backup(100)
    code, said = await restore(older, history, f"--from-{source}")
    assert (code, f"positions 101 to {HEAD} are back" in said) == (0, True), said
    assert await rows(older.pool) == await history.rows()


async def test_what_it_refuses_is_one_line(history: History, backup: MakeBackup) -> None:
    older = await backup(100)
    before = await rows(older.pool)
    async with log_writer(older.url) as writer:
        await writer.append_one(posted(1))  # a repeat, by which it is connected
        code, said = await restore(older, history, "--from-tiles")
        assert (code, said) == (1, "certibranche: connected writers of the log: 1; stop every `certibranche serve`\n")
    await tamper(older.pool, "UPDATE log.event SET entry = 'x'::bytea WHERE position = 50")
    code, said = await restore(older, history, "--from-tiles")
    assert (code, said.count("\n"), "differ at position 50" in said) == (1, 1, True)
    await tamper(older.pool, "UPDATE log.event SET entry = $1 WHERE position = 50", before[49][4])
    assert await rows(older.pool) == before


async def test_one_source_must_be_named(history: History) -> None:
    code, said = await restore(history.log, history)
    assert (code, "--from-stream or --from-tiles" in said) == (2, True)


async def test_without_a_data_folder_it_makes_none(history: History, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    code, said = await restore(history.log, history, "--from-stream", "--data", str(nowhere), CERTIBRANCHE_NATS_URL="")
    assert (code, said) == (1, f"certibranche: there is no data folder {nowhere}\n")
    assert not nowhere.exists()
