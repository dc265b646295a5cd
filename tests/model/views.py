"""The read models of section 4, each computed from scratch. Rows without any count are left out; positions too."""

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.model.forms import day
from tests.model.world import Certificate, Data, Registration, Validation, World


def competencies(world: World, person_id: str, at: date) -> Data:
    """4.1. Certificates, blocs, competences and open registrations are ordered by their ids."""
    registrations = world.registrations_of(person_id)
    validations = world.validations_of(person_id)
    certificates = world.certificates_of(person_id)
    levels = [c.data["level"] for c in certificates if c.is_whole() and "level" in c.data]
    prior = [r for r in registrations if "prior_level" in r.data]
    first = min(prior, key=lambda r: r.registered_on, default=None)
    rows = [_certificate_row(certificate) for certificate in certificates]
    return {
        "person_id": world.who(person_id),
        "certificates": sorted(rows, key=lambda row: row["certificate_number"]),
        "blocs": sorted(
            (_bloc_row(world, validation, at) for validation in validations),
            key=lambda row: (row["bloc_id"], row["validation_id"]),
        ),
        "competences": _competences(world, validations),
        "prior_level": first.data["prior_level"] if first else None,
        "highest_level": max(levels, default=None),
        "open_registrations": sorted(r.id for r in registrations if r.state == "OPEN"),
    }


def _certificate_row(certificate: Certificate) -> Data:
    names = ("certificate_number", "kind", "family", "certification_id", "version", "title", "level", "awarded_on")
    row = {name: certificate.data[name] for name in names if name in certificate.data}
    return row | {"status": "LIVE" if certificate.live else "REVOKED"}


def _bloc(world: World, validation: Validation) -> Data:
    """The bloc as the version of its registration describes it."""
    version = world.version(validation.data["certification_id"], validation.data["version"])
    return next(bloc for bloc in version["blocs"] if bloc["bloc_id"] == validation.data["bloc_id"])


def _bloc_row(world: World, validation: Validation, at: date) -> Data:
    names = ("bloc_id", "validation_id", "basis", "certification_id", "validated_on", "usable_until")
    row: Data = {name: validation.data[name] for name in names}
    return row | {"title": _bloc(world, validation)["title"], "usable": validation.usable(at)}


def _competences(world: World, validations: Iterable[Validation]) -> list[Data]:
    """One row for each competence and bloc; acquired_on is the earliest live validated_on."""
    rows: dict[tuple[str, str], Data] = {}
    for validation in sorted(validations, key=lambda v: v.validated_on):
        for competence in _bloc(world, validation)["competences"]:
            key = (competence["competence_id"], validation.data["bloc_id"])
            row = {"bloc_id": validation.data["bloc_id"], "acquired_on": validation.data["validated_on"]}
            rows.setdefault(key, competence | row)
    return [rows[key] for key in sorted(rows)]


def registration(world: World, registration_id: str) -> Data:
    """GET /v1/registrations/{id}."""
    found = world.registrations[registration_id]
    names = ("registration_id", "certification_id", "version", "target")
    view = {name: found.data[name] for name in names} | {
        "person_id": world.who(found.data["person_id"]),
        "state": found.state,
        "blocs": [_bloc_progress(world, found, bloc) for bloc in world.blocs(found)],
    }
    numbers = [
        certificate.data["certificate_number"]
        for certificate in world.certificates.values()
        if certificate.data["registration_id"] == registration_id
    ]
    if numbers and found.state in {"AWARDED", "REVOKED"}:
        view["certificate_number"] = numbers[-1]
    return view


def _bloc_progress(world: World, found: Registration, bloc: Data) -> Data:
    outcomes = world.outcomes(found, bloc["bloc_id"])
    ids = [competence["competence_id"] for competence in bloc["competences"]]
    row: Data = {
        "bloc_id": bloc["bloc_id"],
        "competences": [{"competence_id": id_, "outcome": outcomes.get(id_)} for id_ in ids],
    }
    validation = world.validated(found).get(bloc["bloc_id"])
    return row if validation is None else row | {"validation_id": validation.data["validation_id"]}


def certificate(world: World, number: str) -> Data | None:
    """GET /v1/certificates/{number}; None is 404."""
    found = world.certificates.get(number.lower())
    if found is None:
        return None
    names = ("rncp_code",)
    version = world.version(found.data["certification_id"], found.data["version"])
    titles = {bloc["bloc_id"]: bloc["title"] for bloc in version["blocs"]}
    blocs = [{"bloc_id": part["bloc_id"], "title": titles[part["bloc_id"]]} for part in found.data["components"]]
    return _certificate_row(found) | {name: found.data[name] for name in names if name in found.data} | {"blocs": blocs}


def counts(world: World, year: int, branch: str | None = None) -> Data:
    """4.2."""
    registered = [
        r.data
        for r in world.registrations.values()
        if r.registered_on.year == year
        and not (r.state == "CLOSED" and r.reason == "CANCELLED")
        and branch in {None, r.data["branch"]}
    ]
    awarded = [
        c
        for c in world.certificates.values()
        if day(c.data["awarded_on"]).year == year and branch in {None, c.data["branch"]}
    ]
    live = [c.data for c in awarded if c.live]
    objective = world.objectives.get(year)
    return {
        "year": year,
        "registered": len(registered),
        "beneficiaries": len(live),
        "persons": len({world.who(award["person_id"]) for award in live}),
        "success_rate": ratio(len(live), len(registered)),
        "revoked": len(awarded) - len(live),
        "by_status": _by("reporting_status", registered, live, "SALARIE", "DEMANDEUR_EMPLOI", "AUTRE"),
        "by_family": _by("family", registered, live, "CQPM", "CQPI", "CCPM", "CCPI", "BLOC"),
        "by_certification": _rows("certification_id", registered, live),
        "by_region": _rows("region", registered, live),
        "by_branch": _rows("branch", registered, live),
        "objective": None
        if objective is None
        else {"beneficiaries": objective, "progress": ratio(len(live), objective)},
    }


def ratio(part: int, whole: int) -> float | None:
    """4 decimals, rounded half up; None when the divisor is 0."""
    if whole == 0:
        return None
    return float((Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_HALF_UP))


def _by(name: str, registered: list[Data], live: list[Data], *always: Any) -> dict[Any, Data]:
    keys = dict.fromkeys([*always, *(data.get(name) for data in [*registered, *live])])
    return {
        key: {
            "registered": sum(data.get(name) == key for data in registered),
            "beneficiaries": sum(data.get(name) == key for data in live),
        }
        for key in keys
    }


def _rows(name: str, registered: list[Data], live: list[Data]) -> list[Data]:
    groups = _by(name, registered, live)
    return [{name: key} | groups[key] for key in sorted(groups, key=lambda key: (key is not None, key or ""))]
