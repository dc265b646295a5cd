"""The demo's year, as far as it can be judged without a registry."""

import hashlib
import re
from collections import Counter
from datetime import date
from typing import Any

import msgspec
import pytest

from contracts.facts import (
    FACTS,
    AwardCertificate,
    CloseRegistration,
    RecordEvaluation,
    RegisterCandidate,
    SetObjective,
    ValidateBloc,
)
from services.demo.career import Career
from services.demo.catalogue import Catalogue, catalogue
from services.demo.event import Event
from services.demo.plan import FIGURES, MIX, SUCCESS_RATE, plans
from services.demo.year import careers, careers_total, preamble

REGIONS = {"11", "24", "27", "28", "32", "44", "52", "53", "75", "76", "84", "93", "94"}
YEAR = range(date(2018, 1, 1).toordinal(), date(2018, 12, 31).toordinal() + 1)


Year = list[list[Event]]
Facts = dict[type, list[Any]]


def person_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture(scope="module")
def year() -> Year:
    return [career.events(person_id(career.number)) for career in careers(catalogue())]


@pytest.fixture(scope="module")
def facts(year: Year) -> Facts:
    """Everything that careers post, by class."""
    by_class: Facts = {}
    for event in (event for events in year for event in events):
        by_class.setdefault(type(event.data), []).append(event.data)
    return by_class


def test_the_plans_are_the_figures_of_the_agreement() -> None:
    awarded: Counter[str] = Counter()
    for plan, persons in MIX.items():
        awarded[plan.reporting_status] += persons * plan.results.count("AWARDED")
    registered = sum(len(plan.results) * persons for plan, persons in MIX.items())
    assert registered == FIGURES["registered"] == 15_099
    assert awarded.total() == FIGURES["beneficiaries"] == 13_757
    assert dict(awarded) == {"SALARIE": 10_623, "DEMANDEUR_EMPLOI": 3_134, "AUTRE": 0}
    assert round(13_757 / 15_099, 4) == SUCCESS_RATE


def test_the_events_are_the_figures_of_the_agreement(facts: Facts) -> None:
    registrations = {candidate.registration_id: candidate for candidate in facts[RegisterCandidate]}
    awards = facts[AwardCertificate]
    by_status = Counter(registrations[award.registration_id].status for award in awards)
    assert len(registrations) == len(facts[RegisterCandidate]) == 15_099
    assert len({award.registration_id for award in awards}) == len(awards) == 13_757
    assert by_status.pop("DEMANDEUR_EMPLOI") == 3_134
    assert set(by_status) == {"SALARIE", "ALTERNANT", "INTERIMAIRE"}
    assert by_status.total() == 10_623


def test_the_others_fail_withdraw_or_are_absent_but_none_is_cancelled(facts: Facts) -> None:
    reasons = Counter(closing.reason for closing in facts[CloseRegistration])
    assert reasons.total() == 15_099 - 13_757
    assert set(reasons) == {"FAILED", "WITHDRAWN", "ABSENT"}


def test_everything_happens_in_2018(facts: Facts) -> None:
    days = (
        [candidate.registered_on for candidate in facts[RegisterCandidate]]
        + [evaluation.evaluated_on for evaluation in facts[RecordEvaluation]]
        + [validation.validated_on for validation in facts[ValidateBloc]]
        + [award.awarded_on for award in facts[AwardCertificate]]
        + [closing.closed_on for closing in facts[CloseRegistration]]
    )
    assert all(day.toordinal() in YEAR for day in days)


def test_no_branch_is_given_so_that_all_of_it_is_the_metallurgys_own_year(facts: Facts) -> None:
    assert all(candidate.branch is msgspec.UNSET for candidate in facts[RegisterCandidate])
    assert all(certification.in_2018.branches[0] == "metallurgie" for certification in catalogue().certifications)


def test_a_history_is_told_oldest_first(year: Year) -> None:
    assert all([event.time for event in events] == sorted(event.time for event in events) for events in year)


def test_ids_are_unique_and_of_the_contracts_form(year: Year, facts: Facts) -> None:
    ids = [event.id for events in year for event in events] + [event.id for event in preamble(catalogue())]
    assert len(set(ids)) == len(ids)
    evaluations = [evaluation.evaluation_id for evaluation in facts[RecordEvaluation]]
    validations = [validation.validation_id for validation in facts[ValidateBloc]]
    assert len(set(evaluations)) == len(evaluations)
    assert len(set(validations)) == len(validations)


def test_every_event_is_what_the_contract_lets_callers_post(year: Year) -> None:
    for event in [*preamble(catalogue()), *(event for events in year[:500] for event in events)]:
        assert msgspec.json.decode(msgspec.json.encode(event.data), type=FACTS[event.type].posted) == event.data


def test_some_of_everything_occurs(facts: Facts) -> None:
    published = {c.in_2018.certification_id: c.in_2018 for c in catalogue().certifications}
    candidates = facts[RegisterCandidate]
    assert {c.target for c in candidates} == {"CERTIFICATION", "BLOCS"}
    assert {published[c.certification_id].family for c in candidates} == {"CQPM", "CQPI", "CCPM", "CCPI"}
    assert {c.certification_id for c in candidates} == set(published)
    assert {c.status for c in candidates} >= {"INDEPENDANT", "AUTRE"}
    assert {c.route for c in candidates} == {"FORMATION", "CONTRAT_PRO", "VAE", "CANDIDAT_LIBRE"}
    assert {c.region for c in candidates} == REGIONS | {msgspec.UNSET}
    assert {c.prior_level for c in candidates} == {msgspec.UNSET, 3, 4, 5, 6}
    assert {v.basis for v in facts[ValidateBloc]} == {"EVALUATION", "CARRIED_OVER"}
    assert {a.certificate_number is msgspec.UNSET for a in facts[AwardCertificate]} == {True, False}


def test_the_objective_is_30_000_beneficiaries_in_2023() -> None:
    (objective,) = (event.data for event in preamble(catalogue()) if isinstance(event.data, SetObjective))
    assert (objective.year, objective.beneficiaries) == (2023, 30_000)


def test_the_year_never_changes(year: Year) -> None:
    """Whoever stopped the demo with one release goes on with another: what was recorded must be the same content.

    A change of this digest needs another source or other ids.
    """
    digest = hashlib.sha256()
    for event in preamble(catalogue()):
        digest.update(msgspec.json.encode(event))
    for career, events in zip(careers(catalogue()), year, strict=True):
        digest.update(msgspec.json.encode(career.identity))
        digest.update(msgspec.json.encode(events))
    assert digest.hexdigest() == "b5a629d10d0b57fea5b0a3423f371f9918a386a3756b9a7df2eea2e7fb39d528"


def test_a_smaller_scale_is_the_first_part_of_the_same_year() -> None:
    sample = list(careers(catalogue(), 0.01))
    assert len(sample) == careers_total(0.01) == 146
    assert [career.plan for career in sample] == plans()[:146]
    whole = next(careers(catalogue()))
    assert sample[0].identity == whole.identity
    assert sample[0].events(person_id(0)) == whole.events(person_id(0))
    assert careers_total(0.000001) == 1
    awarded = sum(career.plan.results.count("AWARDED") for career in sample)
    assert 0.85 < awarded / sum(len(career.plan.results) for career in sample) < 0.96


def test_persons_are_different_and_visibly_invented() -> None:
    identities = [career.identity for career in careers(catalogue())]
    assert len({identity.birth_name for identity in identities}) == len(identities)
    assert all(re.fullmatch("Exemple [A-Z][a-z]{5}", identity.birth_name) for identity in identities)
    assert all(date(1958, 1, 1) < identity.birth_date <= date(2000, 1, 1) for identity in identities)
    assert all(1 <= len(identity.first_names) <= 3 for identity in identities)


class TestCatalogue:
    catalogue: Catalogue = catalogue()

    def test_it_keeps_the_rules_of_the_catalogue(self) -> None:
        competences_of: dict[str, set[str]] = {}
        for certification in self.catalogue.certifications:
            for number, version in enumerate(certification.publish, 1):
                assert version.version == number  # C1
                assert all(bloc.competences for bloc in version.blocs)  # C2
                assert version.family not in {"CQPI", "CCPI"} or len(version.branches) >= 2  # C3
                for bloc in version.blocs:
                    ids = {competence.competence_id for competence in bloc.competences}
                    assert len(ids) == len(bloc.competences)  # C2
                    assert competences_of.setdefault(bloc.bloc_id, ids) == ids  # C5
                if version.rncp is not msgspec.UNSET:
                    fiche = version.rncp
                    assert fiche.registered_from < fiche.registered_until  # C6
                    assert fiche.registered_until <= fiche.registered_from.replace(year=fiche.registered_from.year + 5)
            days = [version.effective_from for version in certification.publish]
            assert days == sorted(days)  # C7

    def test_one_version_of_each_is_in_force_throughout_2018(self) -> None:
        for certification in self.catalogue.certifications:
            first, *later = certification.publish
            assert first.effective_from < date(2018, 1, 1)
            assert all(version.effective_from > date(2018, 12, 31) for version in later)

    def test_what_is_invented_says_so(self) -> None:
        """The samples hold one real bloc title, and competences of three certifications."""
        real_competences = {"cqpm-2014-0300", "cqpm-1988-0009", "cqpm-ajusteur-monteur-structures-aeronefs"}
        common_bloc = "controle-qualite-production"  # its competences are real, in cqpm-1988-0009
        for certification in self.catalogue.certifications:
            version = certification.in_2018
            if "everything" in certification.invented:
                assert version.title.endswith(" (certification fictive)")
                assert version.rncp is version.mq_code is msgspec.UNSET
            for bloc in version.blocs:
                assert bloc.title.endswith(" (bloc fictif)") or bloc.bloc_id == "assemblage-piece-aeronef"
                real = version.certification_id in real_competences or bloc.bloc_id == common_bloc
                assert all(c.label.endswith(" (compétence fictive)") != real for c in bloc.competences)

    def test_a_common_bloc_and_an_equivalence_link_certifications(self) -> None:
        seen = Counter(
            bloc.bloc_id for certification in self.catalogue.certifications for bloc in certification.in_2018.blocs
        )
        assert [bloc_id for bloc_id, certifications in seen.items() if certifications > 1] == [
            "controle-qualite-production"
        ]
        assert len(self.catalogue.equivalences) == 1


def test_a_failed_candidate_sits_again_for_what_was_missing_alone() -> None:
    career = next(c for c in careers(catalogue()) if c.plan.results == ("FAILED", "AWARDED"))
    names = [event.type.split(".", 1)[1] for event in Career(career.number, career.plan, catalogue()).events("p")]
    failed = names.index("registration.closed.v1")
    assert names[failed + 1 :].count("evaluation.recorded.v1") == 1
    assert names[-1] == "certificate.awarded.v1"
