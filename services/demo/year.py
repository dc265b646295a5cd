"""The year 2018 of the branch: what is posted first, then one career after the other. Pure, and always the same."""

from collections.abc import Iterator
from datetime import date

from contracts.facts import SetObjective
from services.demo.career import Career
from services.demo.catalogue import Catalogue
from services.demo.event import Event, event
from services.demo.juries import juries
from services.demo.plan import plans

AGREEMENT_ON = date(2019, 11, 8)


def preamble(catalogue: Catalogue) -> Iterator[Event]:
    """What careers rest on: the catalogue and the juries; and the objective, which rests on nothing."""
    for publication in catalogue.publications():
        event_id = f"{publication.certification_id}-{publication.version}"
        yield event(event_id, publication.effective_from, publication)
    for withdrawal in catalogue.withdrawals:
        yield event(f"{withdrawal.certification_id}-withdrawn", withdrawal.effective_from, withdrawal)
    for equivalence in catalogue.equivalences:
        yield event(f"equivalence-{equivalence.equivalence_id}", equivalence.valid_from, equivalence)
    for jury in juries(catalogue.organisers):
        yield event(f"jury-{jury.organiser}-{jury.held_on}", jury.held_on, jury)
    objective = SetObjective(year=2023, beneficiaries=30_000, decision_ref=f"accord {AGREEMENT_ON}")
    yield event("objective-2023", AGREEMENT_ON, objective)


def careers(catalogue: Catalogue, scale: float = 1.0) -> Iterator[Career]:
    """Everybody's career; below scale 1 the first part of them, which is a fair sample, with the same ids."""
    everybody = plans()
    for number, plan in enumerate(everybody[: careers_total(scale)]):
        yield Career(number, plan, catalogue)


def careers_total(scale: float = 1.0) -> int:
    """How many careers `careers` yields: at least one."""
    return max(1, round(len(plans()) * scale))
