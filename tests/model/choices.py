"""Choosing at random, near limits more often than not."""

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random
from typing import Any, TypeVar

from tests.model.forms import day, is_date
from tests.model.small_world import Data, uid
from tests.model.world import Registration, World, later

T = TypeVar("T")

EPOCH = date(2016, 1, 1)
LIMIT = 0.4  # of the days are the first or the last that may be right


class Choices:
    """Things of the world that something could be about, and days for it. `made` numbers what is new."""

    def __init__(self, dice: Random, world: World, today: date) -> None:
        self._dice = dice
        self._world = world
        self._today = today
        self.made = 0

    def _new_id(self, kind: str) -> str:
        return uid(f"{kind} {self.made}")

    def persons(self) -> list[str]:
        gone = {*self._world.merged, *self._world.erased}
        return [person for person in self._world.persons if person not in gone]

    def _open(self) -> Registration | None:
        return self._choose([r for r in self._world.registrations.values() if r.state == "OPEN"])

    def _choose(self, things: Sequence[T]) -> T | None:
        return self._dice.choice(things) if things else None

    def _sometimes(self, probability: float, **optional: Any) -> Data:
        return optional if self._dice.random() < probability else {}

    def _day(self, first: date, last: date | None = None) -> str:
        """A day between the two (the last one defaults to two years later, and is never after today)."""
        last = min(last or first + timedelta(days=730), self._today)
        if last <= first or self._dice.random() < LIMIT:
            return self._dice.choice([first, max(first, last)]).isoformat()
        return (first + timedelta(days=self._dice.randrange((last - first).days))).isoformat()

    def _limit_day(self) -> date:
        """A day that something known makes special, or the day before or after it."""
        _, data = self._dice.choice(self._world.log)
        known = [day(value) for value in [*data.values(), *data.get("rncp", {}).values()] if is_date(value)]
        special = self._dice.choice([EPOCH, *known])
        special = later(special, months=self._dice.choice([0, 0, 0, 24, 60]))
        return min(special + timedelta(days=self._dice.choice([-1, 0, 1])), self._today)
