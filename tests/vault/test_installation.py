"""The vault of the real product: its commands while it is used, and a search for what must be nowhere."""

import asyncio
import sys

import httpx2

from tests.installation import SCOPES, Installation, person


async def vault(installation: Installation, command: str) -> str:
    """What `certibranche vault COMMAND` says; it must succeed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "vault", command, "--data", str(installation.data)),
        stdout=pipe,
        stderr=pipe,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complained.decode()
    return said.decode()


async def register(client: httpx2.AsyncClient, count: int) -> list[tuple[str, dict[str, object]]]:
    identities = [person() for _ in range(count)]
    answers = await asyncio.gather(*(client.post("/v1/persons", json=identity) for identity in identities))
    assert {answer.status_code for answer in answers} == {201}
    return [(answer.json()["person_id"], identity) for answer, identity in zip(answers, identities, strict=True)]


async def test_keys_are_rotated_while_persons_are_posted(installation: Installation) -> None:
    folder = installation.data / "vault-keys"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    async with installation.client(*SCOPES) as client:
        people = await register(client, 5)
        rotating = asyncio.create_task(_rotate(installation))
        while not rotating.done():
            people += await register(client, 2)
        said = await rotating
        for person_id, identity in [*people[:5], *people[-2:]]:
            assert (await client.get(f"/v1/persons/{person_id}")).json() == {"person_id": person_id} | identity
            again = await client.post("/v1/persons", json=identity)
            assert (again.status_code, again.json()) == (200, {"person_id": person_id})
    (after,) = folder.iterdir()
    assert after.read_bytes() not in before.values()
    assert "is destroyed" in said[1]
    assert "fingerprint key 2 is in use" in said[0]


async def _rotate(installation: Installation) -> list[str]:
    return [await vault(installation, command) for command in ("rotate-fingerprint-key", "rotate-master-key")]
