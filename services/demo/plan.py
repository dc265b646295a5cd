"""Who goes through what in the year: the figures of the agreement of 8 November 2019, person by person.

The agreement counts 15 099 registrations and 13 757 beneficiaries, of whom 10 623 employees and 3 134 job seekers.
How the others end, how many persons sit twice, and who they are is invented.
"""

from random import Random
from typing import Literal, NamedTuple

from contracts.facts.registrations import ReportingStatus

SEED = "certibranche demo 2018"

FIGURES = {"registered": 15_099, "beneficiaries": 13_757, "SALARIE": 10_623, "DEMANDEUR_EMPLOI": 3_134}
SUCCESS_RATE = 0.9111

Result = Literal["AWARDED", "FAILED", "WITHDRAWN", "ABSENT"]


class Plan(NamedTuple):
    """One person's year: how each of the registrations ends, in order."""

    reporting_status: ReportingStatus
    results: tuple[Result, ...]


MIX: dict[Plan, int] = {
    Plan("SALARIE", ("AWARDED",)): 9_953,
    Plan("SALARIE", ("AWARDED", "AWARDED")): 240,
    Plan("SALARIE", ("FAILED", "AWARDED")): 190,
    Plan("SALARIE", ("FAILED",)): 430,
    Plan("SALARIE", ("WITHDRAWN",)): 190,
    Plan("SALARIE", ("ABSENT",)): 100,
    Plan("DEMANDEUR_EMPLOI", ("AWARDED",)): 2_964,
    Plan("DEMANDEUR_EMPLOI", ("AWARDED", "AWARDED")): 60,
    Plan("DEMANDEUR_EMPLOI", ("FAILED", "AWARDED")): 50,
    Plan("DEMANDEUR_EMPLOI", ("FAILED",)): 150,
    Plan("DEMANDEUR_EMPLOI", ("WITHDRAWN",)): 80,
    Plan("DEMANDEUR_EMPLOI", ("ABSENT",)): 42,
    Plan("AUTRE", ("FAILED",)): 60,
    Plan("AUTRE", ("WITHDRAWN",)): 30,
    Plan("AUTRE", ("ABSENT",)): 20,
}


def chance(name: str) -> Random:
    """Dice that fall the same way for the same name."""
    return Random(f"{SEED} {name}")  # noqa: S311 - nothing here is secret


def plans() -> list[Plan]:
    """The plan of every person, in an order that never changes; any part of it is a fair sample."""
    all_plans = [plan for plan, persons in MIX.items() for _ in range(persons)]
    chance("plans").shuffle(all_plans)
    return all_plans
