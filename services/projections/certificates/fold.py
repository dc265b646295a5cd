"""Folds the events of one certificate. Pure."""

from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from contracts.envelope import StoredEvent
from contracts.facts import CertificateAwarded, CertificateRevoked, CertificationPublished, Fact
from contracts.facts.fact import date
from contracts.facts.registrations import Family, Target


class Certificate(Struct, kw_only=True):
    awarded: CertificateAwarded
    revoked: bool = False


def folded(events: Iterable[StoredEvent[Fact]]) -> Certificate | None:
    """The certificate of which these are all the events in order; None when there are none."""
    certificate: Certificate | None = None
    for event in events:
        match fact := event.data:
            case CertificateAwarded():
                certificate = Certificate(awarded=fact)
            case CertificateRevoked() if certificate is not None:
                certificate.revoked = True
            case _:
                raise TypeError(f"{fact.name} is not folded here")
    return certificate


class CertifiedBloc(Struct, frozen=True, kw_only=True):
    bloc_id: str
    title: str


class CertificateAnswer(Struct, frozen=True, kw_only=True):
    """What anybody may know of a certificate. Nothing of it leads to the person."""

    certificate_number: str
    status: Literal["LIVE", "REVOKED"]
    kind: Target
    title: str
    family: Family
    level: int | UnsetType = UNSET
    rncp_code: str | UnsetType = UNSET
    awarded_on: date
    certification_id: str
    version: int
    blocs: list[CertifiedBloc]


def answer(certificate: Certificate, version: CertificationPublished) -> CertificateAnswer:
    """What is said of a certificate of this version."""
    awarded = certificate.awarded
    titles = {bloc.bloc_id: bloc.title for bloc in version.blocs}
    return CertificateAnswer(
        certificate_number=awarded.certificate_number,
        status="REVOKED" if certificate.revoked else "LIVE",
        kind=awarded.kind,
        title=awarded.title,
        family=awarded.family,
        level=awarded.level,
        rncp_code=awarded.rncp_code,
        awarded_on=awarded.awarded_on,
        certification_id=awarded.certification_id,
        version=awarded.version,
        blocs=[CertifiedBloc(bloc_id=part.bloc_id, title=titles[part.bloc_id]) for part in awarded.components],
    )
