"""The random careers reach what they are made for."""

from collections import Counter
from datetime import date
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model.careers import Careers, Erased, Merged, NewPerson, Posted
from tests.model.model import RULES, Accepted, Model, Refused
from tests.model.small_world import TODAY, branch, uid

ALL_RULES = {
    *(f"C{n}" for n in range(1, 9)),
    *(f"E{n}" for n in range(1, 5)),
    *("I1", "P1", "M1", "M2", "T1", "R1", "R2", "R3", "R5", "R6", "R7", "R9", "R10", "K1", "K2"),
    *("V1", "V2", "V3", "V4", "V5", "V7", "J1", "J2", "J3"),
    *("B1", "B2", "B3", "B4", "B6", "B7", "B8", "B9"),
    *(f"A{n}" for n in range(1, 6)),
}
"""Those that refuse something."""


def roam(dice: Random, steps: int) -> tuple[Model, Counter[str], Counter[str]]:
    """Play steps against the model: it, what it accepted by fact, and what one rule alone refused, by that rule."""
    model = branch()
    careers = Careers(dice, model.world, TODAY)
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for _ in range(steps):
        step = careers.step()
        match step:
            case NewPerson():
                model.register_person(uid(f"person {len(model.world.persons)}"), TODAY)
                continue
            case Merged(kept_id, merged_id):
                name, result = "merge", model.merge(kept_id, merged_id, TODAY)
            case Erased(person_id):
                name, result = "erase", model.erase(person_id, TODAY)
            case Posted(name, data, id_):
                result = model.post(f"certibranche.{name}.v1", data, TODAY, id_=id_)
        if isinstance(result, Accepted):
            accepted[name] += 1
        elif len(named := {str(rule) for _, rule in result.reasons}) == 1:
            refused.update(named)
    return model, accepted, refused


def test_random_careers_meet_every_fact_and_every_rule() -> None:
    """A registry that forgot a rule would accept what that rule alone refuses."""
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for seed in range(30):
        _, some, others = roam(Random(seed), 400)
        accepted += some
        refused += others
    assert set(accepted) == {*RULES, "merge", "erase"}
    assert set(refused) - {"None"} == ALL_RULES
    assert accepted.total() > 30 * 400 * 0.4


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(st.randoms(use_true_random=False))
def test_what_is_accepted_keeps_its_promises(dice: Random) -> None:
    model, _, _ = roam(dice, 80)
    world = model.world
    for person in world.persons:
        open_ones = [r for r in world.registrations_of(person) if r.state == "OPEN"]
        view = model.competencies(person, TODAY)
        assert view["open_registrations"] == sorted(r.id for r in open_ones)
    for certificate in world.certificates.values():
        awarded_on = date.fromisoformat(certificate.data["awarded_on"])
        for part in certificate.data["components"]:
            validation = world.validations[part["validation_id"]]
            assert validation.live or not certificate.live  # B8
            assert validation.validated_on <= awarded_on <= date.fromisoformat(validation.data["usable_until"])
    years = [model.counts(year) for year in range(2010, 2027)]
    live = [certificate for certificate in world.certificates.values() if certificate.live]
    assert sum(counts["beneficiaries"] for counts in years) == len(live)
    assert all(counts["persons"] <= counts["beneficiaries"] for counts in years)


def test_the_same_seed_gives_the_same_careers() -> None:
    first, second = (roam(Random(7), 200)[0].world.log for _ in range(2))
    assert [name for name, _ in first] == [name for name, _ in second]


def test_a_refusal_names_at_least_one_reason() -> None:
    model = branch()
    careers = Careers(Random(3), model.world, TODAY)
    for _ in range(300):
        if isinstance(step := careers.step(), Posted):
            result = model.post(f"certibranche.{step.name}.v1", step.data, TODAY, id_=step.id_)
            assert isinstance(result, Accepted) or (isinstance(result, Refused) and result.reasons)
