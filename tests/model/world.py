"""What the facts so far amount to, and the questions that rules and views ask of it."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.model.forms import day

Data = dict[str, Any]


@dataclass
class Registration:
    """state: OPEN, CLOSED, AWARDED or REVOKED; since: the date of the closing or revocation, where there is one."""

    data: Data
    state: str = "OPEN"
    reason: str | None = None
    since: date | None = None

    @property
    def id(self) -> str:
        return str(self.data["registration_id"])

    @property
    def registered_on(self) -> date:
        return day(self.data["registered_on"])


@dataclass
class Evaluation:
    data: Data
    position: int
    outcomes: dict[str, str]


@dataclass
class Validation:
    data: Data
    live: bool = True

    @property
    def validated_on(self) -> date:
        return day(self.data["validated_on"])

    def usable(self, at: date) -> bool:
        return self.live and self.validated_on <= at <= day(self.data["usable_until"])


@dataclass
class Certificate:
    data: Data
    live: bool = True

    def holds(self, validation: Validation, by: date) -> bool:
        """Whether the validation is a component of this certificate, live, of kind CERTIFICATION, awarded by then."""
        parts = [part["validation_id"] for part in self.data["components"]]
        return self.is_whole(by) and validation.data["validation_id"] in parts

    def is_whole(self, by: date = date.max) -> bool:
        return self.live and self.data["kind"] == "CERTIFICATION" and day(self.data["awarded_on"]) <= by


@dataclass
class World:
    """first_day: the day of position 1. merged: kept_id by merged_id."""

    log: list[tuple[str, Data]] = field(default_factory=list)
    first_day: date | None = None
    versions: dict[str, list[Data]] = field(default_factory=dict)
    withdrawals: dict[str, Data] = field(default_factory=dict)
    equivalences: dict[str, Data] = field(default_factory=dict)
    repeals: dict[str, Data] = field(default_factory=dict)
    objectives: dict[int, int] = field(default_factory=dict)
    persons: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    registrations: dict[str, Registration] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    juries: dict[str, Data] = field(default_factory=dict)
    validations: dict[str, Validation] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)

    # the catalogue

    def version(self, certification_id: str, number: int) -> Data:
        return self.versions[certification_id][number - 1]

    def in_force(self, certification_id: str, at: date) -> Data | None:
        """R1: the highest version with effective_from ≤ the day."""
        known = self.versions.get(certification_id, [])
        effective = [version for version in known if day(version["effective_from"]) <= at]
        return effective[-1] if effective else None

    def blocs(self, registration: Registration) -> list[Data]:
        """The blocs in the registration's target, in the version's order."""
        version = self.version(registration.data["certification_id"], registration.data["version"])
        wanted = registration.data.get("bloc_ids")
        return [bloc for bloc in version["blocs"] if wanted is None or bloc["bloc_id"] in wanted]

    # persons

    def who(self, person_id: str) -> str:
        """M1: merged_id is another name of kept_id."""
        while person_id in self.merged:
            person_id = self.merged[person_id]
        return person_id

    def same(self, person_id: str, data: Data) -> bool:
        return self.who(person_id) == self.who(data["person_id"])

    def registrations_of(self, person_id: str) -> list[Registration]:
        return [r for r in self.registrations.values() if self.same(person_id, r.data)]

    def validations_of(self, person_id: str) -> list[Validation]:
        return [v for v in self.validations.values() if v.live and self.same(person_id, v.data)]

    def certificates_of(self, person_id: str) -> list[Certificate]:
        return [c for c in self.certificates.values() if self.same(person_id, c.data)]

    # one registration

    def validated(self, registration: Registration) -> dict[str, Validation]:
        """The live validations in the registration, by bloc."""
        here = [v for v in self.validations.values() if v.live and v.data["registration_id"] == registration.id]
        return {validation.data["bloc_id"]: validation for validation in here}

    def evaluations_in(self, registration: Registration, bloc_id: str) -> list[Evaluation]:
        of_bloc = [e for e in self.evaluations.values() if e.data["bloc_id"] == bloc_id]
        return [e for e in of_bloc if e.data["registration_id"] == registration.id]

    def outcomes(self, registration: Registration, bloc_id: str) -> dict[str, str]:
        """V6: for each competence the evaluation with the latest evaluated_on decides, then the later position."""
        decided: dict[str, str] = {}
        evaluations = self.evaluations_in(registration, bloc_id)
        for evaluation in sorted(evaluations, key=lambda e: (e.data["evaluated_on"], e.position)):
            decided |= evaluation.outcomes
        return decided


def fiche_in_force(version: Data, *days: date) -> bool:
    """First and last days of fiches are included (C6)."""
    fiche = version.get("rncp")
    return fiche is not None and any(
        day(fiche["registered_from"]) <= at <= day(fiche["registered_until"]) for at in days
    )


def later(at: date, *, months: int) -> date:
    """So many months later, or earlier; 29 February gives 28 February where there is none (B5)."""
    years, month = divmod(at.month - 1 + months, 12)
    try:
        return date(at.year + years, month + 1, at.day)
    except ValueError:
        assert (at.month, at.day) == (2, 29)
        return date(at.year + years, 2, 28)
