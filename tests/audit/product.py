"""The auditor's command against the real product, as an auditor runs it."""

import asyncio
import sys
from typing import NamedTuple

from tests.installation import Installation
from tests.transparency.test_installation import vkey

LIMIT_S = 60.0


class Audited(NamedTuple):
    """What the command said."""

    code: int | None
    out: str
    err: str


async def audit(registry: Installation, *options: str) -> Audited:
    """An audit with the registry's own key, and with a token where one is needed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "audit", registry.url, "--vkey", await vkey(registry.data)),
        *("--data", str(registry.data), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    return Audited(process.returncode, out.decode(), err.decode())


async def covered(registry: Installation, position: int) -> None:
    """Returns once a signed checkpoint covers the position."""
    async with registry.client("log:read") as client, asyncio.timeout(LIMIT_S):
        while True:  # wait=10 is the most that can be asked for
            proof = await client.get(f"/v1/log/entries/{position}/proof", headers={"Prefer": "wait=10"})
            if proof.status_code == 200:
                return
