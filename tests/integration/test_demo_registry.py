"""`certibranche demo` and `certibranche replay` against the real registry."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.demo.plan import plans
from services.demo.year import careers_total
from tests.audit.product import audit, covered
from tests.installation import Installation, register_persons

SCALE = 0.05
LIMIT_S = 60.0
PERSON_ERASED = "certibranche.person.erased.v1"


@pytest_asyncio.fixture(scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """A registry of its own: the demo's year 2018 is nobody else's."""
    running = Installation(tmp_path_factory.mktemp("demo") / "data")
    await running.start()
    yield running
    await running.stop()


async def start(registry: Installation, command: str, *options: str) -> asyncio.subprocess.Process:
    address = ("--url", registry.url, "--data", str(registry.data))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", command, *address, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(registry: Installation, command: str, *options: str) -> tuple[int | None, bytes, str]:
    """Exit code, standard output and standard error."""
    process = await start(registry, command, *options)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    return process.returncode, out, err.decode()


def expected(scale: float) -> tuple[int, int]:
    """Registrations and beneficiaries of the first part of the year."""
    results = [result for plan in plans()[: careers_total(scale)] for result in plan.results]
    return len(results), results.count("AWARDED")


async def counts(registry: Installation) -> tuple[int, int]:
    async with registry.client() as client:
        body = (await client.get("/v1/branch/counts", params={"year": 2018})).json()
    return body["registered"], body["beneficiaries"]


async def test_a_demo_that_is_killed_goes_on_and_records_nothing_twice(registry: Installation) -> None:
    killed = await start(registry, "demo", "--scale", str(SCALE))
    assert killed.stdout is not None
    await asyncio.wait_for(killed.stdout.readline(), LIMIT_S)  # it has begun
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()

    for anything_new in (True, False):
        code, out, err = await run(registry, "demo", "--scale", str(SCALE))
        assert code == 0, err
        assert await counts(registry) == expected(SCALE)
        new = re.search(rb"(\d+) of them new", out)
        assert new is not None
        assert (int(new[1]) > 0) == anything_new


async def test_the_whole_log_is_replayed_byte_for_byte(registry: Installation, tmp_path: Path) -> None:
    await run(registry, "demo", "--scale", str(SCALE))
    code, out, err = await run(registry, "replay")
    assert code == 0, err
    assert err.strip().endswith("without a gap")
    entries = out.splitlines()
    assert [int(json.loads(entry)["sequence"]) for entry in entries] == list(range(1, len(entries) + 1))
    async with registry.client("log:read") as client:
        for position in (1, len(entries)):
            stored = await client.get(f"/v1/log/entries/{position}")
            assert stored.content == entries[position - 1]

    file = tmp_path / "awards.ndjson"
    code, _, err = await run(registry, "replay", "--type", "certibranche.certificate.awarded.v1", "--output", str(file))
    assert code == 0, err
    assert file.read_bytes().splitlines() == [
        entry for entry in entries if b'"certibranche.certificate.awarded.v1"' in entry
    ]


async def test_a_refusal_ends_the_demo_with_the_problem(registry: Installation) -> None:
    code, _, err = await run(registry, "demo", "--token", "nonsense")
    assert code == 1
    assert "A valid bearer token is required" in err


async def test_the_whole_registry_is_audited_without_trusting_it(registry: Installation, tmp_path: Path) -> None:
    """The demo's part of the year, as far as those before have played it, and what it has not."""
    async with registry.client("persons:write", "persons:read", "persons:admin", "persons:erase", "log:read") as client:
        kept, merged, erased = await register_persons(client, 3)
        await client.post(f"/v1/persons/{kept}/merge", json={"merged_id": merged})
        assert (await client.delete(f"/v1/persons/{erased}/identity")).status_code == 204
        log = await client.get("/v1/log/entries", params={"tag": f"person:{erased}", "type": PERSON_ERASED})
        size = int(log.json()["sequence"])
    await covered(registry, size)

    report, saved = tmp_path / "report.json", tmp_path / "saved"
    options = ("--entries", "--persons", "all", "--report", str(report), "--save", str(saved))
    code, out, err = await audit(registry, *options)
    assert code == 0, (out, err)
    checks = {check["name"]: check for check in json.loads(report.read_text())["checks"]}
    assert {name: check["state"] for name, check in checks.items()} == dict.fromkeys(checks, "HELD") | {
        "witnesses": "SKIPPED",
        "consistency": "SKIPPED",
    }
    assert checks["rules"]["covered"] == f"positions 1 to {size}"
    assert re.match(r"(\d+) of \1 persons", checks["persons"]["covered"])
    code, out, err = await audit(registry, "--since", str(saved))
    assert code == 0, (out, err)
