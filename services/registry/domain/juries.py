"""Decisions about juries: J1-J3."""

from datetime import date, timedelta

from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.domain import event

from contracts import facts
from contracts.facts import Fact, JuryHeld
from contracts.facts import fact as tags
from contracts.refusals import JuryDateDiffers, JuryExists, JuryInvalid, JuryInvitedLate, JuryUnknown
from services.registry.domain.circumstances import Circumstances, refuse_outside
from services.registry.domain.states import unused

INVITED_BEFORE = timedelta(days=15)
"""The accord's delay for asking the unions, in calendar days (J2)."""


class HoldJury(Slice[Fact]):
    """Record a jury's meeting (J1-J3, T1)."""

    def __init__(self, command: facts.HoldJury, circumstances: Circumstances) -> None:
        self.command = command
        self.today = circumstances.today
        self.held_at: int | None = None

    def consistency_boundary(self) -> Selector:
        return unused(tags.jury(self.command.jury_id), (JuryHeld,))

    @event(JuryHeld)
    def _(self) -> None:
        self.held_at = self.last_known_position

    def execute(self) -> None:
        command = self.command
        if self.held_at is not None:
            raise JuryExists(
                f"Jury {command.jury_id} is recorded already.",
                rule="J3",
                jury_id=command.jury_id,
                position=self.held_at,
            )
        self._refuse_composition()
        if command.held_on - command.invited_on < INVITED_BEFORE:
            raise JuryInvitedLate(
                f"A jury is invited at least {INVITED_BEFORE.days} days before {command.held_on}.",
                rule="J2",
                invited_on=command.invited_on,
                held_on=command.held_on,
            )
        refuse_outside("T1", "held_on", command.held_on, since=None, until=self.today)
        self.trigger_event(lambda: JuryHeld.of(command))

    def _refuse_composition(self) -> None:
        seats = self.command.seats
        per_college = {
            college: sum(seat.college == college for seat in seats) for college in ("SALARIES", "EMPLOYEURS")
        }
        if per_college["SALARIES"] != per_college["EMPLOYEURS"] or not seats:
            raise JuryInvalid(
                "A jury has as many seats of each college, at least one.", rule="J1", seats_per_college=per_college
            )
        president = self.command.president_seat_id
        if not any(s.seat_id == president and s.college == "EMPLOYEURS" and s.present for s in seats):
            raise JuryInvalid(
                f"{president} is none of the employers' seats present.", rule="J1", president_seat_id=president
            )


def refuse_other_jury(jury_id: str | None, jury: JuryHeld | None, day: date) -> None:
    """Refuse a fact that names a jury unknown or held on another day than the fact's (J3)."""
    if jury_id is None:
        return
    if jury is None:
        raise JuryUnknown(f"No jury {jury_id} is recorded.", rule="J3", jury_id=jury_id)
    if jury.held_on != day:
        raise JuryDateDiffers(
            f"Jury {jury_id} was held on {jury.held_on}, not on {day}.",
            rule="J3",
            jury_id=jury_id,
            held_on=jury.held_on,
            day=day,
        )
