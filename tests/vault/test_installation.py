"""The vault of the real product: its commands while it is used, and a start on an older backup."""

import asyncio
import sys

import httpx2

from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from tests.installation import SCOPES, Installation, person
from tests.vault.dumps import dump, restore_schema


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


async def test_a_process_that_starts_on_an_older_vault_serves_nobody_who_was_erased(installation: Installation) -> None:
    url = Postgres(DataFolder(installation.data)).url()
    async with installation.client(*SCOPES, "persons:erase") as client:
        (erased_id, identity), (other_id, other) = await register(client, 2)
        backup = await dump(url, "--schema=vault")
        assert (await client.delete(f"/v1/persons/{erased_id}/identity")).status_code == 204
        await restore_schema(url, "vault", backup)
        await installation.kill("serve")
        await installation.until_ready()
        assert (await client.get(f"/v1/persons/{erased_id}")).status_code == 410
        assert (await client.get(f"/v1/persons/{other_id}")).json() == {"person_id": other_id} | other
        again = await client.post("/v1/persons", json=identity)
        assert again.status_code == 201
        assert again.json()["person_id"] != erased_id
