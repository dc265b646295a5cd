"""Events that a fold cannot take: their keys wait and say so, all else goes on, and after a repair nothing is lost."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.facts import Fact
from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer
from services.projections.app import VIEWS
from services.projections.builds import Asked, View, read_build
from services.projections.events import Placed
from services.projections.exposition import followers
from services.projections.parking import Poison
from services.projections.rebuilding import Rebuild
from services.projections.unparking import unpark
from services.projections.verifying import Verification
from services.projections.views.competencies.tables import CompetenciesView
from services.projections.views.counts.tables import CountsView
from services.projections.writes import Folded
from tests.fault.folded import folded, read_log, read_rows
from tests.integration.filled_log import FilledLog, filled_log
from tests.integration.read_side import read_side
from tests.tampering import tamper
from tests.unit.careers import awarded, closed, erased, merged, person, published, registered, revoked, uid

BEGIN: list[Fact] = [published("cqpm-a"), *(person(number) for number in range(5))]


class Failing:
    """A fold with a bug: it does not take what names some registrations."""

    registrations: Sequence[int] = ()

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        bad = {uid("registration", number) for number in self.registrations}
        if any(getattr(event.data, "registration_id", None) in bad for event in events):
            raise RuntimeError("a bug in the fold")
        folded: Folded = await super().fold(asked, schema, events, before)  # type: ignore[misc]
        return folded


class FailingCompetencies(Failing, CompetenciesView):
    pass


class FailingCounts(Failing, CountsView):
    pass


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(BEGIN)
        yield filled


@pytest_asyncio.fixture
async def http(log: FilledLog, data_folder: DataFolder) -> AsyncIterator[httpx.AsyncClient]:
    async with read_side(log, data_folder) as client:
        scopes = ["persons:read", "log:read", "ops:read"]
        client.headers["Authorization"] = f"Bearer {Issuer(data_folder).token(scopes, [''], 'test', 60)}"
        yield client


async def happened(log: FilledLog, *facts: Fact, failing: Sequence[int] = (), batch: int = 500) -> int:
    """Let facts happen, and followers with a bug follow."""
    head = await log.put(facts)
    for view in (FailingCompetencies(), FailingCounts(), *VIEWS[2:]):
        if isinstance(view, Failing):
            view.registrations = failing
        follower = log.follower(view, batch)
        while await follower.step():
            pass
    return head


async def parked(log: FilledLog, view: str) -> dict[str, list[int]]:
    rows = await log.pool.fetch(
        "SELECT key, array_agg(position ORDER BY position) FROM projections.parked WHERE schema = $1 GROUP BY key", view
    )
    return dict(map(tuple, rows))


async def check_repaired(log: FilledLog) -> None:
    for view in (CompetenciesView(), CountsView()):
        assert not (await unpark(view, log.pool)).failures
        events = await read_log(log.pool, view)
        assert await read_rows(log.pool, view) == folded(view, events)
        build = await read_build(log.pool, view.name)
        assert build is not None
        assert (build.events, build.parked) == (len(events), 0)
        verdict = await Verification(view, log.pool).run()
        assert verdict.right, verdict.lines()


@pytest.mark.parametrize("batch", [1, 2, 500])
async def test_a_persons_later_events_wait_and_others_go_on(log: FilledLog, batch: int) -> None:
    start = len(BEGIN)
    facts = [registered(1, 1), registered(2, 2), closed(1, 1), awarded(2, 2), registered(3, 1)]
    head = await happened(log, *facts, failing=[1], batch=batch)
    for view in ("competencies", "counts"):
        assert await log.position(view) == head
        assert await parked(log, view) == {f"person:{uid('person', 1)}": [start + 1, start + 3, start + 5]}
    held = await log.pool.fetchval("SELECT state FROM competencies.person WHERE person_id = $1", uid("person", 2))
    assert uid("registration", 2) in held
    await check_repaired(log)


async def test_what_comes_later_waits_behind_it_even_when_the_fold_would_take_it(log: FilledLog) -> None:
    await happened(log, registered(1, 1), failing=[1])
    await happened(log, registered(2, 1), awarded(2, 1), registered(3, 3))
    assert [len(positions) for positions in (await parked(log, "counts")).values()] == [3]
    await check_repaired(log)


@pytest.mark.parametrize("batch", [1, 3, 500])
@pytest.mark.parametrize("kept_is_parked", [True, False])
async def test_a_merge_with_a_waiting_person_waits_and_so_does_the_other(
    log: FilledLog, kept_is_parked: bool, batch: int
) -> None:
    kept, gone = (1, 2) if kept_is_parked else (2, 1)
    await happened(log, registered(1, 1), registered(2, 2), awarded(2, 2), failing=[1], batch=batch)
    await happened(log, merged(kept, gone), awarded(1, kept), revoked(awarded(2, 2), kept), failing=[1], batch=batch)
    assert set(await parked(log, "counts")) == {f"person:{uid('person', number)}" for number in (1, 2)}
    await check_repaired(log)


async def test_a_person_who_was_merged_before_waits_under_every_id(log: FilledLog, http: httpx.AsyncClient) -> None:
    await happened(log, merged(1, 2), registered(1, 1), failing=[1])
    await happened(log, registered(2, 2))  # under the id that is no longer used
    assert len((await parked(log, "competencies"))[f"person:{uid('person', 1)}"]) == 2
    for number in (1, 2):
        answer = await http.get(f"/v1/persons/{uid('person', number)}/competencies")
        assert answer.status_code == 503
    await check_repaired(log)


async def test_waiting_persons_chained_by_merges_are_played_together(log: FilledLog) -> None:
    await happened(log, registered(1, 1), registered(3, 3), merged(1, 2), merged(3, 4), failing=[1, 3])
    await happened(log, merged(1, 3), awarded(1, 1), awarded(3, 1), failing=[1, 3])
    await check_repaired(log)


async def test_answers_say_what_is_missing(log: FilledLog, http: httpx.AsyncClient) -> None:
    before = await happened(log, registered(2, 2))
    head = await happened(log, registered(1, 1), closed(1, 1, "CANCELLED"), registered(4, 4), failing=[1])
    answer = await http.get(f"/v1/persons/{uid('person', 1)}/competencies")
    assert (answer.status_code, answer.headers["Registry-Parked"], answer.headers["Registry-Position"]) == (
        503,
        "2",
        str(head),
    )
    assert int(answer.headers["Retry-After"]) > 0
    then = await http.get(f"/v1/persons/{uid('person', 1)}/competencies?as_of={before}")
    assert then.status_code == 200, "nothing was missing then"
    other = await http.get(f"/v1/persons/{uid('person', 2)}/competencies")
    assert (other.status_code, "Registry-Parked" in other.headers) == (200, False)
    counts = await http.get("/v1/branch/counts?year=2018")
    assert (counts.json()["registered"], counts.headers["Registry-Parked"]) == (2, "2")
    then = await http.get(f"/v1/branch/counts?year=2018&as_of={head - 2}")
    assert then.headers["Registry-Parked"] == "1"
    then = await http.get(f"/v1/branch/counts?year=2018&as_of={before}")
    assert "Registry-Parked" not in then.headers
    await check_repaired(log)
    again = await http.get("/v1/branch/counts?year=2018")
    assert "Registry-Parked" not in again.headers
    assert again.headers["ETag"] != counts.headers["ETag"]


async def test_operators_see_what_waits_and_why(log: FilledLog, http: httpx.AsyncClient) -> None:
    head = await happened(log, registered(1, 1), closed(1, 1), failing=[1])
    answer = await http.get("/v1/ops/followers")
    assert answer.status_code == 200
    assert answer.json()["head"] == head
    [counts] = [one for one in answer.json()["followers"] if one["name"] == "counts"]
    assert (counts["position"], counts["lag_positions"], counts["parked_events"], counts["parked_keys"]) == (
        head,
        0,
        2,
        1,
    )
    [key] = counts["parked"]
    assert key["key"] == f"person:{uid('person', 1)}"
    assert (key["events"], key["first_position"], key["error"]) == (2, head - 1, "RuntimeError: a bug in the fold")


async def test_operators_alone_see_the_followers(http: httpx.AsyncClient, data_folder: DataFolder) -> None:
    token = Issuer(data_folder).token(["log:read"], [""], "test", 60)
    answer = await http.get("/v1/ops/followers", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


async def test_what_still_cannot_be_played_goes_on_waiting(log: FilledLog) -> None:
    await happened(log, registered(1, 1), registered(3, 3), awarded(3, 3), failing=[1, 3])
    view = FailingCounts()
    view.registrations = [1]
    unparked = await unpark(view, log.pool)
    assert unparked.played == 2
    [failure] = unparked.failures
    assert f"position {len(BEGIN) + 1}" in failure
    assert list(await parked(log, "counts")) == [f"person:{uid('person', 1)}"]
    await check_repaired(log)


async def test_a_rebuild_fails_loudly_and_changes_nothing(log: FilledLog) -> None:
    await happened(log, registered(1, 1), awarded(1, 1))
    before = await log.contents()
    view = FailingCounts()
    view.registrations = [1]
    with pytest.raises(Poison, match=f"position {len(BEGIN) + 1}: RuntimeError: a bug in the fold"):
        await Rebuild(view, log.pool, log.news).run()
    after = await log.contents()
    assert {table: rows for table, rows in after.items() if "counts" in table} == {
        table: rows for table, rows in before.items() if "counts" in table
    }


async def test_a_rebuild_with_the_repaired_fold_needs_no_unparking(log: FilledLog) -> None:
    await happened(log, registered(1, 1), awarded(1, 1), failing=[1])
    rebuilt = await Rebuild(CountsView(), log.pool, log.news).run()
    assert rebuilt.comparison is not None
    assert rebuilt.comparison.different > 0
    build = await read_build(log.pool, "counts")
    assert build is not None
    assert build.parked == 0
    view: View = CountsView()
    assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))


async def test_bytes_that_are_not_of_their_type_wait_too(log: FilledLog) -> None:
    """Nobody can have recorded them; but the log is what it is."""
    head = await happened(log, registered(1, 1), registered(2, 2))
    await tamper(
        log.pool,
        "UPDATE log.event SET entry = convert_to(replace(convert_from(entry, 'UTF8'), '\"2018-03-01\"', '1'), 'UTF8')"
        " WHERE position = $1",
        head,
    )
    for view in ("competencies", "counts"):
        for table in await log.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", view):
            await log.pool.execute(f"TRUNCATE {view}.{table['tablename']}")
    await log.pool.execute(
        "UPDATE projections.view SET position = 0, events = 0, digest = decode(repeat('00', 32), 'hex')"
        " WHERE name <> 'entries'"
    )
    await happened(log)
    assert await parked(log, "counts") == {f"person:{uid('person', 2)}": [head]}
    assert (await unpark(CountsView(), log.pool)).played == 0


async def test_a_person_erased_in_the_log_is_erased_at_once(log: FilledLog, http: httpx.AsyncClient) -> None:
    """Whether the view has come so far or not, under every id, and though events of the person wait."""
    await happened(log, registered(1, 1), merged(1, 2), failing=[1])
    await log.put([merged(3, 1), erased(3)])
    for number in (1, 2, 3):
        for query in ("", f"?as_of={len(BEGIN)}"):
            answer = await http.get(f"/v1/persons/{uid('person', number)}/competencies{query}")
            assert answer.status_code == 410, answer.text
    answer = await http.get(f"/v1/persons/{uid('person', 4)}/competencies")
    assert answer.status_code == 200


async def test_followers_without_tables_are_shown_too(log: FilledLog) -> None:
    await log.pool.execute("INSERT INTO projections.lease VALUES ('relay', 'me', 1, 'infinity')")
    shown: Any = {one.name: one for one in (await followers(log.pool)).followers}
    assert (shown["relay"].holder, shown["relay"].position) == ("me", None)
