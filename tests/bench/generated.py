"""A log that was generated, not posted: certifications, persons and what happened to them, into the tables."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, NamedTuple

import asyncpg

from contracts.envelope import Envelope, encode
from contracts.facts import (
    FACTS,
    Bloc,
    CandidateRegistered,
    CertificationPublished,
    Fact,
    PersonRegistered,
    RegistrationClosed,
)
from contracts.facts.catalogue import Competence

CERTIFICATIONS = 50
CHUNK = 20_000
BEGAN = datetime(2019, 1, 1, tzinfo=UTC)


def person_id(number: int) -> str:
    return str(uuid.UUID(int=(0xBE << 120) | (4 << 76) | (8 << 60) | number))


def registration_id(number: int, nth: int) -> str:
    return str(uuid.UUID(int=(0xAE << 120) | (nth << 80) | (4 << 76) | (8 << 60) | number))


def certification_id(number: int) -> str:
    return f"cqpm-{number:04d}"


def certification(number: int) -> CertificationPublished:
    blocs = tuple(
        Bloc(
            bloc_id=f"bloc-{number:04d}-{n}",
            title=f"Bloc {n}",
            competences=tuple(Competence(competence_id=f"c{k}", label=f"Compétence {k}") for k in range(3)),
        )
        for n in range(3)
    )
    return CertificationPublished(
        certification_id=certification_id(number),
        version=1,
        family="CQPM",
        title=f"Certification {number}",
        level=4,
        effective_from=date(2010, 1, 1),
        blocs=blocs,
    )


def facts(persons: int, events_each: int, singles: int = 0) -> Iterator[Fact]:
    """The certifications, then round after round one event of each person, so that a person's events are scattered.

    After the registration of the person come registrations that are closed again, so that new ones are never refused.
    singles: so many persons more, numbered behind the others, with one event each, at the end.
    """
    for number in range(CERTIFICATIONS):
        yield certification(number)
    for nth in range(events_each):
        for number in range(persons):
            yield _event(number, nth)
    for number in range(persons, persons + singles):
        yield _event(number, 0)


def _event(number: int, nth: int) -> Fact:
    if nth == 0:
        return PersonRegistered(person_id=person_id(number), identity_commitment=f"{number:064x}")
    registration, certification_number = registration_id(number, (nth - 1) // 2), (number + nth) % CERTIFICATIONS
    if nth % 2:
        return CandidateRegistered(
            registration_id=registration,
            person_id=person_id(number),
            certification_id=certification_id(certification_number),
            target="CERTIFICATION",
            route="FORMATION",
            status="SALARIE",
            registered_on=date(2018, 1, 8),
            version=1,
            branch="metallurgie",
            reporting_status="SALARIE",
            family="CQPM",
        )
    return RegistrationClosed(
        registration_id=registration,
        reason="WITHDRAWN",
        closed_on=date(2018, 2, 8),
        person_id=person_id(number),
        certification_id=certification_id((number + nth - 1) % CERTIFICATIONS),
    )


async def fill(connection: asyncpg.Connection, persons: int, events_each: int, singles: int = 0) -> int:
    """COPY the generated facts into an empty, migrated log; how many they are."""
    types = await type_ids(connection)
    wanted = facts(persons, events_each, singles)
    position = 0
    copying: asyncio.Task[None] | None = None
    while chunk := list(islice(wanted, CHUNK)):
        made = await asyncio.to_thread(rows, types, position, chunk)  # while the chunk before is copied
        if copying is not None:
            await copying
        copying = asyncio.create_task(made.copy(connection))
        position += len(chunk)
    if copying is not None:
        await copying
    await connection.execute("VACUUM ANALYZE log.event")
    await connection.execute("VACUUM ANALYZE log.tag")
    await connection.execute("CHECKPOINT")
    return position


async def type_ids(connection: asyncpg.Connection) -> dict[str, int]:
    """The log's numbers of all types; it gets to know those it does not."""
    await connection.execute(
        "INSERT INTO log.type (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", list(FACTS)
    )
    return {name: id_ for id_, name in await connection.fetch("SELECT id, name FROM log.type")}


class Rows(NamedTuple):
    """Events and their tags as rows of the log's tables."""

    events: list[tuple[Any, ...]]
    tags: list[tuple[Any, ...]]

    async def copy(self, connection: asyncpg.Connection, schema: str = "log") -> None:
        """COPY them into the tables `event` and `tag` of a schema."""
        columns = ["position", "type", "recorded_at", "key", "content", "entry"]
        await connection.copy_records_to_table("event", schema_name=schema, columns=columns, records=self.events)
        columns = ["tag", "type", "position"]
        await connection.copy_records_to_table("tag", schema_name=schema, columns=columns, records=self.tags)


def rows(types: dict[str, int], position: int, chunk: Iterable[Fact]) -> Rows:
    """The rows of facts behind a position."""
    made = Rows([], [])
    for place, fact in enumerate(chunk, position + 1):
        type_id = types[fact.type_name()]
        envelope = Envelope(id=str(place), source="urn:bench:generated", authid="bench")
        key = hashlib.sha256(f"urn:bench:generated\x00{place}".encode()).digest()
        made.events.append((place, type_id, BEGAN, key, key, encode(envelope, fact, place, BEGAN)))
        made.tags.extend((tag, type_id, place) for tag in fact.tags())
    return made
