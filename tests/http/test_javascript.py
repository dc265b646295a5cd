"""The CloudEvents SDK for JavaScript as a client: what it posts is taken, what the registry stores it takes."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.installation import Installation, objective, post, register_persons
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
    posted = {
        "id": f"js {uuid4()} é%",
        "source": "urn:certibranche:tests",
        "type": "certibranche.objective.set.v1",
        "time": "2026-01-31T08:00:00.123Z",
        "datacontenttype": "application/json",
        "data": {"year": 2040, "beneficiaries": 7},
    }
    if mode == "binary":
        posted["id"] = f"js-{uuid4()}"  # this SDK does not percent-encode header values
    command = (node, "post.mjs", f"{installation.url}/v1/events", installation.token("catalogue:write"), mode)
    first = await run(*command, json.dumps(posted))
    again = await run(*command, json.dumps(posted))
    assert (first["status"], again["status"]) == (201, 200)
    assert first["body"] == again["body"]
    assert first["body"]["id"] == posted["id"]
    assert first["body"]["data"] == posted["data"]


async def test_the_sdk_takes_what_is_stored(installation: Installation, node: Path) -> None:
    """Of facts posted and of facts that the registry made. Its check asks for a source that is a URI reference."""
    async with installation.client("log:read", "persons:write", "catalogue:write") as client:
        (person_id,) = await register_persons(client, 1)
        posted = await post(client, objective())
        after = posted.json()["position"] - 2
        lines = (await client.get(f"/v1/log/entries?after={after}&limit=2")).text.splitlines()
    stored = [json.loads(line) for line in lines]
    assert [stored[0]["data"]["person_id"], stored[1]["id"]] == [person_id, posted.json()["id"]]
    url = f"{installation.url}/v1/log/entries?after={after}&limit=2"
    assert await run(node, "read.mjs", url, installation.token("log:read")) == [entry["id"] for entry in stored]
