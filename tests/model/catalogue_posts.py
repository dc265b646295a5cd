"""Posts about the catalogue and juries that are probably right."""

from datetime import date, timedelta

from tests.model.choices import EPOCH, Choices
from tests.model.forms import day
from tests.model.small_world import Data, bloc, jury
from tests.model.world import later


class CataloguePosts(Choices):
    """Each method gives the data of a post, or None while it would leave nothing to register for."""

    def jury(self) -> Data | None:
        held_on = self._limit_day()
        notice = timedelta(days=self._dice.choice([14, 15, 16, 40]))
        changes = {"held_on": held_on.isoformat(), "invited_on": (held_on - notice).isoformat()}
        return jury(**changes)[1] | {"jury_id": self._new_id("jury")}

    def publication(self) -> Data | None:
        """A new version of something known, with another bloc now and then, or with a new fiche."""
        last = self._world.versions[self._dice.choice(list(self._world.versions))][-1]
        effective_from = self._day(day(last["effective_from"]), date(2023, 12, 31))
        blocs = self._dice.sample(last["blocs"], max(1, len(last["blocs"]) - self._dice.randrange(2)))
        blocs += [bloc(f"bloc-{self.made}")] if self._dice.random() < 0.5 else []
        data = {name: value for name, value in last.items() if name != "rncp"}
        data |= {"version": last["version"] + 1, "effective_from": effective_from, "blocs": blocs}
        until = later(day(effective_from), months=60) + timedelta(days=self._dice.choice([-30, 0, 0, 1]))
        fiche = {"code": f"RNCP{self.made}", "registered_from": effective_from, "registered_until": until.isoformat()}
        return data | self._sometimes(0.5, rncp=fiche)

    def withdrawal(self) -> Data | None:
        certification_id = self._dice.choice(list(self._world.versions))
        if len(self._world.withdrawals) > 1 and certification_id not in self._world.withdrawals:
            return None  # something must stay open for registrations
        reason = self._dice.choice([{"reason": "SUPPRESSED"}, {"reason": "REPLACED", "replaced_by": "cqpm-b"}])
        return {"certification_id": certification_id, "effective_from": self._day(date(2021, 1, 1))} | reason

    def equivalence(self) -> Data | None:
        source, target = self._dice.choices(list(self._world.versions), k=2)
        kind = self._dice.choice(["TOTAL", "PARTIAL"])
        data = {
            "equivalence_id": self._new_id("equivalence"),
            "kind": kind,
            "source": {"certification_id": source, "bloc_ids": self._side(source, kind)},
            "target": {"certification_id": target, "bloc_ids": self._side(target, kind)},
            "valid_from": self._day(EPOCH, date(2020, 1, 1)),
        }
        return data | self._sometimes(0.3, valid_until=self._day(date(2020, 1, 1)))

    def _side(self, certification_id: str, kind: str) -> list[str]:
        ids = [bloc["bloc_id"] for bloc in self._world.versions[certification_id][-1]["blocs"]]
        return [] if kind == "TOTAL" else self._dice.sample(ids, self._dice.randrange(1, min(len(ids), 2) + 1))

    def repeal(self) -> Data | None:
        equivalence = self._choose(list(self._world.equivalences.values()))
        if equivalence is None or (len(self._world.repeals) > 2 and self._dice.random() < 0.8):
            return None
        return {"equivalence_id": equivalence["equivalence_id"], "effective_from": self._day(date(2019, 1, 1))}

    def objective(self) -> Data | None:
        return {"year": self._dice.randrange(2016, 2025), "beneficiaries": self._dice.randrange(1, 20)}
