"""What identifies a person is searched for everywhere the real product keeps or says anything: while the person is
known, and after the erasure."""

import asyncio
import base64
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx2
import nats
import pytest_asyncio

from contracts.subjects import STREAM
from services.embedded.data_folder import DataFolder
from services.embedded.postgres import Postgres
from services.registry.vault.identity import folded
from tests.installation import SCOPES, Installation, event, objective, person, post, publish_certification, registration
from tests.vault.conftest import answered
from tests.vault.dumps import dump

WAIT_S = 60.0

PATHS = ("", "/history", "/competencies", "/pathways")


class Marks:
    """Identities whose names, addresses and NIR have something in common that nobody else's have."""

    def __init__(self) -> None:
        self.name = uuid4().hex[:16]
        self.digits = "2" + "".join(random.choices("0123456789", k=9))
        self.texts: list[str] = []

    def somebody(self) -> dict[str, Any]:
        own = uuid4().hex[:8]
        birth_name, email = f"Œuvrard-d'Aÿ {self.name} {own}", f"{own}.{self.name}@example.org"
        nir = self.digits + "".join(random.choices("0123456789", k=5))
        self.texts += [birth_name, folded(birth_name), email, nir, nir[:13]]
        names = {"usual_name": f"Été {self.name}", "first_names": [f"Zoë-{self.name}", "Anne"]}
        return person(birth_name=birth_name, email=email, nir=nir, **names)

    def forms(self) -> list[bytes]:
        """The ways in which they, or what betrays them, may have been written down."""
        plain = [mark.encode() for mark in (self.name, self.name.upper(), self.digits)]
        digests = [hashlib.sha256(text.encode()).digest() for text in self.texts]
        return [*plain, *digests, *(form.hex().encode() for form in (*plain, *digests)), *map(_base64, plain)]


def _base64(plain: bytes) -> bytes:
    """What is the same in it whatever follows. (What stands before it would have to be known.)"""
    return base64.b64encode(plain)[:-4]


class Everywhere:
    """All that the installation keeps or says: by its name, the bytes."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._postgres = Postgres(DataFolder(installation.data))

    async def caught_up(self, client: httpx2.AsyncClient, position: int) -> None:
        """Wait until the stream, the views and the tiles know the position."""
        async with asyncio.timeout(WAIT_S):
            while True:
                headers = {"Prefer": "wait=10"}
                answer = await client.get(f"/v1/log/entries/{position}/proof", headers=headers)
                if answer.status_code == 200 and await self._published() >= position:
                    return
                await asyncio.sleep(0.05)

    async def _published(self) -> int:
        connection = await nats.connect(self._installation.nats_url)
        try:
            return (await connection.jetstream().stream_info(STREAM)).state.last_seq
        finally:
            await connection.close()

    async def look(self, client: httpx2.AsyncClient, *, since: int) -> dict[str, bytes]:
        """Everything; of the stream, the messages since a position."""
        found = {
            "dump": await dump(self._postgres.url()),
            "metrics": (await client.get("/metrics")).content,
            "followers": (await client.get("/v1/ops/followers")).content,
            "history": (await client.get("/v1/log/entries", params={"after": since})).content,
            "stream": await self._payloads(since),
        }
        return found | await asyncio.to_thread(self._files)

    async def _payloads(self, since: int) -> bytes:
        connection = await nats.connect(self._installation.nats_url)
        try:
            stream_manager = connection.jetstream()
            last = (await stream_manager.stream_info(STREAM)).state.last_seq
            messages = [await stream_manager.get_msg(STREAM, seq) for seq in range(since + 1, last + 1)]
            return b"\n".join(
                (message.data or b"") + repr((message.subject, message.headers)).encode() for message in messages
            )
        finally:
            await connection.close()

    def _files(self) -> dict[str, bytes]:
        """The files of the data folder: tables, NATS, tiles, logs. Not PostgreSQL's write-ahead log, which is for its
        recovery alone, nor its own three databases, by their numbers."""
        folder = self._installation.data
        files = [folder.with_suffix(".log"), *folder.rglob("*")]
        return {
            str(path.relative_to(folder.parent)): path.read_bytes()
            for path in files
            if path.is_file() and "pg_wal" not in path.parts and path.parent.name not in ("1", "4", "5")
        }

    async def rows(self, person_ids: list[str]) -> list[bytes]:
        """The secret bytes of the vault's rows of these persons."""
        connection = await asyncpg.connect(self._postgres.url())
        try:
            rows = await connection.fetch("SELECT * FROM vault.person WHERE person_id = ANY($1::uuid[])", person_ids)
        finally:
            await connection.close()
        columns = ("sealed", "sealed_nir", "wrapped_key", "fingerprint", "nir_fingerprint")
        return [row[column] for row in rows for column in columns if row[column] is not None]

    async def sampled(self) -> None:
        """Let PostgreSQL look at its tables for its planner, as it does by itself at any time."""
        connection = await asyncpg.connect(self._postgres.url())
        try:
            await connection.execute("ANALYZE")
        finally:
            await connection.close()

    async def tidy(self) -> None:
        """Write the tables to their files, without what the rows were before."""
        connection = await asyncpg.connect(self._postgres.url())
        try:
            await connection.execute("VACUUM FULL vault.person")
            await connection.execute("VACUUM FULL vault.intent")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()


def holding(places: dict[str, bytes], traces: list[bytes]) -> list[str]:
    """The names of the places where any of the traces is."""
    return sorted(name for name, content in places.items() if any(trace in content for trace in traces))


@dataclass
class Life:
    """Two persons who were posted about, put right, merged and erased, and what was found while they were and after."""

    person_ids: list[str]
    before: dict[str, bytes]
    after: dict[str, bytes]
    plain: list[bytes]
    sealed: list[bytes]
    answers: list[bytes]
    gone: list[int]
    proofs: list[httpx2.Response]


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> Life:
    everywhere, marks = Everywhere(installation), Marks()
    async with installation.client(*SCOPES, "persons:admin", "persons:erase") as client:
        one, two, better = [marks.somebody() for _ in range(3)]
        first = await publish_certification(client)
        since = (await post(client, objective())).json()["position"]
        kept_id, merged_id = [(await client.post("/v1/persons", json=i)).json()["person_id"] for i in (one, two)]
        answers = [await _refused(client, one, kept_id, merged_id, two)]
        data = registration(merged_id, first)
        registered = await post(client, event("candidate.registered", data))
        closing = {"registration_id": data["registration_id"], "reason": "WITHDRAWN", "closed_on": "2018-05-02"}
        assert (await post(client, event("registration.closed", closing))).status_code == 201
        assert (await client.patch(f"/v1/persons/{kept_id}", json=better)).status_code == 200
        merged = await client.post(f"/v1/persons/{kept_id}/merge", json={"merged_id": merged_id})
        position = int(merged.headers["Registry-Position"])
        for path in PATHS:
            assert (await answered(client, f"/v1/persons/{merged_id}{path}?min_position={position}")).status_code == 200
        await everywhere.sampled()
        secrets = await everywhere.rows([kept_id, merged_id])
        await everywhere.caught_up(client, position)
        await everywhere.tidy()
        before = await everywhere.look(client, since=since)
        counts = (await answered(client, f"/v1/branch/counts?year=2018&min_position={position}")).json()
        proofs = [await client.get(f"/v1/log/entries/{registered.json()['position']}/proof")]

        erased = await client.delete(f"/v1/persons/{merged_id}/identity")
        assert erased.status_code == 204, erased.text
        position = int(erased.headers["Registry-Position"])
        await everywhere.caught_up(client, position)
        await everywhere.tidy()
        after = await everywhere.look(client, since=since)
        gone = [
            (await answered(client, f"/v1/persons/{person_id}{path}?min_position={position}")).status_code
            for person_id in (kept_id, merged_id)
            for path in PATHS
        ]
        again = (await answered(client, f"/v1/branch/counts?year=2018&min_position={position}")).json()
        assert again | {"position": 0} == counts | {"position": 0}
        proofs.append(await client.get(f"/v1/log/entries/{registered.json()['position']}/proof"))
    sealed = [form for secret in secrets for form in (secret, secret.hex().encode())]
    return Life([kept_id, merged_id], before, after, marks.forms(), sealed, answers, gone, proofs)


async def _refused(client: httpx2.AsyncClient, one: dict[str, Any], kept_id: str, other_id: str, two: Any) -> bytes:
    """What is said when identities are refused: malformed, and another's."""
    said = [
        await client.post("/v1/persons", json=one | {"sex": one["birth_name"]}),
        await client.post("/v1/persons", json=one | {"unknown": one["birth_name"]}),
        await client.patch(f"/v1/persons/{other_id}", json={"nir": two["nir"] + "x"}),
        await client.patch(f"/v1/persons/{kept_id}", json=two),
        await client.get(f"/v1/persons/{quote(one['email'])}"),
    ]
    assert [answer.status_code for answer in said] == [400, 400, 400, 409, 404]
    return b"\n".join(answer.content for answer in said)


async def test_a_known_person_is_in_the_vault_alone_and_sealed(life: Life) -> None:
    assert holding(life.before, life.plain) == []


async def test_what_is_sealed_is_found_while_the_person_is_known(life: Life) -> None:
    """The search can find: the rows are in the dump and in a table's file, and nowhere else."""
    places = holding(life.before, life.sealed)
    assert "dump" in places
    assert len(places) >= 2
    assert all(name == "dump" or "/pg18/base/" in name for name in places)


async def test_who_is_erased_is_nowhere_not_even_sealed(life: Life) -> None:
    assert holding(life.after, life.plain + life.sealed) == []


async def test_that_there_was_somebody_stays(life: Life) -> None:
    """Log, stream, history and dump name the pseudonymous id as before."""
    ids = [person_id.encode() for person_id in life.person_ids]
    for place in ("dump", "stream", "history"):
        assert ids[1] in life.after[place] or ids[1].hex().encode() in life.after[place]


async def test_every_address_says_that_the_person_is_gone(life: Life) -> None:
    assert life.gone == [410] * 2 * len(PATHS)


async def test_proofs_go_on_to_prove(life: Life) -> None:
    assert [proof.status_code for proof in life.proofs] == [200, 200]


async def test_refusals_name_nobody(life: Life) -> None:
    assert not [answer for answer in life.answers if any(trace in answer for trace in life.plain)]


def test_a_mark_is_found_however_it_was_written() -> None:
    """The search can find plain text, too."""
    marks = Marks()
    identity = marks.somebody()
    places = {
        "plain": identity["birth_name"].encode(),
        "upper": identity["email"].upper().encode(),
        "hex": b"..." + identity["nir"].encode().hex().encode(),
        "base64": base64.b64encode(f"{marks.name} and more".encode()),
        "hashed": hashlib.sha256(identity["nir"][:13].encode()).hexdigest().encode(),
        "nothing": b"Anne 75056",
    }
    assert holding(places, marks.forms()) == sorted(places.keys() - {"nothing"})


def test_files_are_looked_through(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data.log").write_text("said")
    (tmp_path / "data" / "tile").write_text("kept")
    installation = Installation(tmp_path / "data")
    assert Everywhere(installation)._files() == {"data.log": b"said", "data/tile": b"kept"}
