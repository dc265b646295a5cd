"""What is said of a certificate, to anybody."""

from typing import Any

import msgspec
import pytest

from contracts.facts import Component, Fact
from services.projections.certificates.fold import answer, folded
from tests.unit.careers import awarded, events, person, published, revoked, uid

AWARD = awarded(
    1,
    1,
    rncp_code="RNCP1",
    region="84",
    components=tuple(
        Component(bloc_id=bloc_id, validation_id=uid("validation", 1), basis="EVALUATION")
        for bloc_id in ("a1", "a2", "common")
    ),
)


def said(*facts: Fact) -> Any:
    certificate = folded(events(facts))
    assert certificate is not None
    return msgspec.to_builtins(answer(certificate, published("cqpm-a")))


def test_a_certificate_says_what_was_awarded_and_nothing_that_leads_to_the_person() -> None:
    assert said(AWARD) == {
        "certificate_number": "CQPM-2018-00000001-X",
        "status": "LIVE",
        "kind": "CERTIFICATION",
        "title": "cqpm-a",
        "family": "CQPM",
        "level": 5,
        "rncp_code": "RNCP1",
        "awarded_on": "2018-09-01",
        "certification_id": "cqpm-a",
        "version": 1,
        "blocs": [{"bloc_id": bloc_id, "title": f"{bloc_id} of cqpm-a 1"} for bloc_id in ("a1", "a2", "common")],
    }


def test_what_the_award_does_not_say_is_absent() -> None:
    answered = said(awarded(1, 1, level=None))
    assert not {"level", "rncp_code"} & set(answered)


def test_a_certificate_of_blocs_names_these_alone() -> None:
    answered = said(awarded(1, 1, kind="BLOCS", family="BLOC", level=None))
    assert (answered["kind"], [bloc["bloc_id"] for bloc in answered["blocs"]]) == ("BLOCS", ["a1"])


def test_a_revoked_certificate_says_so_and_keeps_its_number_as_awarded() -> None:
    answered = said(AWARD, revoked(AWARD, 1))
    assert (answered["status"], answered["certificate_number"]) == ("REVOKED", "CQPM-2018-00000001-X")


def test_without_events_there_is_no_certificate() -> None:
    assert folded([]) is None


def test_a_fact_of_something_else_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match=r"person\.registered"):
        folded(events([person(1)]))
