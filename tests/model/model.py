"""The model: a registry that remembers everything in dictionaries and answers as the contract says."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from tests.model import award_rules, catalogue_rules, rules, views
from tests.model.forms import FORMS, day, misplaced, with_defaults
from tests.model.rules import Rule, Violation
from tests.model.world import Certificate, Data, Evaluation, Registration, Validation, World

PREFIX, SUFFIX = "certibranche.", ".v1"

RULES: dict[str, Rule] = {
    "certification.published": catalogue_rules.certification_published,
    "certification.withdrawn": catalogue_rules.certification_withdrawn,
    "equivalence.recognised": catalogue_rules.equivalence_recognised,
    "equivalence.repealed": catalogue_rules.equivalence_repealed,
    "objective.set": catalogue_rules.objective_set,
    "candidate.registered": rules.candidate_registered,
    "registration.closed": rules.registration_closed,
    "registration.reopened": rules.registration_reopened,
    "evaluation.recorded": award_rules.evaluation_recorded,
    "evaluation.corrected": award_rules.evaluation_corrected,
    "jury.held": rules.jury_held,
    "bloc.validated": award_rules.bloc_validated,
    "bloc.invalidated": award_rules.bloc_invalidated,
    "certificate.awarded": award_rules.certificate_awarded,
    "certificate.revoked": award_rules.certificate_revoked,
}


@dataclass(frozen=True)
class Accepted:
    """Recorded at that position with that data; `new` is false for an identical retry (200 instead of 201)."""

    data: Data
    position: int
    new: bool = True


@dataclass(frozen=True)
class Refused:
    """Every (status, rule) that the registry may name; the rule is None where no rule of the contract refuses."""

    reasons: frozenset[Violation]


class Model:
    """The whole registry, one fact at a time."""

    def __init__(self) -> None:
        self.world = World()
        self._receipts: dict[tuple[str, str], tuple[str, Accepted]] = {}

    def post(
        self,
        type_: str,
        data: Any,
        today: date,
        *,
        source: str = "urn:model",
        id_: str | None = None,
        number: str | None = None,
    ) -> Accepted | Refused:
        """Post a fact on the (Europe/Paris) day that the registry records it.

        id_: None for an id never used before. number: the certificate number that the registry made, if it made one.
        """
        content = json.dumps([type_, data], sort_keys=True)
        conflict: set[Violation] = set()
        if id_ is not None and (first := self._receipts.get((source, id_))):
            if first[0] == content:  # I1
                return Accepted(first[1].data, first[1].position, new=False)
            conflict = {(409, "I1")}
        name = type_.removeprefix(PREFIX).removesuffix(SUFFIX)
        if type_ != f"{PREFIX}{name}{SUFFIX}" or name not in FORMS or not FORMS[name](data):
            return Refused(frozenset(conflict | {(400, None)}))
        data = with_defaults(name, data)
        broken, derived = RULES[name](self.world, data, today)
        broken |= misplaced(name, data)
        if conflict or broken:
            return Refused(frozenset(conflict or broken))
        if name == "certificate.awarded" and "certificate_number" not in data:
            derived["certificate_number"] = number or award_rules.made_number(derived["family"], data["awarded_on"])
        accepted = self._record(name, data | derived, today)
        if id_ is not None:
            self._receipts[source, id_] = (content, accepted)
        return accepted

    def _record(self, name: str, data: Data, today: date) -> Accepted:
        self.world.log.append((name, data))
        self.world.first_day = self.world.first_day or today
        _remember(self.world, name, data)
        return Accepted(data, len(self.world.log))

    # persons

    def register_person(self, person_id: str, today: date) -> None:
        """The registry has made a new person and given that id."""
        self._record("person.registered", {"person_id": person_id}, today)

    def merge(self, kept_id: str, merged_id: str, today: date) -> Accepted | Refused:
        """M1. In the URL an unknown or erased person is 404 or 410 before any rule."""
        world = self.world
        gone = {
            person for person in (kept_id, merged_id) if world.who(person) in world.erased or person in world.merged
        }
        broken = rules.violations(
            (kept_id == merged_id, 422, "M1"),
            (not {kept_id, merged_id} <= set(world.persons), 422, "M1"),
            (bool(gone), 409, "M1"),
        )
        if broken:
            return Refused(frozenset(broken | self._in_url(kept_id)))
        return self._record("persons.merged", {"kept_id": kept_id, "merged_id": merged_id}, today)

    def erase(self, person_id: str, today: date) -> Accepted | Refused:
        """M2, under any of the person's ids."""
        if broken := self._in_url(person_id):
            return Refused(frozenset(broken))
        if any(registration.state == "OPEN" for registration in self.world.registrations_of(person_id)):
            return Refused(frozenset({(409, "M2")}))
        return self._record("person.erased", {"person_id": self.world.who(person_id)}, today)

    def _in_url(self, person_id: str) -> set[Violation]:
        if person_id not in self.world.persons:
            return {(404, None)}
        return {(410, None)} if self.world.who(person_id) in self.world.erased else set()

    # section 4

    def competencies(self, person_id: str, at: date) -> Data:
        return views.competencies(self.world, person_id, at)

    def counts(self, year: int, branch: str | None = None) -> Data:
        return views.counts(self.world, year, branch)

    def registration(self, registration_id: str) -> Data:
        return views.registration(self.world, registration_id)

    def certificate(self, number: str) -> Data | None:
        return views.certificate(self.world, number)


def _remember(world: World, name: str, data: Data) -> None:
    match name:
        case "certification.published":
            world.versions.setdefault(data["certification_id"], []).append(data)
        case "certification.withdrawn":
            world.withdrawals[data["certification_id"]] = data
        case "equivalence.recognised":
            world.equivalences[data["equivalence_id"]] = data
        case "equivalence.repealed":
            world.repeals[data["equivalence_id"]] = data
        case "objective.set":
            world.objectives[data["year"]] = data["beneficiaries"]  # O1
        case "person.registered":
            world.persons.append(data["person_id"])
        case "persons.merged":
            world.merged[data["merged_id"]] = data["kept_id"]
        case "person.erased":
            world.erased.append(data["person_id"])
        case "jury.held":
            world.juries[data["jury_id"]] = data
        case "evaluation.recorded":
            world.evaluations[data["evaluation_id"]] = Evaluation(data, len(world.log), _outcomes(data))
        case "evaluation.corrected":
            world.evaluations[data["evaluation_id"]].outcomes |= _outcomes(data)  # V6
        case "bloc.validated":
            world.validations[data["validation_id"]] = Validation(data)
        case "bloc.invalidated":
            world.validations[data["validation_id"]].live = False
        case _:
            _remember_registration(world, name, data)


def _remember_registration(world: World, name: str, data: Data) -> None:
    """What changes the state of a registration."""
    if name == "candidate.registered":
        world.registrations[data["registration_id"]] = Registration(data)
        return
    registration = world.registrations[data["registration_id"]]
    match name:
        case "registration.closed":
            registration.state, registration.reason = "CLOSED", data["reason"]
            registration.since = day(data["closed_on"])
        case "registration.reopened":
            registration.state, registration.reason = "OPEN", None
        case "certificate.awarded":
            registration.state = "AWARDED"
            world.certificates[data["certificate_number"].lower()] = Certificate(data)
        case "certificate.revoked":
            world.certificates[data["certificate_number"].lower()].live = False
            registration.state, registration.since = "REVOKED", day(data["decided_on"])


def _outcomes(data: Data) -> dict[str, str]:
    return {outcome["competence_id"]: outcome["outcome"] for outcome in data["outcomes"]}
