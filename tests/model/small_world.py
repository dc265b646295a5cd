"""A branch small enough to meet every rule: four certifications, few blocs, and posts that are right unless changed.

A post is (name of the fact, data); what a caller changes is given by name, and `GONE` takes a member out.
"""

from datetime import date
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.model.model import Accepted, Model, Refused

Data = dict[str, Any]
Post = tuple[str, Data]

GONE = object()
TODAY = date(2026, 11, 23)
OPENED = date(2017, 1, 2)
"""The day of position 1 in `branch()`."""


def uid(name: str) -> str:
    """The UUID that stands for a short name in a test."""
    return str(uuid5(NAMESPACE_URL, name))


def bloc(bloc_id: str, competences: int = 2) -> Data:
    ids = [f"{bloc_id}-c{n}" for n in range(1, competences + 1)]
    labels = [{"competence_id": id_, "label": f"Label of {id_}"} for id_ in ids]
    return {"bloc_id": bloc_id, "title": f"Title of {bloc_id}", "competences": labels}


FICHE = {
    "code": "RNCP100",
    "registered_from": "2016-01-01",
    "registered_until": "2020-12-31",
    "routes": ["FORMATION", "VAE"],
    "bloc_codes": {"bloc-a1": "RNCP100BC01"},
}

CATALOGUE: list[Data] = [
    {
        "certification_id": "cqpm-a",
        "version": 1,
        "family": "CQPM",
        "title": "Title of cqpm-a",
        "level": 4,
        "effective_from": "2015-01-01",
        "blocs": [bloc("bloc-a1"), bloc("bloc-a2"), bloc("bloc-common")],
        "rncp": FICHE,
    },
    {
        "certification_id": "cqpm-a",
        "version": 2,
        "family": "CQPM",
        "title": "New title of cqpm-a",
        "level": 4,
        "effective_from": "2021-01-01",
        "blocs": [bloc("bloc-a1"), bloc("bloc-a3")],
    },
    {
        "certification_id": "cqpm-b",
        "version": 1,
        "family": "CQPM",
        "title": "Title of cqpm-b",
        "effective_from": "2015-01-01",
        "blocs": [bloc("bloc-b1"), bloc("bloc-common")],
    },
    {
        "certification_id": "cqpi-c",
        "version": 1,
        "family": "CQPI",
        "title": "Title of cqpi-c",
        "level": 4,
        "effective_from": "2016-06-01",
        "branches": ["plasturgie", "metallurgie"],
        "blocs": [bloc("bloc-c1")],
        "rncp": {"code": "RNCP200", "registered_from": "2017-01-01", "registered_until": "2019-02-28"},
    },
    {
        "certification_id": "ccpm-d",
        "version": 1,
        "family": "CCPM",
        "title": "Title of ccpm-d",
        "effective_from": "2015-01-01",
        "blocs": [bloc("bloc-d1", competences=1)],
    },
]
PARTIAL: Data = {
    "equivalence_id": uid("partial"),
    "kind": "PARTIAL",
    "source": {"certification_id": "cqpm-a", "bloc_ids": ["bloc-a1", "bloc-a2"]},
    "target": {"certification_id": "cqpm-b", "bloc_ids": ["bloc-b1"]},
    "valid_from": "2018-01-01",
    "valid_until": "2022-12-31",
}
TOTAL: Data = {
    "equivalence_id": uid("total"),
    "kind": "TOTAL",
    "source": {"certification_id": "cqpm-a", "bloc_ids": []},
    "target": {"certification_id": "cqpi-c", "bloc_ids": []},
    "valid_from": "2018-01-01",
}
PERSONS = ("p1", "p2", "p3")


def changed(data: Data, changes: Data) -> Data:
    return {name: value for name, value in (data | changes).items() if value is not GONE}


def candidate(name: str = "r1", person: str = "p1", **changes: Any) -> Post:
    data = {
        "registration_id": uid(name),
        "person_id": uid(person),
        "certification_id": "cqpm-a",
        "target": "CERTIFICATION",
        "route": "FORMATION",
        "status": "SALARIE",
        "registered_on": "2018-03-01",
    }
    return "candidate.registered", changed(data, changes)


def blocs_candidate(name: str, *bloc_ids: str, **changes: Any) -> Post:
    return candidate(name, **{"target": "BLOCS", "bloc_ids": list(bloc_ids)} | changes)


def evaluation(name: str = "e1", registration: str = "r1", bloc_id: str = "bloc-a1", **changes: Any) -> Post:
    """Everything is acquired, unless `outcomes` says otherwise."""
    competences = 1 if bloc_id == "bloc-d1" else 2
    data = {
        "evaluation_id": uid(name),
        "registration_id": uid(registration),
        "bloc_id": bloc_id,
        "outcomes": outcomes(bloc_id, *["ACQUIRED"] * competences),
        "modality": "PROJET",
        "evaluated_on": "2018-04-01",
        "evaluators": ["evaluateur-1"],
    }
    return "evaluation.recorded", changed(data, changes)


def outcomes(bloc_id: str, *found: str) -> list[Data]:
    return [{"competence_id": f"{bloc_id}-c{n}", "outcome": outcome} for n, outcome in enumerate(found, 1)]


def correction(evaluation: str = "e1", **changes: Any) -> Post:
    data = {
        "evaluation_id": uid(evaluation),
        "outcomes": outcomes("bloc-a1", "NOT_ACQUIRED"),
        "reason": "REVIEW",
        "corrected_on": "2018-04-10",
    }
    return "evaluation.corrected", changed(data, changes)


def validation(name: str = "v1", registration: str = "r1", bloc_id: str = "bloc-a1", **changes: Any) -> Post:
    data = {
        "validation_id": uid(name),
        "registration_id": uid(registration),
        "bloc_id": bloc_id,
        "basis": "EVALUATION",
        "validated_on": "2018-05-01",
    }
    return "bloc.validated", changed(data, changes)


def invalidation(validation: str = "v1", **changes: Any) -> Post:
    data = {"validation_id": uid(validation), "reason": "FRAUD", "decided_on": "2018-06-01"}
    return "bloc.invalidated", changed(data, changes)


def award(registration: str = "r1", **changes: Any) -> Post:
    data = {"registration_id": uid(registration), "awarded_on": "2018-05-15"}
    return "certificate.awarded", changed(data, changes)


def revocation(certificate_number: str, **changes: Any) -> Post:
    data = {"certificate_number": certificate_number, "reason": "FRAUD", "decided_on": "2018-06-01"}
    return "certificate.revoked", changed(data, changes)


def closing(registration: str = "r1", **changes: Any) -> Post:
    data = {"registration_id": uid(registration), "reason": "FAILED", "closed_on": "2018-05-15"}
    return "registration.closed", changed(data, changes)


def reopening(registration: str = "r1", **changes: Any) -> Post:
    data = {"registration_id": uid(registration), "reason": "APPEAL", "reopened_on": "2018-06-15"}
    return "registration.reopened", changed(data, changes)


def jury(name: str = "j1", **changes: Any) -> Post:
    data = {
        "jury_id": uid(name),
        "held_on": "2018-05-15",
        "organiser": "organisme-1",
        "seats": [seat("s1", "SALARIES"), seat("s2", "EMPLOYEURS")],
        "president_seat_id": "s2",
        "invited_on": "2018-04-30",
    }
    return "jury.held", changed(data, changes)


def seat(seat_id: str, college: str, *, present: bool = True) -> Data:
    return {"seat_id": seat_id, "college": college, "organisation": "organisation-1", "present": present}


def whole_award(registration: str, person: str = "p1", **changes: Any) -> list[Post]:
    """A career to a certificate of cqpm-a: registered, evaluated, validated and awarded, in 2018."""
    blocs = ("bloc-a1", "bloc-a2", "bloc-common")
    return [
        candidate(registration, person),
        *(evaluation(f"{registration}-{bloc_id}", registration, bloc_id) for bloc_id in blocs),
        *(validation(f"{registration}-{bloc_id}", registration, bloc_id) for bloc_id in blocs),
        award(registration, **changes),
    ]


def play(model: Model, *posts: Post, today: date = TODAY) -> Data:
    """Post all of it; every post is accepted. The data of the last one."""
    data: Data = {}
    for name, posted in posts:
        result = model.post(f"certibranche.{name}.v1", posted, today)
        assert isinstance(result, Accepted), (name, posted, result)
        data = result.data
    return data


def branch(*posts: Post) -> Model:
    """A registry with the catalogue, the equivalences, three persons, and what follows."""
    model = Model()
    for person in PERSONS:
        model.register_person(uid(person), OPENED)
    play(model, *(("certification.published", version) for version in CATALOGUE))
    play(model, ("equivalence.recognised", PARTIAL), ("equivalence.recognised", TOTAL))
    play(model, *posts)
    return model


def refusal(model: Model, post: Post, today: date = TODAY) -> set[tuple[int, str | None]]:
    """Why the post is refused; nothing is recorded."""
    before = len(model.world.log)
    result = model.post(f"certibranche.{post[0]}.v1", post[1], today)
    assert isinstance(result, Refused), result
    assert len(model.world.log) == before
    return set(result.reasons)


def publication(**changes: Any) -> Post:
    """A certification of its own."""
    data = {
        "certification_id": "cqpm-new",
        "version": 1,
        "family": "CQPM",
        "title": "Title",
        "effective_from": "2018-01-01",
        "blocs": [bloc("bloc-new")],
    }
    return "certification.published", changed(data, changes)


def withdrawal(certification_id: str = "cqpm-b", **changes: Any) -> Post:
    data = {"certification_id": certification_id, "effective_from": "2018-01-01", "reason": "SUPPRESSED"}
    return "certification.withdrawn", changed(data, changes)


def equivalence(data: dict[str, Any], **changes: Any) -> Post:
    return "equivalence.recognised", changed(data | {"equivalence_id": uid("new")}, changes)


def repeal(name: str = "partial", **changes: Any) -> Post:
    data = {"equivalence_id": uid(name), "effective_from": "2018-06-01"}
    return "equivalence.repealed", changed(data, changes)


def side(certification_id: str, *bloc_ids: str) -> dict[str, Any]:
    return {"certification_id": certification_id, "bloc_ids": list(bloc_ids)}
