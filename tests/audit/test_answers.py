"""A registry whose log is honest, and whose answers are not."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina

from contracts.facts import ObjectiveSet
from services.audit.findings import Report
from services.audit.things import Sample
from tests.audit.history import EVERYTHING, Lived, Published, audited, check_of, entries_of, found, states
from tests.audit.stand_in import TOKEN, StandIn, right_answers, serving
from tests.audit.test_rules import AWARDED
from tests.domain.world import ANNA, NUMBER, revoked

COUNTS = "/v1/branch/counts"
PERSON = f"/v1/persons/{ANNA}/competencies"
CERTIFICATE = f"/v1/certificates/{NUMBER}"
POSITION = len(AWARDED)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[StandIn]:
    """Anna holds the welder's certificate."""
    log = Published(tmp_path / "log", entries_of(AWARDED))
    with serving(StandIn(log, right_answers(log))) as stand_in:
        yield stand_in


def audit(registry: StandIn, token: str | None = TOKEN, **wanted: Any) -> Report:
    return audited(registry.url, token=token, **{"entries": True, "things": None, "persons_asked": True, **wanted})


def test_right_answers_hold(registry: StandIn) -> None:
    report = audit(registry)
    assert (report.verdict, found(report)) == ("HELD", [])
    assert check_of(report, "counts").covered == f"years 2024 to 2024, of all and of 1 branches, at position {POSITION}"
    assert check_of(report, "persons").covered == f"3 of 3 persons at position {POSITION}"
    assert check_of(report, "certificates").covered == f"1 of 1 certificates at position {POSITION}"


def test_objectives_of_far_years_are_compared_and_those_of_impossible_ones_passed_over(tmp_path: Path) -> None:
    """A year of the form may be any number; one mistaken objective must not keep an auditor busy for ever."""
    years = (1, 2018, 2024, 2117, 9_999, 10_000, 100_000)
    log = Published(tmp_path / "log", entries_of([ObjectiveSet(year=year, beneficiaries=1) for year in years]))
    with serving(StandIn(log, right_answers(log))) as stand_in:
        report = audit(stand_in)
        assert (report.verdict, found(report)) == ("HELD", [])
        spans = "years 1 to 1, 2018 to 2117, 9999 to 9999"
        assert check_of(report, "counts").covered == f"{spans}, of all and of 0 branches, at position {len(years)}"
        members(stand_in.answers, COUNTS)["", 9_999]["objective"]["beneficiaries"] = 2
        assert audit(stand_in).verdict == "BROKEN"


def test_right_answers_about_merged_and_erased_persons_hold(tmp_path: Path) -> None:
    log = Published(tmp_path / "log", Lived(EVERYTHING).entries())
    with serving(StandIn(log, right_answers(log))) as stand_in:
        assert sum(status == 410 for status, _ in stand_in.answers.values()) == 2, "under both ids"
        assert audit(stand_in).verdict == "HELD"


def members(answers: dict[str, Any], path: str) -> Any:
    return answers[path][1]


def counts_too_many(answers: dict[str, Any]) -> None:
    members(answers, COUNTS)["", 2024]["beneficiaries"] += 1


def counts_another_branch(answers: dict[str, Any]) -> None:
    members(answers, COUNTS)["metallurgie", 2024]["by_family"]["CQPM"]["registered"] = 0


def forgets_a_row(answers: dict[str, Any]) -> None:
    members(answers, COUNTS)["", 2024]["by_certification"].clear()


def adds_a_member(answers: dict[str, Any]) -> None:
    members(answers, COUNTS)["", 2024]["certified"] = 1


def says_true_for_one(answers: dict[str, Any]) -> None:
    members(answers, COUNTS)["", 2024]["persons"] = True


def hides_a_certificate(answers: dict[str, Any]) -> None:
    members(answers, PERSON)["certificates"].clear()


def makes_a_bloc_unusable(answers: dict[str, Any]) -> None:
    members(answers, PERSON)["blocs"][0]["usable"] = False


def forgets_the_person(answers: dict[str, Any]) -> None:
    del answers[PERSON]


def erases_the_person(answers: dict[str, Any]) -> None:
    answers[PERSON] = (410, {})


def revokes_the_certificate(answers: dict[str, Any]) -> None:
    members(answers, CERTIFICATE)["status"] = "REVOKED"


def forgets_the_certificate(answers: dict[str, Any]) -> None:
    del answers[CERTIFICATE]


@pytest.mark.parametrize(
    ("lie", "finding", "member"),
    [
        (counts_too_many, ("counts", "counts-differ"), "beneficiaries"),
        (counts_another_branch, ("counts", "counts-differ"), "by_family.CQPM.registered"),
        (forgets_a_row, ("counts", "counts-differ"), "by_certification"),
        (adds_a_member, ("counts", "counts-differ"), "certified"),
        (says_true_for_one, ("counts", "counts-differ"), "persons"),
        (hides_a_certificate, ("persons", "competencies-differ"), "certificates"),
        (makes_a_bloc_unusable, ("persons", "competencies-differ"), "blocs[0].usable"),
        (forgets_the_person, ("persons", "person-unknown"), None),
        (erases_the_person, ("persons", "erasure-unrecorded"), None),
        (revokes_the_certificate, ("certificates", "certificate-differs"), "status"),
        (forgets_the_certificate, ("certificates", "certificate-unknown"), None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_lie_is_found(
    registry: StandIn, lie: Callable[[dict[str, Any]], None], finding: tuple[str, str], member: str | None
) -> None:
    lie(registry.answers)
    report = audit(registry)
    assert found(report) == [(*finding, None)]
    (one,) = check_of(report, finding[0]).findings
    assert one.values.get("member") == member


def test_a_person_erased_in_the_log_alone_is_found(tmp_path: Path) -> None:
    log = Published(tmp_path / "log", Lived(EVERYTHING).entries())
    answers = right_answers(log)
    erased, _ = (path for path, (status, _) in answers.items() if status == 410)
    with serving(StandIn(log, answers | {erased: (200, {})})) as stand_in:
        assert found(audit(stand_in)) == [("persons", "erasure-ignored", None)]


@pytest.mark.parametrize("type_", ["person.erased", "persons.merged"])
def test_who_was_erased_since_is_left_out_and_said(registry: StandIn, type_: str) -> None:
    erases_the_person(registry.answers)
    registry.answers["/v1/log/entries"] = 200, b'{"type":"certibranche.%s.v1"}\n' % type_.encode()
    report = audit(registry)
    assert report.verdict == "HELD"
    (said,) = check_of(report, "persons").left_out
    assert ANNA in said


def test_of_many_some_are_chosen_the_same_ones_by_the_same_seed(registry: StandIn) -> None:
    def chosen(seed: int) -> list[str]:
        sample = Sample(2, random.Random(seed))
        for number in range(10):
            sample.offer(str(number))
        return sorted(sample.ids)

    assert all(chosen(seed) == chosen(seed) for seed in range(40))
    assert {id_ for seed in range(40) for id_ in chosen(seed)} == {str(number) for number in range(10)}
    assert check_of(audit(registry, things=1), "persons").covered == f"1 of 3 persons at position {POSITION}"


def test_a_token_that_may_not_read_persons_leaves_them_out(registry: StandIn) -> None:
    registry.denied = ("/v1/persons",)
    report = audit(registry, persons_asked=False)
    assert (report.verdict, states(report)["persons"]) == ("HELD", "SKIPPED")
    assert "the token does not hold the scope" in check_of(report, "persons").left_out[0]
    assert states(audit(registry))["persons"] == "UNCHECKED", "who asks for persons must know"


def test_without_a_token_no_entry_is_read(registry: StandIn) -> None:
    report = audit(registry, token=None)
    assert (report.verdict, found(report)) == ("UNCHECKED", [])
    assert "status 401, no token" in check_of(report, "entries").left_out[0]
    assert states(report)["tiles"] == "HELD"


def test_events_that_wait_for_a_repair_are_no_lie(registry: StandIn) -> None:
    registry.headers = {"Registry-Parked": "2"}
    report = audit(registry)
    assert (report.verdict, found(report)) == ("UNCHECKED", [])
    assert "2 events wait for a repair" in check_of(report, "counts").left_out[0]


def test_what_passes_by_itself_is_asked_again(registry: StandIn) -> None:
    registry.broken = 1
    assert audit(registry).verdict == "HELD"
    registry.broken = 1000
    report = audit(registry)
    assert (report.verdict, states(report)["signature"]) == ("UNCHECKED", "UNCHECKED")


@pytest.mark.parametrize("said", [b"<html>", b"[]", b'{"years": []}', b'{"years": 3}'])
def test_an_answer_that_is_none_is_no_lie(registry: StandIn, said: bytes) -> None:
    registry.answer = lambda path, query, token: (  # type: ignore[method-assign]
        (200, said) if path == COUNTS else StandIn.answer(registry, path, query, token)
    )
    report = audit(registry)
    assert (states(report)["counts"], found(report)) == ("UNCHECKED", [])


def test_a_log_that_no_rule_allowed_is_folded_as_far_as_it_can_be(tmp_path: Path) -> None:
    log = Published(tmp_path / "log", entries_of([*AWARDED[:5], revoked()]))
    with serving(StandIn(log)) as stand_in:
        report = audit(stand_in, things=0)
    assert found(report) == [("rules", "rule-broken", 6)]
    assert check_of(report, "counts").left_out == ["the event of position 6 cannot be counted"]
