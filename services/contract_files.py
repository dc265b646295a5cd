"""`python -m services.contract_files`: write the contracts as files, for those who do not read Python.

`contracts/openapi.json`, `asyncapi.json`, `problems.json`, `schemas/` and `examples/` are made from the code; `--check`
tells which of them are stale. `contracts/shipped/` holds the schemas of the last release and an example of every
version ever released: `--ship`, at a release, takes those of today, and refuses what would break the ones before.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from contracts.async_api import async_api
from contracts.catalogue import PROBLEMS
from contracts.evolution import refusal
from contracts.examples import EXAMPLES
from contracts.json_schemas import schemas
from services.app import create_app
from services.settings import ServeSettings

CONTRACTS = Path(__file__).parent.parent / "contracts"


def contract_files() -> dict[str, bytes]:
    """Every generated file by its path below `contracts/`."""
    return {
        "openapi.json": _json(msgspec.json.decode(asyncio.run(_openapi())), order="sorted"),
        "asyncapi.json": _json(async_api()),
        "problems.json": _json([PROBLEMS[slug]._asdict() for slug in sorted(PROBLEMS)]),
        **{f"schemas/{name}.json": _json(schema) for name, schema in schemas().items()},
        **{f"examples/{type_name}.json": entry for type_name, entry in EXAMPLES.items()},
    }


async def _openapi() -> bytes:
    """The document as the registry serves it. The application is not started, so it needs no database."""
    nowhere = ServeSettings(
        database_url="postgresql://", nats_url="nats://", jwks="-", issuer="-", audience="-", vault_key=bytes(32)
    )
    registry: Any = create_app(nowhere, asyncio.Event()).app.app
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(registry), base_url="http://registry") as client:
        answer = await client.get("/openapi.json")
        return answer.raise_for_status().content


def _json(value: Any, order: Any = None) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order=order), indent=2) + b"\n"


def stale(files: dict[str, bytes], contracts: Path = CONTRACTS) -> list[str]:
    """The paths of the files that are missing, differ, or are no longer made."""
    there = {
        path.relative_to(contracts).as_posix(): path.read_bytes()
        for pattern in ("openapi.json", "asyncapi.json", "problems.json", "schemas/*", "examples/*")
        for path in contracts.glob(pattern)
    }
    return sorted(path for path in files.keys() | there.keys() if files.get(path) != there.get(path))


def write(files: dict[str, bytes], contracts: Path = CONTRACTS) -> None:
    """Make the files so, and remove those that are no longer made."""
    for path in stale(files, contracts):
        if path in files:
            (contracts / path).parent.mkdir(parents=True, exist_ok=True)
            (contracts / path).write_bytes(files[path])
        else:
            (contracts / path).unlink()


def shipped_schemas(contracts: Path = CONTRACTS) -> dict[str, Any]:
    """The schemas of the last release, by their name."""
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in contracts.glob("shipped/schemas/*.json")}


def ship(files: dict[str, bytes], contracts: Path = CONTRACTS) -> None:
    """Take today's schemas as shipped, and the examples of versions that are new. What was shipped stays."""
    for path, content in files.items():
        shipped = contracts / "shipped" / path
        if path.startswith("schemas/") or (path.startswith("examples/") and not shipped.exists()):
            shipped.parent.mkdir(parents=True, exist_ok=True)
            shipped.write_bytes(content)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="services.contract_files", description="Write the contracts as files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    parser.add_argument("--ship", action="store_true", help="take today's schemas and examples as shipped")
    options = parser.parse_args(arguments)
    files = contract_files()
    if options.check and (outdated := stale(files)):
        sys.exit(f"stale: {', '.join(outdated)}; run `make contracts`")
    if (broken := refusal(shipped_schemas(), schemas())) is not None:
        sys.exit(broken)
    if not options.check:
        write(files)
    if options.ship:
        ship(files)


if __name__ == "__main__":
    main()
