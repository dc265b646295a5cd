"""Careers at random: what persons and the branch do, one command after another, each decided on what came before.

A step is a few numbers that choose among the things known so far, so that careers shrink well and most steps are valid.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st

from contracts.facts import (
    BlocValidated,
    CandidateRegistered,
    CertificateAwarded,
    CertificationPublished,
    EquivalenceRecognised,
    EvaluationRecorded,
    Fact,
    Part,
    RegistrationClosed,
    RegistrationReopened,
    given,
)
from tests.domain import world
from tests.domain.world import ANNA, ANNE, BENO, FIT, FITTER, PERSONS, READ, WELD, acquired, fiche, found, uid

F = TypeVar("F", bound=Fact)

START = date(2020, 1, 1)
PEOPLE = (ANNA, ANNE, BENO)
BEGINNING: tuple[Fact, ...] = (world.published(rncp=fiche()), FITTER, *PERSONS)
"""One certification with a fiche and one without; they share a bloc."""

BLOCS = {"weld": WELD, "read": READ, "fit": FIT}

Step = tuple[str, int, int, int]
"""What is tried, two choices, and how many days pass before it."""


VERBS = (
    *("register",) * 8, *("finish",) * 6, *("evaluate",) * 4, *("correct",) * 3, *("validate",) * 4, "award",
    *("close",) * 3, "reopen", "invalidate",
    *("revoke",) * 2, "merge", "erase", *("recognise",) * 2, "repeal", "publish",
)  # fmt: skip
"""What may be tried, the likelier the oftener."""


def steps() -> st.SearchStrategy[list[Step]]:
    choice = st.integers(0, 11)
    days = st.sampled_from((0, 0, 1, 5, 30, 200))
    return st.lists(st.tuples(st.sampled_from(VERBS), choice, choice, days), min_size=20, max_size=50)


class Career:
    """What has happened so far, and what may be tried next."""

    def __init__(self) -> None:
        self.facts: list[Fact] = list(BEGINNING)
        self.open: dict[str, CandidateRegistered] = {}
        self.today = START
        self._tried = 0

    def commands(self, step: Step) -> Iterator[tuple[Part, str]]:
        """The commands of a step, each with the day on which it comes; take one before the next is made."""
        verb, a, b, days = step
        self.today += timedelta(days=days)
        making: Callable[[int, int], Iterator[Part]] = getattr(self, f"_{verb}")
        for command in making(a, b):
            yield command, self.today.isoformat()

    def happened(self, fact: Fact) -> None:
        self.facts.append(fact)
        match fact:
            case CandidateRegistered():
                self.open[fact.registration_id] = fact
            case RegistrationClosed() | CertificateAwarded():
                self.open.pop(fact.registration_id, None)
            case RegistrationReopened():
                known = (f for f in self.facts if isinstance(f, CandidateRegistered))
                self.open |= {f.registration_id: f for f in known if f.registration_id == fact.registration_id}

    def _registration(self, choice: int) -> list[CandidateRegistered]:
        """A registration, an open one if there is one, as a rule."""
        if choice == 11 or not self.open:
            return self._of(CandidateRegistered, choice)
        return [list(self.open.values())[choice % len(self.open)]]

    def _of(self, kind: type[F], choice: int) -> list[F]:
        """One of the facts of a kind, or none: late ones rather than early ones."""
        facts = [fact for fact in reversed(self.facts) if isinstance(fact, kind)]
        return facts[choice % len(facts) :][:1] if facts else []

    def _day(self, back: int = 0) -> str:
        return (self.today - timedelta(days=back)).isoformat()

    def _new(self, kind: str) -> str:
        self._tried += 1
        return uid(f"{kind} {self._tried}")

    def _competences(self, bloc_id: str) -> list[str]:
        return [competence["competence_id"] for competence in BLOCS[bloc_id]["competences"]]

    def _target(self, registration: CandidateRegistered) -> list[str]:
        usual = {"cqpm-welder": ["weld", "read"], "cqpm-fitter": ["fit", "read"]}[registration.certification_id]
        return list(given(registration.bloc_ids) or usual)

    def _register(self, a: int, b: int) -> Iterator[Part]:
        certification_id = ("cqpm-welder", "cqpm-fitter")[a % 2]
        members: dict[str, Any] = {"target": "CERTIFICATION"}
        if b > 6:
            members = {"target": "BLOCS", "bloc_ids": [("read", "weld" if a % 2 == 0 else "fit")[b % 2]]}
        yield world.register(
            registration_id=self._new("registration"),
            person_id=(*PEOPLE, ANNA, ANNA, ANNE)[a // 2],
            certification_id=certification_id,
            registered_on=self._day(back=b),
            **members,
        )

    def _evaluate(self, a: int, b: int) -> Iterator[Part]:
        for registration in self._registration(a):
            target = self._target(registration)
            bloc_id = target[b % len(target)]
            outcomes = acquired(*self._competences(bloc_id))
            if b > 5:
                outcomes = outcomes[:1] if b % 4 < 2 else outcomes[-1:]
            if b == 11:
                outcomes = found(**{outcomes[0]["competence_id"]: "NOT_ACQUIRED"})
            yield world.evaluate(
                evaluation_id=self._new("evaluation"),
                registration_id=registration.registration_id,
                bloc_id=bloc_id,
                outcomes=outcomes,
                evaluated_on=self._day(),
            )

    def _correct(self, a: int, b: int) -> Iterator[Part]:
        for evaluation in self._of(EvaluationRecorded, a):
            outcome = ("ACQUIRED", "NOT_ACQUIRED")[b % 2]
            outcomes = found(**{self._competences(evaluation.bloc_id)[-1]: outcome})
            yield world.correct(evaluation_id=evaluation.evaluation_id, outcomes=outcomes, corrected_on=self._day())

    def _validate(self, a: int, b: int) -> Iterator[Part]:
        for registration in self._registration(a):
            for bloc_id in self._target(registration):
                yield world.validate(
                    validation_id=self._new("validation"),
                    registration_id=registration.registration_id,
                    bloc_id=bloc_id,
                    validated_on=self._day(),
                    **self._basis(registration, bloc_id, b),
                )

    def _basis(self, own: CandidateRegistered, bloc_id: str, b: int) -> dict[str, str]:
        """What a bloc may be validated on: what the person holds already, as a rule, where b says so."""
        held = [f for f in self.facts if isinstance(f, BlocValidated) and (f.person_id == own.person_id or b == 11)]
        sources = [f.validation_id for f in held if f.bloc_id == bloc_id]
        equivalences = [
            f.equivalence_id
            for f in self.facts
            if isinstance(f, EquivalenceRecognised) and f.target.certification_id == own.certification_id and held
        ]
        if b % 2 and sources:
            return {"basis": "CARRIED_OVER", "source_validation_id": sources[b % len(sources)]}
        if b % 4 > 1 and equivalences:
            return {"basis": "EQUIVALENCE", "equivalence_id": equivalences[b % len(equivalences)]}
        return {"basis": "EVALUATION"}

    def _award(self, a: int, b: int) -> Iterator[Part]:
        for registration in self._registration(a):
            yield world.award(
                f"0000000{b % 4}",
                f"1111111{b % 4}",
                registration_id=registration.registration_id,
                certificate_number=None if b % 2 else f"Number-{b}",
                awarded_on=self._day(),
            )

    def _finish(self, a: int, b: int) -> Iterator[Part]:
        """All that leads from a registration to its certificate."""
        for choice in (0, 1):
            yield from self._evaluate(a, choice)
        yield from self._validate(a, b)
        yield from self._award(a, b)

    def _close(self, a: int, b: int) -> Iterator[Part]:
        for registration in self._registration(a):
            reason = ("FAILED", "CANCELLED", "FAILED", "ABSENT")[b % 4]
            yield world.close(registration_id=registration.registration_id, reason=reason, closed_on=self._day())

    def _reopen(self, a: int, b: int) -> Iterator[Part]:
        for registration in self._of(CandidateRegistered, a):
            yield world.reopen(registration_id=registration.registration_id, reopened_on=self._day())

    def _invalidate(self, a: int, b: int) -> Iterator[Part]:
        for validation in self._of(BlocValidated, a):
            yield world.invalidate(validation_id=validation.validation_id, decided_on=self._day())

    def _revoke(self, a: int, b: int) -> Iterator[Part]:
        for award in self._of(CertificateAwarded, a % 4):
            number = award.certificate_number
            yield world.revoke(certificate_number=number.lower() if b % 2 else number, decided_on=self._day())

    def _merge(self, a: int, b: int) -> Iterator[Part]:
        if b > 6:
            yield world.merge(kept_id=PEOPLE[a % 3], merged_id=PEOPLE[b % 3])

    def _erase(self, a: int, b: int) -> Iterator[Part]:
        if b > 8:
            yield world.erase(person_id=PEOPLE[a % 3])

    def _recognise(self, a: int, b: int) -> Iterator[Part]:
        sides = [
            {"certification_id": "cqpm-fitter", "bloc_ids": ["fit"]},
            {"certification_id": "cqpm-welder", "bloc_ids": ["weld"]},
        ]
        kind = "TOTAL" if b % 3 == 0 else "PARTIAL"
        if kind == "TOTAL":
            sides = [{"certification_id": side["certification_id"]} for side in sides]
        source, target = sides if a % 2 else sides[::-1]
        yield world.recognise(equivalence_id=self._new("equivalence"), kind=kind, source=source, target=target)

    def _repeal(self, a: int, b: int) -> Iterator[Part]:
        for equivalence in self._of(EquivalenceRecognised, a):
            yield world.repeal(equivalence_id=equivalence.equivalence_id, effective_from=self._day(back=-b))

    def _publish(self, a: int, b: int) -> Iterator[Part]:
        for version in self._of(CertificationPublished, a % 2):
            blocs = [READ, {"cqpm-welder": WELD, "cqpm-fitter": FIT}[version.certification_id]]
            yield world.publish(
                certification_id=version.certification_id,
                version=version.version + 1,
                blocs=blocs,
                effective_from=self._day(back=-b),
                rncp=fiche(registered_from=self._day(), registered_until=self._day(back=-400)) if b % 2 else None,
            )
