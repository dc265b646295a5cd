"""`certibranche subscriber add`: in development it works at once, in production after two reloads."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.subjects import STREAM
from services.projections.relay import Servers, migrate_stream
from tests.installation import Installation
from tests.nats.production import Site, production
from tests.nats.test_rights import connected


async def subscriber_add(*arguments: str, **environment: str) -> tuple[int, str]:
    command = (sys.executable, "-m", "services.cli", "subscriber", "add", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (said or complained).decode()


def told(said: str, label: str) -> str:
    match = re.search(rf"^# {label} +(.*)$", said, re.M)
    assert match, said
    return match[1]


async def test_a_subscriber_added_in_development_reads_at_once(installation: Installation) -> None:
    code, said = await subscriber_add("billing", "--data", str(installation.data))
    assert code == 0, said
    seed = await asyncio.to_thread(Path(told(said, "key")).read_text)
    servers = Servers(told(said, "NATS"), seed)
    async with connected(servers) as (client, violations):
        info = await client.jetstream(timeout=2).consumer_info(told(said, "stream"), told(said, "durable"))
        assert info.name == "billing"
        assert violations == []
    assert await subscriber_add("billing", "--data", str(installation.data)) == (0, said)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["Bad.Name"], "no name"),
        (["x", "--filter", "$JS.API.>"], "no subject of the stream"),
        (["x", "--filter", "certibranche.v1.>", "--filter", "certibranche.v1.1.>"], "refuses"),
        (["billing", "--filter", "certibranche.v1.2.>"], "other filters"),
    ],
)
async def test_what_cannot_be_added_is_said_in_a_line(
    installation: Installation, arguments: Sequence[str], complaint: str
) -> None:
    await subscriber_add("billing", "--data", str(installation.data))
    code, said = await subscriber_add(*arguments, "--data", str(installation.data))
    assert code == 1
    assert complaint in said
    assert said.count("\n") == 1


async def test_a_subscriber_added_in_production_reads_after_a_reload(tmp_path: Path) -> None:
    async with production(Site(tmp_path / "site")) as site:
        await migrate_stream(site.servers("admin"))
        admin = site.servers("admin")
        seed = tmp_path / "billing.nk"
        code, said = await subscriber_add(
            *("billing", "--seed", str(seed), "--filter", "certibranche.v1.1.>", "--filter", "certibranche.v1.2.>"),
            CERTIBRANCHE_NATS_URL=admin.url,
            CERTIBRANCHE_NATS_NKEY=admin.nkey or "",
            CERTIBRANCHE_NATS_CA=admin.ca or "",
        )
        assert code == 0, said
        assert seed.stat().st_mode & 0o777 == 0o600
        with site.subscribers.open("a") as file:
            file.write("\n".join(line for line in said.splitlines() if not line.startswith("#")) + "\n")
        async with connected(Servers(admin.url, site.seeds["system"].decode(), admin.ca)) as (system, _):
            found = json.loads((await system.request("$SYS.REQ.SERVER.PING.IDZ", b"", timeout=5)).data)
            for _ in range(2):
                await system.request(f"$SYS.REQ.SERVER.{found['id']}.RELOAD", b"{}", timeout=5)
        async with connected(site.servers("billing", seed.read_bytes())) as (client, violations):
            info = await client.jetstream(timeout=2).consumer_info(STREAM, "billing")
            assert info.config.filter_subjects == ["certibranche.v1.1.>", "certibranche.v1.2.>"]
            assert violations == []
