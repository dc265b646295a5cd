"""One change that may make a right post wrong: another day, id or value, something too many or missing."""

from copy import deepcopy
from datetime import date, timedelta
from random import Random
from typing import Any

from tests.model.forms import day, is_date
from tests.model.small_world import Data, uid
from tests.model.world import World, later

VALUES: dict[str, list[str]] = {
    "basis": ["EVALUATION", "EQUIVALENCE", "CARRIED_OVER", "ARCHIVE"],
    "target": ["CERTIFICATION", "BLOCS"],
    "kind": ["TOTAL", "PARTIAL"],
    "reason": ["FAILED", "WITHDRAWN", "CANCELLED", "ABSENT", "FRAUD", "CLERICAL_ERROR", "APPEAL", "REVIEW", "REPLACED"],
    "status": ["SALARIE", "INTERIMAIRE", "AUTRE", "RETRAITE"],
    "route": ["VAE", "CONTRAT_PRO", "RECONVERSION", "APPRENTISSAGE", "CANDIDAT_LIBRE"],
    "family": ["CQPM", "CQPI", "CCPM", "CCPI", "BLOC"],
    "modality": ["QUESTIONNAIRE", "ORAL"],
}
IDS = {
    "registration_id": "registrations",
    "validation_id": "validations",
    "evaluation_id": "evaluations",
    "source_validation_id": "validations",
    "equivalence_id": "equivalences",
    "jury_id": "juries",
    "certificate_number": "certificates",
    "certification_id": "versions",
}


def spoiled(dice: Random, world: World, today: date, name: str, data: Data) -> Data:
    """The data with one change. It may still be right."""
    data = deepcopy(data)
    member = dice.choice(sorted(data))
    match dice.randrange(8):
        case 0:
            del data[member]
        case 1:
            data[dice.choice(["unknown", "usable_until", "family"])] = "x"
        case 2 if name in {"bloc.validated", "certificate.awarded", "registration.closed"}:
            data["jury_id"] = _known(dice, world, "jury_id")
        case _:
            data[member] = _other(dice, world, today, member, data[member])
    return data


def _other(dice: Random, world: World, today: date, member: str, value: Any) -> Any:
    """Another value of the same kind."""
    if is_date(value):
        return _other_day(dice, today, day(value))
    if member in IDS:
        return _known(dice, world, member)
    if member == "person_id":
        return dice.choice([*world.persons, uid("nobody")])
    if member in VALUES:
        return dice.choice(VALUES[member])
    if isinstance(value, int):
        return dice.choice([value - 1, value + 1, 0, 2**31, True])
    if isinstance(value, list):
        return _other_list(dice, member, value)
    if member == "bloc_id":
        return dice.choice(["bloc-a1", "bloc-common", "bloc-b1", "bloc-none"])
    return value


def _other_day(dice: Random, today: date, value: date) -> str:
    moved = [value + timedelta(days=days) for days in (-400, -1, 1, 400)]
    far = [later(value, months=24), later(value, months=60), later(value, months=-24)]
    return dice.choice([*moved, *far, today, today + timedelta(days=1)]).isoformat()


def _other_list(dice: Random, member: str, value: list[Any]) -> list[Any]:
    """One item twice, one less, another order; a bloc with one competence less; a jury without its president."""
    if not value:
        return value
    if member == "seats":
        return value[:-1] if dice.random() < 0.5 else [seat | {"present": False} for seat in value]
    if member == "blocs" and dice.random() < 0.5:
        return [value[0] | {"competences": value[0]["competences"][1:]}, *value[1:]]
    return dice.choice([value + value[:1], value[1:], value[::-1]])


def _known(dice: Random, world: World, member: str) -> str:
    """An id of something known, or of nothing."""
    nothing = {"certification_id": "cqpm-none", "certificate_number": "none-1"}.get(member, uid("none"))
    known: list[str] = list(getattr(world, IDS[member]))
    return dice.choice([*known[-4:], nothing])
