"""The transparency log of `certibranche up`: it is there without any setting, and outlives its process."""

import asyncio
import base64
import hmac
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tiles import leaf_hash

from services.embedded.readiness import wait_until
from services.projections.transparency.keeping import place_of
from services.projections.transparency.note import Signer, Verifier, new_key, open_checkpoint
from services.settings import FollowSettings, SettingsRefused
from tests.installation import Installation, objective, person
from tests.transparency.cosigned import Cosigner

CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}


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
        async with asyncio.timeout(60):
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


async def test_what_is_posted_is_soon_proved(installation: Installation) -> None:
    await proved(installation)


async def test_operators_see_what_is_signed_and_served(installation: Installation) -> None:
    await proved(installation)

    async def shown() -> bool:
        async with installation.client() as anyone:
            lines = (await anyone.get("/metrics")).text.splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if line.startswith("certibranche_transparency"))
        prefix = "certibranche_transparency_"
        signed, served = (float(figures.get(prefix + name, 0)) for name in ("signed_size", "served_size"))
        return served >= signed > 0 and float(figures[prefix + "signed_timestamp_seconds"]) > 1_700_000_000

    assert await wait_until(shown, 30)


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


def settings(tmp_path: Path, policy: str, key: str) -> FollowSettings:
    file = tmp_path / "policy"
    file.write_text(policy)
    return FollowSettings(
        database_url="postgresql://db/x", tiles=str(tmp_path / "tiles"), log_key=key, log_policy=str(file)
    )


WITNESS = Cosigner("witness.example/1", 1).vkey


def test_a_policy_names_the_log_and_its_witnesses(tmp_path: Path) -> None:
    key = new_key("log.example")
    policy = f"log {Signer(key).vkey}\nwitness w {WITNESS} https://witness.example\nquorum w\n"
    place = place_of(settings(tmp_path, policy, key))
    assert place is not None
    assert (place.policy.quorum, place.policy.witnesses["w"].url) == ("w", "https://witness.example")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (f"log {Signer(new_key('log.example')).vkey}\nquorum none", "do not name"),
        (f"witness w {WITNESS}\nquorum w", "address"),
        ("quorum", "line 1"),
    ],
    ids=["another log", "no address", "no policy"],
)
def test_a_policy_of_another_log_or_that_stops_this_one_is_refused(tmp_path: Path, policy: str, said: str) -> None:
    with pytest.raises(SettingsRefused, match=f"CERTIBRANCHE_LOG_POLICY: .*{said}"):
        place_of(settings(tmp_path, policy, new_key("log.example")))


def test_a_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    given = settings(tmp_path, "quorum none", new_key("log.example"))
    (tmp_path / "policy").unlink()
    with pytest.raises(SettingsRefused, match="CERTIBRANCHE_LOG_POLICY"):
        place_of(given)


def test_without_settings_nothing_is_published() -> None:
    assert place_of(FollowSettings(database_url="postgresql://db/x")) is None


# Receipts that wait


async def promised(client: httpx2.AsyncClient, path: str = "/v1/events", **request: Any) -> httpx2.Response:
    """The answer to a post that waits for its proof. A checkpoint may take longer than the most that can be asked for:
    posting again is a repeat."""
    async with asyncio.timeout(60):
        while True:
            headers = request["headers"] | {"Prefer": "wait=10"}
            answer = await client.post(path, **request | {"headers": headers})
            assert answer.status_code in (200, 201), answer.text
            if "Preference-Applied" in answer.headers:
                return answer


async def test_a_receipt_waits_for_its_proof(installation: Installation) -> None:
    posted = objective()
    binary = {f"ce-{name}": objective()[name] for name in ("specversion", "id", "source", "type")}
    forms: list[dict[str, Any]] = [
        {"json": posted, "headers": CLOUD_EVENT},
        {"json": posted, "headers": CLOUD_EVENT},  # a repeat
        {"json": posted["data"], "headers": {"Content-Type": "application/json"} | binary},
        {"json": objective(), "headers": CLOUD_EVENT, "path": "/v1/events?by=the-framework's-route"},
    ]
    async with installation.client("catalogue:write", "log:read") as client:
        for form in forms:
            answer = await promised(client, **form)
            position = answer.json()["position"]
            assert answer.headers["Preference-Applied"] == "wait=10"
            assert answer.headers["Location"] == f"/v1/log/entries/{position}"
            link = answer.links["https://c2sp.org/tlog-proof"]["url"]
            assert link == f"/v1/log/entries/{position}/proof"
            proof = (await client.get(link)).text
            assert proof.startswith(f"c2sp.org/tlog-proof@v1\nindex {position - 1}\n")


async def test_who_does_not_ask_does_not_wait(installation: Installation) -> None:
    async with installation.client("catalogue:write") as client:
        for prefer in ({}, {"Prefer": "return=minimal"}, {"Prefer": "wait=0"}):
            answer = await client.post("/v1/events", json=objective(), headers=CLOUD_EVENT | prefer)
            assert answer.status_code == 201
            assert not {"preference-applied", "link"} & set(answer.headers)


async def test_a_refusal_does_not_wait(installation: Installation) -> None:
    async with installation.client("catalogue:write") as client:
        refused = objective(data={"year": 9999, "beneficiaries": 0})
        answer = await client.post("/v1/events", json=refused, headers=CLOUD_EVENT | {"Prefer": "wait=10"})
        assert answer.status_code == 400
        assert "preference-applied" not in answer.headers


# Openings of commitments


async def opened(client: httpx2.AsyncClient, position: int) -> Any:
    """The identity that opens the commitment at a position, once that is proved."""
    async with asyncio.timeout(60):
        while True:
            answer = await client.get(f"/v1/log/entries/{position}/proof?opening=true", headers={"Prefer": "wait=10"})
            if answer.status_code != 404:
                break
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    first, extra, index = answer.text.split("\n")[:3]
    assert (first, index) == ("c2sp.org/tlog-proof@v1", f"index {position - 1}")
    salt, identity = (content := base64.b64decode(extra.removeprefix("extra ")))[:32], content[32:]
    entry = (await client.get(f"/v1/log/entries/{position}")).json()
    assert hmac.digest(salt, identity, "sha256").hex() == entry["data"]["identity_commitment"]
    return json.loads(identity)


async def status_of(client: httpx2.AsyncClient, position: int, opening: str = "true") -> int:
    return (await client.get(f"/v1/log/entries/{position}/proof", params={"opening": opening})).status_code


async def positions(client: httpx2.AsyncClient, person_id: str) -> list[int]:
    """Where the facts about a person are that hold a commitment."""
    types = [f"certibranche.person.{name}.v1" for name in ("registered", "rectified")]
    answer = await client.get("/v1/log/entries", params={"type": types})
    facts = [json.loads(line) for line in answer.text.splitlines()]
    return [int(fact["sequence"]) for fact in facts if fact["data"]["person_id"] == person_id]


MAY = ("log:read", "persons:read", "persons:write", "persons:admin", "persons:erase", "catalogue:write")


async def test_a_commitment_is_opened_until_the_identity_is_put_right_or_erased(installation: Installation) -> None:
    identity = person(email="camille@example.org")
    async with installation.client(*MAY) as client:
        person_id = (await client.post("/v1/persons", json=identity)).json()["person_id"]
        (registered,) = await positions(client, person_id)
        assert await opened(client, registered) == identity
        await client.patch(f"/v1/persons/{person_id}", json={"usual_name": "Durand"})
        rectified = (await positions(client, person_id))[1]
        assert await opened(client, rectified) == identity | {"usual_name": "Durand"}
        assert await status_of(client, registered) == 404
        assert (await client.delete(f"/v1/persons/{person_id}/identity")).status_code == 204
        for position in (registered, rectified):
            assert await status_of(client, position) == 410
            assert await status_of(client, position, opening="false") == 200


async def test_a_merged_persons_commitment_is_opened_until_both_are_erased(installation: Installation) -> None:
    identities = [person(), person()]
    async with installation.client(*MAY) as client:
        kept, merged = [(await client.post("/v1/persons", json=who)).json()["person_id"] for who in identities]
        await client.post(f"/v1/persons/{kept}/merge", json={"merged_id": merged})
        (position,) = await positions(client, merged)
        assert await opened(client, position) == identities[1]
        await client.delete(f"/v1/persons/{kept}/identity")
        assert await status_of(client, position) == 410


async def test_an_opening_needs_the_right_to_read_persons(installation: Installation) -> None:
    async with installation.client(*MAY) as client:
        person_id = (await client.post("/v1/persons", json=person())).json()["person_id"]
        (position,) = await positions(client, person_id)
        await opened(client, position)
    async with installation.client("log:read") as auditor:
        answer = await auditor.get(f"/v1/log/entries/{position}/proof?opening=true")
        assert (answer.status_code, answer.json()["scope"]) == (403, "persons:read")
        proof = await auditor.get(f"/v1/log/entries/{position}/proof")
        assert "extra" not in proof.text
        assert proof.headers["Cache-Control"] == "private, no-cache"
    async with installation.client("persons:read") as reader:
        assert await status_of(reader, position) == 403


async def test_what_holds_no_commitment_has_no_opening(installation: Installation) -> None:
    async with installation.client(*MAY) as client:
        posted = await promised(client, json=objective(), headers=CLOUD_EVENT)
        assert await status_of(client, posted.json()["position"]) == 404
