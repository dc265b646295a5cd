"""Posts about registrations, evaluations, blocs and certificates that are probably right."""

from collections.abc import Callable
from datetime import date, timedelta

from tests.model.catalogue_rules import competence_ids
from tests.model.choices import EPOCH, LIMIT, Choices
from tests.model.forms import day
from tests.model.small_world import Data, uid
from tests.model.world import Registration


class CareerPosts(Choices):
    """Each method gives the data of a post, or None while there is nothing that it could be about."""

    def candidate(self) -> Data | None:
        targets = [equivalence["target"]["certification_id"] for equivalence in self._world.equivalences.values()]
        certification_id = self._dice.choice([*self._world.versions, *targets])
        registered_on = self._limit_day() if self._dice.random() < LIMIT else day(self._day(EPOCH, date(2023, 12, 31)))
        version = self._world.in_force(certification_id, registered_on)
        data: Data = {
            "registration_id": self._new_id("registration"),
            "person_id": self._dice.choice(self.persons()),
            "certification_id": certification_id,
            "target": "CERTIFICATION",
            "route": self._dice.choice(["FORMATION", "FORMATION", "VAE", "CONTRAT_PRO"]),
            "status": self._dice.choice(["SALARIE", "ALTERNANT", "DEMANDEUR_EMPLOI", "INDEPENDANT"]),
            "registered_on": registered_on.isoformat(),
        }
        if version is not None and self._dice.random() < 0.5:
            ids = [bloc["bloc_id"] for bloc in version["blocs"]]
            data |= {"target": "BLOCS", "bloc_ids": self._dice.sample(ids, self._dice.randrange(1, len(ids) + 1))}
        if version is not None:
            data |= self._sometimes(0.2, version=version["version"])
        data |= self._sometimes(0.3, region=self._dice.choice(["11", "84", "976"]))
        data |= self._sometimes(0.2, branch=self._dice.choice(["metallurgie", "chimie"]))
        return data | self._sometimes(0.4, prior_level=self._dice.randrange(3, 7))

    def _missing(self, registration: Registration) -> list[Data]:
        validated = self._world.validated(registration)
        return [bloc for bloc in self._world.blocs(registration) if bloc["bloc_id"] not in validated]

    def _lacking(self, registration: Registration, bloc_: Data) -> set[str]:
        found = self._world.outcomes(registration, bloc_["bloc_id"])
        return {id_ for id_ in competence_ids(bloc_) if found.get(id_) != "ACQUIRED"}

    def evaluation(self) -> Data | None:
        registration = self._open()
        bloc_ = self._choose(self._missing(registration)) if registration else None
        if registration is not None and self._dice.random() < 0.03:  # perhaps outside the target
            version = self._world.version(registration.data["certification_id"], registration.data["version"])
            bloc_ = self._choose(version["blocs"])
        if registration is None or bloc_ is None:
            return None
        competences = sorted(self._lacking(registration, bloc_) or competence_ids(bloc_))
        if self._dice.random() < 0.2:
            competences = competences[:1]
        return {
            "evaluation_id": self._new_id("evaluation"),
            "registration_id": registration.id,
            "bloc_id": bloc_["bloc_id"],
            "outcomes": [{"competence_id": id_, "outcome": self._outcome()} for id_ in competences],
            "modality": "PROJET",
            "evaluated_on": self._day(registration.registered_on),
            "evaluators": ["evaluateur-1"],
        }

    def _outcome(self) -> str:
        return self._dice.choices(["ACQUIRED", "NOT_ACQUIRED", "ABSENT"], [9, 1, 1])[0]

    def correction(self) -> Data | None:
        evaluation = self._choose(list(self._world.evaluations.values()))
        if evaluation is None:
            return None
        ids = self._dice.sample(sorted(evaluation.outcomes), self._dice.randrange(1, len(evaluation.outcomes) + 1))
        return {
            "evaluation_id": evaluation.data["evaluation_id"],
            "outcomes": [{"competence_id": id_, "outcome": self._outcome()} for id_ in ids],
            "reason": "REVIEW",
            "corrected_on": self._day(day(evaluation.data["evaluated_on"])),
        }

    def validation(self) -> Data | None:
        registration = self._open()
        bloc_ = self._choose(self._missing(registration)) if registration else None
        if registration is None or bloc_ is None:
            return None
        data: Data = {
            "validation_id": self._new_id("validation"),
            "registration_id": registration.id,
            "bloc_id": bloc_["bloc_id"],
        }
        held = self._world.validations_of(registration.data["person_id"])
        ways: list[Callable[[Registration, Data], Data]] = [self._archived]
        if self._recognising(registration, bloc_) or self._dice.random() < 0.1:
            ways += [self._recognised] * 8
        if any(v.data["bloc_id"] == bloc_["bloc_id"] for v in held) or self._dice.random() < 0.1:
            ways += [self._carried] * 4
        if not self._lacking(registration, bloc_) or self._dice.random() < 0.1:
            ways += [self._evaluated] * 8
        if len(ways) == 1 and self._dice.random() < 0.7:
            return None
        return data | self._dice.choice(ways)(registration, bloc_)

    def _evaluated(self, registration: Registration, bloc_: Data) -> Data:
        evaluations = self._world.evaluations_in(registration, bloc_["bloc_id"])
        days = [day(evaluation.data["evaluated_on"]) for evaluation in evaluations]
        return {"basis": "EVALUATION", "validated_on": self._day(max(days, default=registration.registered_on))}

    def _recognising(self, registration: Registration, bloc_: Data) -> list[Data]:
        """The equivalences by which the bloc may be recognised, whatever the dates."""
        person_id, certification_id = registration.data["person_id"], registration.data["certification_id"]
        held = {validation.data["bloc_id"] for validation in self._world.validations_of(person_id)}
        whole = {c.data["certification_id"] for c in self._world.certificates_of(person_id) if c.is_whole()}
        return [
            equivalence
            for equivalence in self._world.equivalences.values()
            if equivalence["target"]["certification_id"] == certification_id
            and (
                equivalence["source"]["certification_id"] in whole
                if equivalence["kind"] == "TOTAL"
                else set(equivalence["source"]["bloc_ids"]) <= held
                and bloc_["bloc_id"] in equivalence["target"]["bloc_ids"]
            )
        ]

    def _recognised(self, registration: Registration, bloc_: Data) -> Data:
        known = self._recognising(registration, bloc_) or list(self._world.equivalences.values())
        equivalence = self._dice.choice(known)
        held = [v.validated_on for v in self._world.validations_of(registration.data["person_id"])]
        first = max(registration.registered_on, day(equivalence["valid_from"]), self._choose(held) or EPOCH)
        last = day(equivalence["valid_until"]) if "valid_until" in equivalence else None
        on = self._day(first, last)
        return {"basis": "EQUIVALENCE", "equivalence_id": equivalence["equivalence_id"], "validated_on": on}

    def _carried(self, registration: Registration, bloc_: Data) -> Data:
        held = self._world.validations_of(registration.data["person_id"])
        source = self._choose([v for v in held if v.data["bloc_id"] == bloc_["bloc_id"]] or held)
        if source is None:
            return {
                "basis": "CARRIED_OVER",
                "source_validation_id": uid("none"),
                "validated_on": self._today.isoformat(),
            }
        first = max(registration.registered_on, source.validated_on)
        last = day(source.data["usable_until"]) + timedelta(days=self._dice.randrange(2))
        on = self._day(first, last)
        return {"basis": "CARRIED_OVER", "source_validation_id": source.data["validation_id"], "validated_on": on}

    def _archived(self, registration: Registration, _bloc: Data) -> Data:
        first_day = self._world.first_day if self._dice.random() < 0.7 else None
        on = self._day(registration.registered_on, first_day and first_day - timedelta(days=1))
        return {"basis": "ARCHIVE", "validated_on": on} | self._sometimes(0.9, decision_ref="PV 12")

    def award(self) -> Data | None:
        ready = [r for r in self._world.registrations.values() if r.state == "OPEN" and not self._missing(r)]
        registration = self._choose(ready) if self._dice.random() < 0.9 else self._open()
        if registration is None:
            return None
        components = list(self._world.validated(registration).values())
        first = max((v.validated_on for v in components), default=registration.registered_on)
        last = min((day(v.data["usable_until"]) for v in components), default=None)
        last = last + timedelta(days=self._dice.choice([0, 0, 1])) if last else None
        number = f"Demo-{self._dice.choice('ABCDabcd')}{self._dice.randrange(10)}"
        data = {"registration_id": registration.id, "awarded_on": self._day(first, last)}
        return data | self._sometimes(0.3, certificate_number=number)

    def closing(self) -> Data | None:
        registration = self._open()
        if registration is None:
            return None
        reason = self._dice.choice(["FAILED", "FAILED", "WITHDRAWN", "CANCELLED", "ABSENT"])
        data = {
            "registration_id": registration.id,
            "reason": reason,
            "closed_on": self._day(registration.registered_on),
        }
        held = self._choose([jury for jury in self._world.juries.values() if jury["held_on"] == data["closed_on"]])
        return data | ({"jury_id": held["jury_id"]} if held and reason == "FAILED" else {})

    def reopening(self) -> Data | None:
        registration = self._choose([r for r in self._world.registrations.values() if r.state in {"CLOSED", "REVOKED"}])
        if registration is None or registration.since is None:
            return None
        on = self._day(registration.since)
        return {"registration_id": registration.id, "reason": "APPEAL", "reopened_on": on}

    def invalidation(self) -> Data | None:
        validation = self._choose(list(self._world.validations.values()))
        if validation is None:
            return None
        on = self._day(validation.validated_on)
        return {"validation_id": validation.data["validation_id"], "reason": "FRAUD", "decided_on": on}

    def revocation(self) -> Data | None:
        certificate = self._choose(list(self._world.certificates.values()))
        if certificate is None:
            return None
        number = certificate.data["certificate_number"]
        on = self._day(day(certificate.data["awarded_on"]))
        return {"certificate_number": self._dice.choice([number, number.lower()]), "reason": "FRAUD", "decided_on": on}
