"""The registry against the model: the same posts over HTTP and in memory, and every answer compared.

`client` is an asynchronous HTTP client (httpx or httpx2) whose base URL is a registry with an empty log, and whose
token holds every scope and any source.
"""

import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from tests.model import views
from tests.model.award_rules import check_character
from tests.model.careers import Careers, Erased, Merged, NewPerson, Posted, Step
from tests.model.model import Accepted, Model, Refused
from tests.model.small_world import CATALOGUE, PARTIAL, TOTAL, Data
from tests.model.world import World

SOURCE = "urn:certibranche:duel"
PARIS = ZoneInfo("Europe/Paris")

SHOWN_S = 60.0
"""A read model that has not reached a position by then never will."""

Answer = tuple[int, Data]
"""The status and the body of an answer, or of one result in a batch."""


class Disagreement(AssertionError):
    """The registry and the contract's model say different things."""


def today() -> date:
    """The day in Paris, by which the registry decides (T1)."""
    return datetime.now(PARIS).date()


class Duel:
    """One registry, one model, and dice that say what comes next."""

    def __init__(self, client: Any, dice: Random) -> None:
        self._client = client
        self._dice = dice
        self.today = today()
        self.model = Model()
        self.careers = Careers(dice, self.model.world, self.today)
        self._numbers = 0
        self._past: dict[int, World] = {}

    async def prepare(self) -> None:
        """Three persons, the small catalogue and its equivalences."""
        for _ in range(3):
            await self._new_person()
        known = [("certification.published", data) for data in CATALOGUE]
        known += [("equivalence.recognised", data) for data in (PARTIAL, TOTAL)]
        for number, (name, data) in enumerate(known):
            await self._post(Posted(name, data, f"prepare-{number}"))

    async def step(self) -> Step:
        """One step, by itself."""
        step = self.careers.step()
        match step:
            case NewPerson():
                await self._new_person()
            case Merged(kept_id, merged_id):
                answer = await self._client.post(f"/v1/persons/{kept_id}/merge", json={"merged_id": merged_id})
                expected = self.model.merge(kept_id, merged_id, self.today)
                _compare_call(step, expected, answer, accepted=200)
            case Erased(person_id):
                answer = await self._client.delete(f"/v1/persons/{person_id}/identity")
                expected = self.model.erase(person_id, self.today)
                _compare_call(step, expected, answer, accepted=204)
            case Posted():
                await self._post(step)
        return step

    async def batch(self, size: int) -> None:
        """So many posts in one batch, each chosen in the knowledge of those before it."""
        steps: list[Posted] = []
        expected: list[Accepted | Refused] = []
        while len(steps) < size:
            step = self.careers.step()
            if isinstance(step, Posted):
                steps.append(self._numbered(step))
                expected.append(self._expect(steps[-1]))
        media_type = {"Content-Type": "application/cloudevents-batch+json"}
        answer = await self._client.post("/v1/events", json=[_event(step) for step in steps], headers=media_type)
        if answer.status_code != 200:
            raise Disagreement(f"a batch is answered by {answer.status_code}: {answer.text}")
        results = answer.json()["results"]
        for step, expectation, result in zip(steps, expected, results, strict=True):
            compare(step, expectation, (result["status"], result))

    async def _new_person(self) -> None:
        number = len(self.model.world.persons)
        identity = {
            "birth_name": f"Exemple {''.join(chr(ord('a') + int(digit)) for digit in str(number))}",
            "first_names": ["Alice"],
            "birth_date": "1980-01-01",
            "sex": "F",
            "birth_place": {"insee": "75056"},
        }
        answer = await self._client.post("/v1/persons", json=identity)
        if answer.status_code != 201:
            raise Disagreement(f"a new person is answered by {answer.status_code}: {answer.text}")
        self.model.register_person(answer.json()["person_id"], self.today)

    async def _post(self, step: Posted) -> None:
        media_type = {"Content-Type": "application/cloudevents+json"}
        answer = await self._client.post("/v1/events", json=_event(step), headers=media_type)
        body = answer.json()
        made = body.get("data", {}).get("certificate_number")
        if answer.status_code == 201 and made and "certificate_number" not in step.data:
            compare_made_number(made, body["data"]["family"], step.data["awarded_on"])
        compare(step, self._expect(step, made), (answer.status_code, body))

    def _expect(self, step: Posted, number: str | None = None) -> Accepted | Refused:
        type_ = f"certibranche.{step.name}.v1"
        return self.model.post(type_, step.data, self.today, source=SOURCE, id_=step.id_, number=number)

    def _numbered(self, step: Posted) -> Posted:
        """A post that leaves no number to the registry."""
        if step.name != "certificate.awarded" or "certificate_number" in step.data:
            return step
        self._numbers += 1
        return Posted(step.name, step.data | {"certificate_number": f"Batch-{self._numbers}"}, step.id_)

    # the read models

    async def compare_views(self) -> None:
        """Compare every read model that the model has with the registry's, as of now, and remember this moment."""
        now = len(self.model.world.log)
        await self._compare(self.model.world, min_position=now)
        self._past[now] = deepcopy(self.model.world)

    async def compare_past(self) -> None:
        """Compare them as of every moment remembered."""
        for position, world in self._past.items():
            await self._compare(world, as_of=position)

    async def _compare(self, world: World, **moment: int) -> None:
        for person_id in world.persons:
            await self._compare_person(world, person_id, moment)
        for registration_id in world.registrations:
            shown = await self._get(f"/v1/registrations/{registration_id}", moment)
            _same(f"registration {registration_id} {moment}", views.registration(world, registration_id), shown)
        for number in world.certificates:
            shown = await self._get(f"/v1/certificates/{number}", moment)
            _same(f"certificate {number} {moment}", views.certificate(world, number), shown)
        for year in range(2015, self.today.year + 1):
            for branch in (None, "metallurgie", "chimie", "plasturgie"):
                params = moment | {"year": year} | ({"branch": branch} if branch else {})
                expected, shown = views.counts(world, year, branch), await self._get("/v1/branch/counts", params)
                _same(f"counts {params}", comparable_counts(expected), comparable_counts(shown))

    async def _compare_person(self, world: World, person_id: str, moment: Data) -> None:
        path = f"/v1/persons/{person_id}/competencies"
        if self.model.world.who(person_id) in self.model.world.erased:  # whatever as_of
            answer = await self._client.get(path, params=moment)
            _same(f"erased person {person_id} {moment}", 410, answer.status_code)
            return
        for at in (self.today, date(2018, 12, 31), date(2021, 6, 1)):
            shown = await self._get(path, moment | {"at": at.isoformat()})
            expected = views.competencies(world, person_id, at)
            _same(f"competencies of {person_id} at {at} {moment}", in_one_order(expected), in_one_order(shown))

    async def _get(self, path: str, params: Data) -> Data:
        give_up_at = time.monotonic() + SHOWN_S
        answer = await self._client.get(path, params=params)
        while answer.status_code == 503 and "wanted_position" in answer.json() and time.monotonic() < give_up_at:
            answer = await self._client.get(path, params=params)  # each waits for the position itself
        if answer.status_code != 200:
            raise Disagreement(f"{path} {params} is answered by {answer.status_code}: {answer.text}")
        body: Data = answer.json()
        body.pop("position", None)
        return body


def compare(step: Step, expected: Accepted | Refused, answer: Answer) -> None:
    """Disagreement unless the answer to a post is what the contract says."""
    status, body = answer
    if isinstance(expected, Accepted):
        agreed = status == (201 if expected.new else 200)
        agreed = agreed and (body["data"], body["position"]) == (expected.data, expected.position)
    else:
        agreed = any(status == code and rule in {None, body.get("rule")} for code, rule in expected.reasons)
    if not agreed:
        raise Disagreement(f"{step}\n  expected: {expected}\n  answered: {status} {body}")


def _compare_call(step: Step, expected: Accepted | Refused, answer: Any, *, accepted: int) -> None:
    if isinstance(expected, Accepted):
        _same(str(step), accepted, answer.status_code)
    else:
        compare(step, expected, (answer.status_code, answer.json()))


def compare_made_number(number: str, family: str, awarded_on: str) -> None:
    """A4: the form of the numbers that the registry makes."""
    *parts, check = number.split("-")
    expected = [family, awarded_on[:4]]
    if parts[:2] != expected or len(parts) != 3 or len(parts[2]) != 8 or check_character("".join(parts)) != check:
        raise Disagreement(f"the made number {number} has not the form of A4")


def comparable_counts(counts: Data) -> Data:
    """Counts without rows that count nothing, and with the others in no order."""
    rows = {
        name: {row[key]: row for row in counts[name] if row["registered"] or row["beneficiaries"]}
        for name, key in (("by_certification", "certification_id"), ("by_region", "region"), ("by_branch", "branch"))
    }
    return counts | rows


def in_one_order(competencies: Data) -> Data:
    """Competencies whose lists are ordered by ids, where "by id" leaves open by which, and whether case counts."""
    ids = {
        "certificates": ("certificate_number",),
        "blocs": ("validation_id",),
        "competences": ("bloc_id", "competence_id"),
    }
    rows = {name: sorted(competencies[name], key=lambda row: [row[id_] for id_ in ids[name]]) for name in ids}
    return competencies | rows


def _same(what: str, expected: Any, shown: Any) -> None:
    for where, wanted, found in differences(expected, shown):
        raise Disagreement(f"{what}: {where}\n  expected: {wanted}\n  shown:    {found}")


def differences(expected: Any, shown: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ, as deep as that can be said."""
    if isinstance(expected, dict) and isinstance(shown, dict) and expected.keys() == shown.keys():
        for name in expected:
            yield from differences(expected[name], shown[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(shown, list) and len(expected) == len(shown):
        for index, (wanted, found) in enumerate(zip(expected, shown, strict=True)):
            yield from differences(wanted, found, f"{where}[{index}]")
    elif expected != shown:
        yield where, expected, shown


def _event(step: Posted) -> Data:
    return {
        "specversion": "1.0",
        "id": step.id_,
        "source": SOURCE,
        "type": f"certibranche.{step.name}.v1",
        "datacontenttype": "application/json",
        "data": step.data,
    }
