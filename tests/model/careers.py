"""Careers at random: right and wrong posts in a small world, most of them near a limit.

Driven by a `random.Random`, so that a seed or Hypothesis (`st.randoms()`) decides and a failure can be repeated. What
comes next depends on what has been accepted so far, so that careers get far enough to meet the late rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import Random

from tests.model.career_posts import CareerPosts
from tests.model.catalogue_posts import CataloguePosts
from tests.model.small_world import Data
from tests.model.spoil import spoiled
from tests.model.world import World

REPEATED = 0.06  # of the steps post something again


@dataclass(frozen=True)
class Posted:
    """Post this fact as a CloudEvent of that id."""

    name: str
    data: Data
    id_: str


@dataclass(frozen=True)
class Merged:
    kept_id: str
    merged_id: str


@dataclass(frozen=True)
class Erased:
    person_id: str


@dataclass(frozen=True)
class NewPerson:
    """Register one more person."""


Step = Posted | Merged | Erased | NewPerson


class Careers(CareerPosts, CataloguePosts):
    """What might be posted next to the registry that `world` describes."""

    def __init__(self, dice: Random, world: World, today: date) -> None:
        super().__init__(dice, world, today)
        self._posted: list[Posted] = []
        self._intents: dict[Callable[[], Data | None], tuple[str, int, float]] = {
            self.candidate: ("candidate.registered", 12, 0.2),
            self.evaluation: ("evaluation.recorded", 22, 0.15),
            self.correction: ("evaluation.corrected", 4, 0.3),
            self.validation: ("bloc.validated", 26, 0.15),
            self.award: ("certificate.awarded", 10, 0.2),
            self.closing: ("registration.closed", 5, 0.3),
            self.reopening: ("registration.reopened", 4, 0.3),
            self.invalidation: ("bloc.invalidated", 4, 0.3),
            self.revocation: ("certificate.revoked", 3, 0.3),
            self.jury: ("jury.held", 3, 0.5),
            self.publication: ("certification.published", 3, 0.6),
            self.withdrawal: ("certification.withdrawn", 1, 0.3),
            self.equivalence: ("equivalence.recognised", 2, 0.3),
            self.repeal: ("equivalence.repealed", 1, 0.3),
            self.objective: ("objective.set", 1, 0.3),
        }
        """What to post: the fact's name, how often it is tried, and how often it is spoiled."""

    def step(self) -> Step:
        """The next thing to try."""
        chance = self._dice.random()
        if chance < 0.02 or len(self.persons()) < 2:
            return NewPerson()
        if chance < 0.03:
            return Merged(*self._dice.sample(self._world.persons, 2))
        if chance < 0.04:
            return Erased(self._dice.choice(self._world.persons))
        if chance < 0.04 + REPEATED and self._posted:
            return self._again()
        return self._post()

    def _post(self) -> Posted:
        intents = list(self._intents)
        weights = [weight for _, weight, _ in self._intents.values()]
        while True:
            intent = self._dice.choices(intents, weights)[0]
            data = intent()
            if data is not None:
                break
        name, _, spoiled_share = self._intents[intent]
        if self._dice.random() < spoiled_share:
            data = spoiled(self._dice, self._world, self._today, name, data)
        self.made += 1
        self._posted.append(Posted(name, data, f"step-{self.made}"))
        return self._posted[-1]

    def _again(self) -> Posted:
        """An identical retry, other content under the same id, or the same content under another."""
        old = self._dice.choice(self._posted)
        match self._dice.randrange(3):
            case 0:
                return old
            case 1:
                return Posted(old.name, spoiled(self._dice, self._world, self._today, old.name, old.data), old.id_)
            case _:
                self.made += 1
                return Posted(old.name, old.data, f"step-{self.made}")
