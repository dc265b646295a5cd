"""Facts of the catalogue, made by hand: all in force from 2014 on, unless said otherwise."""

from datetime import date
from typing import Any

from contracts.facts import (
    Bloc,
    CertificationPublished,
    CertificationWithdrawn,
    EquivalenceRecognised,
    EquivalenceRepealed,
)
from contracts.facts.catalogue import Competence, EquivalenceSide
from tests.unit.careers import uid

OPENED = date(2014, 1, 1)


def version(certification_id: str, number: int = 1, *bloc_ids: str, **changed: Any) -> CertificationPublished:
    """A version with these blocs (`bloc`, when none is named), each with one competence."""
    blocs = tuple(
        Bloc(bloc_id=id_, title=f"Bloc {id_}", competences=(Competence(competence_id=f"{id_}-x", label="X"),))
        for id_ in bloc_ids or ("bloc",)
    )
    members: dict[str, Any] = {
        "certification_id": certification_id,
        "version": number,
        "family": "CQPM",
        "title": certification_id,
        "effective_from": OPENED,
        "blocs": blocs,
    }
    return CertificationPublished(**members | changed)


def withdrawn(certification_id: str, effective_from: date, replaced_by: str | None = None) -> CertificationWithdrawn:
    if replaced_by is None:
        return CertificationWithdrawn(
            certification_id=certification_id, effective_from=effective_from, reason="SUPPRESSED"
        )
    return CertificationWithdrawn(
        certification_id=certification_id, effective_from=effective_from, reason="REPLACED", replaced_by=replaced_by
    )


def total(number: int, source: str, target: str, /, **changed: Any) -> EquivalenceRecognised:
    """Who holds the source certification has all of the target."""
    members: dict[str, Any] = {
        "equivalence_id": uid("equivalence", number),
        "kind": "TOTAL",
        "source": EquivalenceSide(certification_id=source),
        "target": EquivalenceSide(certification_id=target),
        "valid_from": OPENED,
    }
    return EquivalenceRecognised(**members | changed)


def partial(
    number: int, source: tuple[str, tuple[str, ...]], target: tuple[str, tuple[str, ...]], **changed: Any
) -> EquivalenceRecognised:
    """Who holds these blocs of the source has those of the target."""
    sides = {
        "source": EquivalenceSide(certification_id=source[0], bloc_ids=source[1]),
        "target": EquivalenceSide(certification_id=target[0], bloc_ids=target[1]),
    }
    return total(number, "", "", kind="PARTIAL", **sides | changed)


def repealed(number: int, effective_from: date) -> EquivalenceRepealed:
    return EquivalenceRepealed(equivalence_id=uid("equivalence", number), effective_from=effective_from)
