"""Puts together what both sides know about a person, as of one position of the log."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from contracts.envelope import StoredEvent
from contracts.facts import (
    CandidateRegistered,
    CertificateAwarded,
    Fact,
    PersonRectified,
    PersonRegistered,
)
from contracts.facts.fact import person as person_tag
from contracts.facts.fact import registration as registration_tag
from services.accesses.reading import AccessReader
from services.export.notice import Notice, PartNotice
from services.log.reader import Entry
from services.projections.certificates.fold import CertificateAnswer
from services.projections.certificates.reading import CertificatesReader
from services.projections.history.reading import HistoriesReader
from services.projections.registrations.fold import RegistrationAnswer
from services.projections.registrations.reading import RegistrationsReader
from services.projections.views.competencies.answer import Competencies
from services.projections.views.competencies.reading import CompetenciesReader
from services.registry.vault.identity import Identity
from services.registry.vault.vault import Vault

EVENTS_MAX = 100_000
"""More than anybody has by orders of magnitude: a bound, not a page."""

ACCESSES_MAX = 10_000
"""The oldest that are kept; who was read about more often is told of the rest at GET /v1/log/accesses."""


class KnownIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the person is under one id; null where the vault has lost it.

    nir_given_later: the first 13 characters of a NIR that was given after the registration. current: it is the identity
    that the log is committed to last (otherwise the vault was restored from an older backup).
    """

    person_id: str
    identity: Identity | None
    nir_given_later: str | None
    current: bool


class IdentityPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: list[KnownIdentity]


class CompetenciesPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: Competencies


class RegistrationsPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: list[RegistrationAnswer]


class CertificatesPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: list[CertificateAnswer]


class EventsPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: list[dict[str, Any]]


class AccessesPart(msgspec.Struct, frozen=True, kw_only=True):
    about: PartNotice
    content: list[dict[str, Any]]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a person at a position of the log. person_id: the one the person is known by; names: all ids."""

    person_id: str
    names: list[str]
    position: int
    made_at: datetime
    controller: str
    rights: str
    identity: IdentityPart
    competencies: CompetenciesPart
    registrations: RegistrationsPart
    certificates: CertificatesPart
    events: EventsPart
    accesses: AccessesPart


class Exporter:
    """Asks the vault and the read models. Each part is what its own address would answer, no more and no less."""

    def __init__(
        self,
        notice: Notice,
        *,
        vault: Vault,
        histories: HistoriesReader,
        competencies: CompetenciesReader,
        registrations: RegistrationsReader,
        certificates: CertificatesReader,
        access_reader: AccessReader,
    ) -> None:
        self._notice = notice
        self._vault = vault
        self._histories = histories
        self._competencies = competencies
        self._registrations = registrations
        self._certificates = certificates
        self._access_reader = access_reader

    async def export(self, person_id: str) -> Export:
        """Raises NotFound, Erased, and Unavailable while a part is behind the log."""
        identities = await self._vault.identities(person_id)
        history = await self._histories.history(person_id, after=0, limit=EVENTS_MAX, min_position=None)
        events = [entry.event() for entry in history.entries]
        competencies, _ = await self._competencies.answer(person_id, at=None, as_of=None, min_position=history.position)
        committed = _commitments(events)
        parts, as_of = self._notice.parts, str(history.position)
        registrations = [e.data.registration_id for e in events if isinstance(e.data, CandidateRegistered)]
        numbers = [e.data.certificate_number for e in events if isinstance(e.data, CertificateAwarded)]
        return Export(
            person_id=identities[0].person_id,
            names=[known.person_id for known in identities],
            position=history.position,
            made_at=datetime.now(UTC),
            controller=self._notice.controller,
            rights=self._notice.rights,
            identity=IdentityPart(
                about=parts.identity,
                content=[
                    KnownIdentity(
                        person_id=known.person_id,
                        identity=known.opened and known.opened.identity,
                        nir_given_later=_text(known.opened and known.opened.later_nir),
                        current=known.opened is not None and known.commitment == committed.get(known.person_id),
                    )
                    for known in identities
                ],
            ),
            competencies=CompetenciesPart(about=parts.competencies, content=competencies),
            registrations=RegistrationsPart(
                about=parts.registrations,
                content=[await self._registration(registration_id, as_of) for registration_id in registrations],
            ),
            certificates=CertificatesPart(
                about=parts.certificates, content=[await self._certificate(number, as_of) for number in numbers]
            ),
            events=EventsPart(about=parts.events, content=_stored(history.entries)),
            accesses=AccessesPart(
                about=parts.accesses,
                content=await self._accesses([known.person_id for known in identities], registrations),
            ),
        )

    async def _accesses(self, person_ids: Sequence[str], registration_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The recorded reads about the person under any id, and about the registrations, up to some seconds ago."""
        tags = [*map(person_tag, person_ids), *map(registration_tag, registration_ids)]
        until = await self._access_reader.last()
        pages = self._access_reader.lines(0, until=until, tags=tags, limit=ACCESSES_MAX)
        return [msgspec.json.decode(line) async for page in pages for line in page.splitlines()]

    async def _registration(self, registration_id: str, as_of: str) -> RegistrationAnswer:
        _, _, answer = await self._registrations.answer(registration_id, as_of=as_of, min_position=None)
        return answer

    async def _certificate(self, number: str, as_of: str) -> CertificateAnswer:
        _, _, answer = await self._certificates.answer(number, as_of=as_of, min_position=None)
        return answer


def _commitments(events: Sequence[StoredEvent[Fact]]) -> dict[str, bytes]:
    """What the log was last committed to, by id."""
    return {
        event.data.person_id: bytes.fromhex(event.data.identity_commitment)
        for event in events
        if isinstance(event.data, PersonRegistered | PersonRectified)
    }


def _stored(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(entry.entry) for entry in entries]


def _text(characters: bytes | None) -> str | None:
    return None if characters is None else characters.decode()
