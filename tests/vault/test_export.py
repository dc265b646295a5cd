"""Everything that is known about a person, in one document: what the other addresses answer, and what it is for."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from services.export.notice import read_notice
from services.settings import SettingsRefused
from tests.installation import SCOPES, Installation, event, person, post, publish_certification, registration
from tests.vault.conftest import answered

ALL = (*SCOPES, "persons:admin", "persons:erase")
NOTICE = Path(__file__).parents[2] / "services" / "export" / "notice.json"


async def read(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await answered(client, path)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Known:
    """A person with two ids, a NIR given later, a certificate and a registration that was closed."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.identity, self.other_identity = person(email="camille@example.org"), person()

    async def live(self) -> None:
        post_person = self.client.post
        self.kept_id, self.merged_id = [
            (await post_person("/v1/persons", json=identity)).json()["person_id"]
            for identity in (self.identity, self.other_identity)
        ]
        await post_person("/v1/persons", json=self.identity | {"nir": "290057505600142"})
        certification_id = await publish_certification(self.client)
        bloc_id = f"{certification_id}-b"
        self.awarded = registration(self.merged_id, certification_id)
        self.closed = registration(self.kept_id, await publish_certification(self.client))
        facts = [
            ("candidate.registered", self.awarded),
            (
                "bloc.validated",
                {
                    "validation_id": str(uuid4()),
                    "registration_id": self.awarded["registration_id"],
                    "bloc_id": bloc_id,
                    "basis": "ARCHIVE",
                    "decision_ref": "PV 12",
                    "validated_on": "2018-06-01",
                },
            ),
            (
                "certificate.awarded",
                {"registration_id": self.awarded["registration_id"], "awarded_on": "2018-06-02"},
            ),
            ("candidate.registered", self.closed),
            (
                "registration.closed",
                {
                    "registration_id": self.closed["registration_id"],
                    "reason": "WITHDRAWN",
                    "closed_on": "2018-05-02",
                },
            ),
        ]
        for name, data in facts:
            answer = await post(self.client, event(name, data))
            assert answer.status_code == 201, answer.text
            if name == "certificate.awarded":
                self.number = answer.json()["data"]["certificate_number"]
        merged = await post_person(f"/v1/persons/{self.kept_id}/merge", json={"merged_id": self.merged_id})
        assert merged.status_code == 200


@pytest_asyncio.fixture
async def known(installation: Installation) -> Any:
    async with installation.client(*ALL) as client:
        made = Known(client)
        await made.live()
        yield made


async def test_an_export_holds_what_every_address_answers(known: Known) -> None:
    client, kept_id, merged_id = known.client, known.kept_id, known.merged_id
    answer = await answered(client, f"/v1/persons/{merged_id}/export")
    assert answer.status_code == 200, answer.text
    export = answer.json()
    position = export["position"]
    assert answer.headers["registry-position"] == str(position)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == f'attachment; filename="{kept_id}.json"'
    assert (export["person_id"], export["names"]) == (kept_id, [kept_id, merged_id])
    assert export["identity"]["content"] == [
        {"person_id": kept_id, "identity": known.identity, "nir_given_later": "2900575056001", "current": True},
        {"person_id": merged_id, "identity": known.other_identity, "nir_given_later": None, "current": True},
    ]
    history = await read(client, f"/v1/persons/{kept_id}/history")
    assert export["events"]["content"] == history
    assert len(history) == 8
    competencies = await read(client, f"/v1/persons/{kept_id}/competencies?as_of={position}")
    assert export["competencies"]["content"] | {"position": 0} == competencies | {"position": 0}
    assert export["registrations"]["content"] == [
        await read(client, f"/v1/registrations/{data['registration_id']}") for data in (known.awarded, known.closed)
    ]
    assert export["certificates"]["content"] == [await read(client, f"/v1/certificates/{known.number}")]


async def test_an_export_tells_who_has_looked(known: Known, installation: Installation) -> None:
    """Under any id, and at a registration; not who looked at others."""
    async with installation.client("persons:read", "registrations:read", client_id="curious") as curious:
        paths = [f"/v1/persons/{known.kept_id}", f"/v1/persons/{known.merged_id}"]
        paths.append(f"/v1/registrations/{known.closed['registration_id']}")
        for path in paths:
            assert (await curious.get(path)).status_code == 200
        other = (await known.client.post("/v1/persons", json=person())).json()["person_id"]
        assert (await curious.get(f"/v1/persons/{other}")).status_code == 200
    tags = {tag for path in paths for tag in [path[4:].replace("s/", ":")]}
    async with asyncio.timeout(30):
        while True:  # reads that show no identity are written down in groups
            export = await read(known.client, f"/v1/persons/{known.kept_id}/export")
            seen = [access for access in export["accesses"]["content"] if access["client_id"] == "curious"]
            if len(seen) >= len(paths):
                break
    assert {tag for access in seen for tag in access["tags"]} == tags


async def test_every_part_says_what_it_is_for(known: Known) -> None:
    export = await read(known.client, f"/v1/persons/{known.kept_id}/export")
    notice = json.loads(NOTICE.read_bytes())
    assert {"controller": export["controller"], "rights": export["rights"]} == {
        "controller": notice["controller"],
        "rights": notice["rights"],
    }
    for name, about in notice["parts"].items():
        assert export[name]["about"] == about
        assert all(about[member] for member in ("what", "purposes", "recipients", "source", "retention"))


async def test_after_the_erasure_there_is_no_export(known: Known) -> None:
    assert (await known.client.delete(f"/v1/persons/{known.kept_id}/identity")).status_code == 204
    for person_id in (known.kept_id, known.merged_id):
        answer = await known.client.get(f"/v1/persons/{person_id}/export")
        assert (answer.status_code, answer.json()["type"]) == (410, "/problems/erased")


async def test_an_export_is_for_administrators(known: Known, installation: Installation) -> None:
    async with installation.client(*SCOPES) as client:
        answer = await client.get(f"/v1/persons/{known.kept_id}/export")
    assert (answer.status_code, answer.json()["scope"]) == (403, "persons:admin")


async def test_of_nobody_there_is_no_export(known: Known) -> None:
    for person_id in ("nobody", str(uuid4())):
        assert (await known.client.get(f"/v1/persons/{person_id}/export")).status_code == 404


def test_an_operators_own_notice_is_used(tmp_path: Path) -> None:
    own = json.loads(NOTICE.read_bytes()) | {"controller": "Branche, 1 rue du Registre"}
    (tmp_path / "notice.json").write_text(json.dumps(own))
    assert read_notice(str(tmp_path / "notice.json")).controller == "Branche, 1 rue du Registre"


@pytest.mark.parametrize("written", ["", "{}", '{"controller": "x", "rights": "y", "parts": {}}'])
def test_a_notice_that_says_too_little_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / "notice.json").write_text(written)
    with pytest.raises(SettingsRefused, match="CERTIBRANCHE_EXPORT_NOTICE"):
        read_notice(str(tmp_path / "notice.json"))
