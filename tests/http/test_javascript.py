"""The CloudEvents SDK for JavaScript as a client: what it posts is taken, what the registry stores it takes."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.installation import Installation
from tests.node import node_with

SCRIPTS = Path(__file__).parent / "node"
SCRIPT_S = 60.0


@pytest.fixture(scope="session")
def node() -> Path:
    return node_with(SCRIPTS)


async def run(*command: str | Path) -> Any:
    """What the script prints, as JSON; it must succeed in time."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=SCRIPTS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), SCRIPT_S)
    assert process.returncode == 0, complained.decode()
    return json.loads(said)


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_what_the_sdk_posts_is_recorded_once(installation: Installation, node: Path, mode: str) -> None:
    event = {
        "id": f"js {uuid4()} é%",
        "source": "urn:certibranche:tests",
        "type": "certibranche.objective.set.v1",
        "time": "2026-01-31T08:00:00.123Z",
        "datacontenttype": "application/json",
        "data": {"year": 2040, "beneficiaries": 7},
    }
    if mode == "binary":
        event["id"] = f"js-{uuid4()}"  # this SDK does not percent-encode header values
    command = (node, "post.mjs", f"{installation.url}/v1/events", installation.token("catalogue:write"), mode)
    first = await run(*command, json.dumps(event))
    again = await run(*command, json.dumps(event))
    assert (first["status"], again["status"]) == (201, 200)
    assert first["body"] == again["body"]
    assert first["body"]["id"] == event["id"]
    assert first["body"]["data"] == event["data"]


async def test_the_sdk_takes_every_stored_event(installation: Installation, node: Path) -> None:
    async with installation.client("log:read") as client:
        stored = [json.loads(line)["id"] for line in (await client.get("/v1/log/entries?limit=200")).text.splitlines()]
    url = f"{installation.url}/v1/log/entries?limit=200"
    assert await run(node, "read.mjs", url, installation.token("log:read")) == stored
