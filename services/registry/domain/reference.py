"""The reference: the catalogue, the equivalences and who is who, folded for every decision."""

from collections.abc import Sequence
from copy import copy
from datetime import date

from contracts.facts import (
    Bloc,
    CertificationPublished,
    CertificationWithdrawn,
    EquivalenceRecognised,
    EquivalenceRepealed,
    Fact,
    PersonsMerged,
)


class Reference:
    """Immutable: `folded` gives another one. Positions of facts are kept for refusals to name."""

    types: Sequence[type[Fact]] = (
        CertificationPublished,
        CertificationWithdrawn,
        EquivalenceRecognised,
        EquivalenceRepealed,
        PersonsMerged,
    )

    def __init__(self) -> None:
        self._versions: dict[str, tuple[CertificationPublished, ...]] = {}
        self._withdrawn: dict[str, CertificationWithdrawn] = {}
        self._bloc_competences: dict[str, frozenset[str]] = {}
        self._equivalences: dict[str, EquivalenceRecognised] = {}
        self._repealed_from: dict[str, date] = {}
        self._kept: dict[str, str] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._positions: dict[tuple[type[Fact], str], int] = {}

    def folded(self, facts: Sequence[tuple[int, Fact]]) -> "Reference":
        after = copy(self)
        for name, value in vars(self).items():
            setattr(after, name, dict(value))
        for position, fact in facts:
            after._fold(position, fact)
        return after

    def _fold(self, position: int, fact: Fact) -> None:
        match fact:
            case CertificationPublished(certification_id=id_):
                self._versions[id_] = (*self._versions.get(id_, ()), fact)
                for bloc in fact.blocs:
                    self._bloc_competences.setdefault(bloc.bloc_id, competence_ids(bloc))
            case CertificationWithdrawn(certification_id=id_):
                self._withdrawn[id_] = fact
            case EquivalenceRecognised(equivalence_id=id_):
                self._equivalences[id_] = fact
            case EquivalenceRepealed(equivalence_id=id_):
                self._repealed_from[id_] = fact.effective_from
            case PersonsMerged(kept_id=kept_id, merged_id=id_):
                names = (*self.names(kept_id), *self.names(id_))
                self._names.pop(id_, None)
                self._names[kept_id] = names
                self._kept.update(dict.fromkeys(names[1:], kept_id))
            case _:
                raise TypeError(f"{fact.name} is not part of the reference")
        self._positions[type(fact), id_] = position

    def position(self, fact_type: type[Fact], id_: str) -> int:
        """Where the last fact of this type about this id stands; for a merge, the id is merged_id."""
        return self._positions[fact_type, id_]

    def versions(self, certification_id: str) -> tuple[CertificationPublished, ...]:
        """All versions in order, none when the certification is unknown."""
        return self._versions.get(certification_id, ())

    def version(self, certification_id: str, version: int) -> CertificationPublished:
        """A version that a recorded fact names."""
        return self._versions[certification_id][version - 1]

    def version_in_force(self, certification_id: str, day: date) -> CertificationPublished | None:
        """The highest version with effective_from ≤ day (R1)."""
        in_force = [v for v in self.versions(certification_id) if v.effective_from <= day]
        return in_force[-1] if in_force else None

    def withdrawal(self, certification_id: str) -> CertificationWithdrawn | None:
        return self._withdrawn.get(certification_id)

    def bloc_competences(self, bloc_id: str) -> frozenset[str] | None:
        """The competence ids that a published bloc keeps for ever (C5)."""
        return self._bloc_competences.get(bloc_id)

    def equivalence(self, equivalence_id: str) -> EquivalenceRecognised | None:
        return self._equivalences.get(equivalence_id)

    def repealed_from(self, equivalence_id: str) -> date | None:
        """The first day on which the equivalence no longer holds."""
        return self._repealed_from.get(equivalence_id)

    def kept(self, person_id: str) -> str:
        """The id under which a person is known now (M1)."""
        return self._kept.get(person_id, person_id)

    def names(self, person_id: str) -> tuple[str, ...]:
        """All ids of a person, the kept one first. Facts recorded before a merge keep the id of their time."""
        kept_id = self.kept(person_id)
        return self._names.get(kept_id, (kept_id,))


def competence_ids(bloc: Bloc) -> frozenset[str]:
    return frozenset(competence.competence_id for competence in bloc.competences)


def bloc_of(version: CertificationPublished, bloc_id: str) -> Bloc:
    """A bloc that the version is known to have."""
    return next(bloc for bloc in version.blocs if bloc.bloc_id == bloc_id)
