"""The transparency log of `certibranche up`: it is there without any setting, and outlives its process."""

import asyncio
import sys
from pathlib import Path

import pytest
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tiles import leaf_hash

from services.projections.transparency.keeping import place_of
from services.projections.transparency.note import Verifier, new_key, open_checkpoint
from services.settings import FollowSettings, SettingsRefused
from tests.installation import Installation, objective


async def vkey(data: Path) -> str:
    """What an auditor is given."""
    command = (sys.executable, "-m", "services.cli", "audit", "vkey", "--data", str(data))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return said.decode().strip()


async def proved(installation: Installation) -> None:
    """An event is posted, and is soon in a signed checkpoint that an independent client accepts."""
    verifier_key = await vkey(installation.data)
    async with installation.client("catalogue:write", "log:read") as client:
        position = (await client.post("/v1/events", json=objective(), headers=CLOUD_EVENT)).json()["position"]
        async with asyncio.timeout(30):
            while True:  # wait=10 is the most that can be asked for
                answer = await client.get(f"/v1/log/entries/{position}/proof", headers={"Prefer": "wait=10"})
                if answer.status_code == 200:
                    break
        entry = (await client.get(f"/v1/log/entries/{position}")).content
    note = answer.text.partition("\n\n")[2]
    checkpoint = open_checkpoint(note, Verifier(verifier_key))
    assert checkpoint.origin.startswith("certibranche.local/")
    assert checkpoint.size >= position
    await asyncio.to_thread(accepted, f"{installation.url}/log", verifier_key, position, entry)


def accepted(url: str, verifier_key: str, position: int, entry: bytes) -> None:
    """tlog-scales reads the log over HTTP, without a token, and finds the entry's hash in it."""
    reader = TilesReader(HttpBackend(url))
    checkpoint = reader.get_checkpoint()
    assert VkeySet(Vkey.from_string(verifier_key)).verify(checkpoint.signatures, checkpoint)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    reader.get_inclusion_proof(position - 1, checkpoint.size).check(leaf_hash(entry), checkpoint.root_hash)


CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}


async def test_what_is_posted_is_soon_proved(installation: Installation) -> None:
    await proved(installation)


async def test_the_log_goes_on_after_its_process_was_killed(installation: Installation) -> None:
    before = await vkey(installation.data)
    await installation.kill("follow")
    await proved(installation)
    assert await vkey(installation.data) == before


@pytest.mark.parametrize(
    "given",
    [
        {"tiles": "tiles"},
        {"log_key": new_key("log.example")},
        {"tiles": "tiles", "log_key": new_key("log.example").replace("log.example", "log.elsewhere")},
    ],
)
def test_half_of_what_publishing_needs_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingsRefused, match="CERTIBRANCHE_LOG_KEY"):
        place_of(FollowSettings(database_url="postgresql://db/x", **given))


def test_without_settings_nothing_is_published() -> None:
    assert place_of(FollowSettings(database_url="postgresql://db/x")) is None
