"""The pathways of a person on a day: a pure function of what the person holds and of the catalogue."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from contracts.facts import CertificationPublished, EquivalenceRecognised
from contracts.facts.fact import date
from services.projections.catalogue.fold import Catalogue
from services.projections.pathways.fold import Career


class Pathway(Struct, frozen=True, kw_only=True):
    """How the blocs of a certification stand for a person. Each is in one of the lists, in the version's order.

    held: usable that day, or a component of a live certificate. equivalent: not held, but an equivalence in force that
    day would give it. missing: neither.
    """

    certification_id: str
    version: int
    held: list[str]
    equivalent: list[str]
    missing: list[str]


def pathways(career: Career, catalogue: Catalogue, day: date) -> list[Pathway]:
    """One for each certification in force that day: fewest missing first, then by id."""
    held, recognised = career.blocs(day), _Recognised(career, catalogue, day)
    in_force = [
        certification.shown(day).fact
        for certification in catalogue.certifications.values()
        if certification.status(day) == "IN_FORCE"
    ]
    found = [_pathway(version, held, recognised) for version in in_force]
    return sorted(found, key=lambda pathway: (len(pathway.missing), pathway.certification_id))


def _pathway(version: CertificationPublished, held: frozenset[str], recognised: "_Recognised") -> Pathway:
    blocs: dict[str, list[str]] = {"held": [], "equivalent": [], "missing": []}
    for bloc in version.blocs:
        if bloc.bloc_id in held:
            blocs["held"].append(bloc.bloc_id)
        elif recognised.gives(version.certification_id, bloc.bloc_id):
            blocs["equivalent"].append(bloc.bloc_id)
        else:
            blocs["missing"].append(bloc.bloc_id)
    return Pathway(certification_id=version.certification_id, version=version.version, **blocs)


class _Recognised:
    """What equivalences would give to somebody on a day (B3)."""

    def __init__(self, career: Career, catalogue: Catalogue, day: date) -> None:
        held = career.blocs(day)
        certifications = {award.certification_id for award in career.certifications(day)}
        in_force = (one.fact for one in catalogue.equivalences.values() if one.status(day) == "IN_FORCE")
        self._whole: set[str] = set()
        self._blocs: defaultdict[str, set[str]] = defaultdict(set)
        for equivalence in _satisfied(in_force, held, certifications):
            if equivalence.kind == "TOTAL":
                self._whole.add(equivalence.target.certification_id)
            else:
                self._blocs[equivalence.target.certification_id] |= set(equivalence.target.bloc_ids)

    def gives(self, certification_id: str, bloc_id: str) -> bool:
        return certification_id in self._whole or bloc_id in self._blocs.get(certification_id, ())


def _satisfied(
    equivalences: Iterable[EquivalenceRecognised], held: frozenset[str], certifications: set[str]
) -> Iterable[EquivalenceRecognised]:
    """Those whose source is held: for TOTAL the certificate, for PARTIAL every bloc."""
    for equivalence in equivalences:
        source = equivalence.source
        if equivalence.kind == "TOTAL":
            if source.certification_id in certifications:
                yield equivalence
        elif held.issuperset(source.bloc_ids):
            yield equivalence
