"""The rules of section 2 on registrations and juries: what a fact violates, and what the registry adds to it.

A rule is a function of (world, data as posted, with defaults, today). It returns every violation as (status, rule), so
that any of them may be named, and the members to add.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from tests.model.forms import day
from tests.model.world import Data, Registration, World, fiche_in_force

Violation = tuple[int, str | None]
Judgement = tuple[set[Violation], Data]
Rule = Callable[[World, Data, date], Judgement]


def violations(*checks: tuple[bool, int, str]) -> set[Violation]:
    """The (status, rule) of those checks whose condition is true."""
    return {(status, rule) for violated, status, rule in checks if violated}


def reporting_status(status: str) -> str:
    if status in {"SALARIE", "ALTERNANT", "INTERIMAIRE"}:
        return "SALARIE"
    return "DEMANDEUR_EMPLOI" if status == "DEMANDEUR_EMPLOI" else "AUTRE"


def person_rule(world: World, person_id: str) -> set[Violation]:
    """P1. A merged id stands for its kept one in a registration made before; posted anew, it is refused."""
    return violations(
        (person_id not in world.persons, 422, "P1"),
        (world.who(person_id) in world.erased or person_id in world.merged, 409, "P1"),
    )


def holder_rule(world: World, registration: Registration) -> set[Violation]:
    """P1, for a fact whose person is that of a registration."""
    return person_rule(world, world.who(registration.data["person_id"]))


def jury_rule(world: World, data: Data, on: str) -> set[Violation]:
    """J3: a fact that names a jury has its date equal to held_on."""
    if "jury_id" not in data:
        return set()
    jury = world.juries.get(data["jury_id"])
    return violations((jury is None or jury["held_on"] != data[on], 422, "J3"))


def past_rule(at: str, today: date, since: str | date | None) -> set[Violation]:
    """T1: not in the future, nor before the date of what it speaks of."""
    since = day(since) if isinstance(since, str) else since
    return violations((day(at) > today or (since is not None and day(at) < since), 422, "T1"))


def added(world: World, registration: Registration, *names: str) -> Data:
    """person_id and certification_id of the registration, and the members named."""
    members = ("certification_id", *names)
    person_id = world.who(registration.data["person_id"])
    return {"person_id": person_id} | {name: registration.data[name] for name in members}


def conflicts(world: World, registration: Data, blocs: Iterable[str], own: str) -> set[Violation]:
    """R6 and R7, for a registration with these blocs; what belongs to the registration `own` is left aside."""
    person_id, certification_id = registration["person_id"], registration["certification_id"]
    on, wanted = day(registration["registered_on"]), set(blocs)
    whole = registration["target"] == "CERTIFICATION"
    open_ones = [r for r in world.registrations_of(person_id) if r.state == "OPEN" and r.id != own]
    r6 = any(
        wanted & {bloc["bloc_id"] for bloc in world.blocs(other)}
        or ((whole or other.data["target"] == "CERTIFICATION") and other.data["certification_id"] == certification_id)
        for other in open_ones
    )
    if whole:
        certificates = world.certificates_of(person_id)
        r7 = any(c.is_whole() and c.data["certification_id"] == certification_id for c in certificates)
    else:
        usable = [v for v in world.validations_of(person_id) if v.usable(on) and v.data["registration_id"] != own]
        r7 = any(validation.data["bloc_id"] in wanted for validation in usable)
    return violations((r6, 409, "R6"), (r7, 409, "R7"))


def candidate_registered(world: World, data: Data, today: date) -> Judgement:
    on = day(data["registered_on"])
    broken = person_rule(world, data["person_id"])
    broken |= violations((data["registration_id"] in world.registrations, 409, "R9"), (on > today, 422, "R10"))
    withdrawal = world.withdrawals.get(data["certification_id"])
    withdrawn = withdrawal is not None and day(withdrawal["effective_from"]) <= on
    broken |= violations((withdrawn, 422, "R2"))
    version = world.in_force(data["certification_id"], on)
    asked = data.get("bloc_ids")
    whole = data["target"] == "CERTIFICATION"
    if version is None:
        return broken | {(422, "R1")} | conflicts(world, data, asked or [], own=""), {}
    known = [bloc["bloc_id"] for bloc in version["blocs"]]
    subset = bool(asked) and set(asked or []) <= set(known) and len(set(asked or [])) == len(asked or [])
    routes = version["rncp"]["routes"] if "rncp" in version else []
    broken |= violations(
        (data.get("version", version["version"]) != version["version"], 422, "R1"),
        (asked is not None if whole else not subset, 422, "R3"),
        (fiche_in_force(version, on) and bool(routes) and data["route"] not in routes, 422, "R5"),
    )
    broken |= conflicts(world, data, known if whole else asked or [], own="")
    return broken, {
        "version": version["version"],
        "branch": data.get("branch", version["branches"][0]),
        "reporting_status": reporting_status(data["status"]),  # R8
        "family": version["family"] if whole else "BLOC",  # R11
    }


def registration_closed(world: World, data: Data, today: date) -> Judgement:
    registration = world.registrations.get(data["registration_id"])
    if registration is None:
        return {(422, "K1")} | jury_rule(world, data, "closed_on") | past_rule(data["closed_on"], today, None), {}
    broken = holder_rule(world, registration) | jury_rule(world, data, "closed_on")
    broken |= past_rule(data["closed_on"], today, registration.registered_on)
    cancelled = data["reason"] == "CANCELLED"
    broken |= violations(
        (registration.state != "OPEN", 409, "K1"),
        (cancelled and bool(world.validated(registration)), 409, "K1"),
    )
    return broken, added(world, registration)


def registration_reopened(world: World, data: Data, today: date) -> Judgement:
    registration = world.registrations.get(data["registration_id"])
    if registration is None:
        return {(422, "K2")} | past_rule(data["reopened_on"], today, None), {}
    broken = holder_rule(world, registration) | past_rule(data["reopened_on"], today, registration.since)
    blocs = [bloc["bloc_id"] for bloc in world.blocs(registration)]
    hindered = conflicts(world, registration.data, blocs, own=registration.id)
    if registration.state not in {"CLOSED", "REVOKED"}:
        broken |= {(409, "K2")}
    if hindered:
        broken |= hindered | {(409, "K2")}
    return broken, added(world, registration)


def jury_held(world: World, data: Data, today: date) -> Judgement:
    seats: list[Any] = data["seats"]
    colleges = [seat["college"] for seat in seats]
    presidents = [s["seat_id"] for s in seats if s["college"] == "EMPLOYEURS" and s["present"]]
    salaries, employeurs = colleges.count("SALARIES"), colleges.count("EMPLOYEURS")
    notice = day(data["held_on"]) - day(data["invited_on"])
    return past_rule(data["held_on"], today, None) | violations(
        (salaries != employeurs or not salaries, 422, "J1"),
        (data["president_seat_id"] not in presidents, 422, "J1"),
        (notice.days < 15, 422, "J2"),
        (data["jury_id"] in world.juries, 409, "J3"),
    ), {}
