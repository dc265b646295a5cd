"""The rules of section 2 on the catalogue and its equivalences: C1 to C8, E1 to E4, O1."""

import re
from datetime import date

from tests.model.forms import day
from tests.model.rules import Judgement, Violation, violations
from tests.model.world import Data, World, later


def certification_published(world: World, data: Data, _today: date) -> Judgement:
    before = world.versions.get(data["certification_id"], [])
    withdrawal = world.withdrawals.get(data["certification_id"])
    withdrawn = withdrawal is not None and data["effective_from"] >= withdrawal["effective_from"]
    c3 = data["family"] in {"CQPI", "CCPI"} and len(set(data["branches"])) < 2
    no_owner: set[Violation] = set() if data["branches"] else {(400, None), (422, "C3")}  # the first one owns it
    return no_owner | violations(
        (data["version"] != len(before) + 1, 409, "C1"),
        (not _well_made(data["blocs"]), 422, "C2"),
        (c3, 422, "C3"),
        (withdrawn, 409, "C4"),
        (_changes_a_bloc(world, data["blocs"]), 409, "C5"),
        ("rncp" in data and not _fiche_holds(data["rncp"], data["blocs"]), 422, "C6"),
        (bool(before) and data["effective_from"] < before[-1]["effective_from"], 422, "C7"),
    ), {}


def _well_made(blocs: list[Data]) -> bool:
    ids = [bloc["bloc_id"] for bloc in blocs]
    competences = [[competence["competence_id"] for competence in bloc["competences"]] for bloc in blocs]
    unique = len(set(ids)) == len(ids) and all(len(set(each)) == len(each) for each in competences)
    return bool(blocs) and all(competences) and unique


def _changes_a_bloc(world: World, blocs: list[Data]) -> bool:
    published = [bloc for versions in world.versions.values() for version in versions for bloc in version["blocs"]]
    return any(
        old["bloc_id"] == new["bloc_id"] and competence_ids(old) != competence_ids(new)
        for old in published
        for new in blocs
    )


def competence_ids(bloc: Data) -> set[str]:
    return {competence["competence_id"] for competence in bloc["competences"]}


def _fiche_holds(fiche: Data, blocs: list[Data]) -> bool:
    first, last = day(fiche["registered_from"]), day(fiche["registered_until"])
    ids = {bloc["bloc_id"] for bloc in blocs}
    codes = all(re.fullmatch(fiche["code"] + "BC[0-9]{2}", code) for code in fiche["bloc_codes"].values())
    return first < last <= later(first, months=60) and codes and set(fiche["bloc_codes"]) <= ids


def certification_withdrawn(world: World, data: Data, _today: date) -> Judgement:
    replaced = data["reason"] == "REPLACED" and data.get("replaced_by") not in world.versions
    return violations(
        (data["certification_id"] not in world.versions, 422, "C8"),
        (data["certification_id"] in world.withdrawals, 409, "C8"),
        (replaced, 422, "C8"),
    ), {}


def equivalence_recognised(world: World, data: Data, _today: date) -> Judgement:
    source, target = data["source"], data["target"]
    ends = [source["certification_id"], target["certification_id"]]
    published = all(certification_id in world.versions for certification_id in ends)
    broken = violations((not published, 422, "E1"), (data["equivalence_id"] in world.equivalences, 409, "E4"))
    if data["kind"] == "TOTAL":
        levels = {world.versions[end][-1].get("level") for end in ends} if published else set()
        broken |= violations(
            (ends[0] == ends[1], 422, "E1"),
            (bool(source["bloc_ids"] or target["bloc_ids"]) or len(levels) > 1, 422, "E2"),
        )
        return broken, {}
    known = all(_in_some_version(world, side, bloc_id) for side in (source, target) for bloc_id in side["bloc_ids"])
    apart = not set(source["bloc_ids"]) & set(target["bloc_ids"])
    e3 = bool(source["bloc_ids"] and target["bloc_ids"]) and known and apart
    return broken | violations((not e3, 422, "E3")), {}


def _in_some_version(world: World, side: Data, bloc_id: str) -> bool:
    versions = world.versions.get(side["certification_id"], [])
    return any(bloc["bloc_id"] == bloc_id for version in versions for bloc in version["blocs"])


def equivalence_repealed(world: World, data: Data, _today: date) -> Judgement:
    return violations(
        (data["equivalence_id"] not in world.equivalences, 422, "E4"),
        (data["equivalence_id"] in world.repeals, 409, "E4"),
    ), {}


def objective_set(_world: World, _data: Data, _today: date) -> Judgement:
    nothing: set[Violation] = set()
    return nothing, {}
