"""Verifying and rebuilding: what is wrong is found and named, and new tables come in while the old ones serve."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.facts import Fact
from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer
from services.projections.app import VIEWS
from services.projections.builds import Asked, View, create_tables, read_build
from services.projections.events import Placed
from services.projections.follower import Follower, OtherVersion
from services.projections.keeping import keep, renew_once
from services.projections.rebuilding import NoWayBack, Rebuild
from services.projections.verifying import Verification
from services.projections.views.counts.tables import CountsView
from services.projections.writes import Folded, Write
from services.tasks import cancelled
from tests.fault.folded import folded, read_log, read_rows
from tests.integration.filled_log import FilledLog, filled_log, until
from tests.integration.read_side import read_side
from tests.tampering import tamper
from tests.unit.careers import awarded, merged, person, published, registered, uid

HISTORY: list[Fact] = [
    published("cqpm-a"),
    *(person(number) for number in range(4)),
    *(registered(number, number) for number in range(4)),
    awarded(1, 1),
    awarded(2, 2),
    merged(1, 2),
]
DAMAGE = {
    "competencies": f"UPDATE competencies.person SET state = '{{}}' WHERE person_id = '{uid('person', 0)}'",
    "counts": "UPDATE counts.cell SET registered = registered + 1",
    "entries": "DELETE FROM entries.tag WHERE position = 1",
}


class NewCounts(CountsView):
    """The next version: it means something else."""

    version = 2

    async def fold(self, asked: Asked, schema: str, events: Sequence[Placed], before: Any = None) -> Folded:
        folded = await super().fold(asked, schema, events, before)
        return folded._replace(writes=[_all_revoked(one) for one in folded.writes])


def _all_revoked(one: Write) -> Write:
    if ".cell " not in one.statement:
        return one
    *others, revoked = one.columns
    return Write(one.statement.replace("c.revoked + excluded.revoked", "1"), [*others, [1] * len(revoked)])


class OtherColumns(NewCounts):
    layout = 2


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[FilledLog]:
    async with filled_log(database_url) as filled:
        await filled.put(HISTORY)
        await filled.follow_up()
        yield filled


async def certibranche(log: FilledLog, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code and output of a command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        env=os.environ | {"CERTIBRANCHE_DATABASE_URL": log.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_the_tables_of_a_rebuild_are_those_of_the_migrations(log: FilledLog, view: View) -> None:
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns"
        " WHERE table_schema = $1 ORDER BY 1, ordinal_position"
    )
    indexes = "SELECT tablename, replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1 ORDER BY 1, 2"
    async with log.pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE SCHEMA built")
        await create_tables(connection, view, "built")
        for statement in (columns, indexes):
            assert await connection.fetch(statement, "built") == await connection.fetch(statement, view.name)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_right_view_is_verified(log: FilledLog, view: View) -> None:
    verdict = await Verification(view, log.pool, batch_events_max=3).run()
    assert verdict.right
    assert verdict.lines()[0].startswith(f"{view.name} equals the log at position {len(HISTORY)}")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_wrong_row_is_named_and_a_rebuild_puts_it_right(log: FilledLog, view: View) -> None:
    await log.pool.execute(DAMAGE[view.name])
    code, out, _ = await certibranche(log, "verify", view.name)
    assert code == 1
    assert "differs" in out or "missing" in out
    code, out, err = await certibranche(log, "rebuild", view.name)
    assert code == 0, err
    assert "differed in 1 keys" in out or view.name == "entries"
    assert f"Rebuild {view.name}: {len(HISTORY)} of {len(HISTORY)} events" in err
    assert (await certibranche(log, "verify", view.name))[0] == 0
    assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))


async def test_missing_rows_and_rows_too_many_are_named(log: FilledLog) -> None:
    await log.pool.execute(f"DELETE FROM competencies.person WHERE person_id = '{uid('person', 0)}'")
    await log.pool.execute("INSERT INTO competencies.alias VALUES ('x', 'y')")
    code, out, _ = await certibranche(log, "verify", "competencies")
    assert code == 1
    assert f"person {uid('person', 0)}: is missing" in out
    assert "alias x: is too much" in out


async def test_another_history_is_found_though_its_rows_are_the_same(log: FilledLog) -> None:
    """Of a log that was restored or tampered with: an attribute that no fold looks at."""
    await tamper(
        log.pool,
        "UPDATE log.event SET entry = convert_to(replace(convert_from(entry, 'UTF8'), 'urn:test', 'urn:tset'), 'UTF8')"
        " WHERE position = 7",
    )
    verdict = await Verification(CountsView(), log.pool).run()
    assert not verdict.comparison.different
    assert not verdict.right
    assert "digests differ" in verdict.lines()[0]


async def test_an_unknown_view_has_no_tables() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "verify", "pathways"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"counts" in said


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_rebuild_while_the_log_grows_and_is_followed_and_read(
    log: FilledLog, view: View, data_folder: DataFolder
) -> None:
    following = [asyncio.create_task(keep(each, log.pool, log.news)) for each in VIEWS]  # reads wait for all of them
    growing = asyncio.create_task(grow(log))
    positions: list[int] = []
    async with read_side(log, data_folder) as http:
        reading = asyncio.create_task(read(http, data_folder, positions))
        for _ in range(3):
            rebuilt = await Rebuild(view, log.pool, log.news).run()
            assert rebuilt.comparison is not None
            assert not rebuilt.comparison.different
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled(), "every answer was a 200"
    head = await growing
    await until(lambda: reached(log, view, head))
    await cancelled(*following)
    assert positions == sorted(positions), "no answer was older than one before"
    assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))
    assert (await Verification(view, log.pool).run()).right


async def grow(log: FilledLog) -> int:
    head = 0
    for number in range(10, 60):
        head = await log.put([person(number), registered(number, number), awarded(number, number)])
    return head


async def read(http: httpx.AsyncClient, data_folder: DataFolder, positions: list[int]) -> None:
    token = Issuer(data_folder).token(["persons:read", "log:read"], [""], "test", 60)
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        answer = await http.get("/v1/branch/counts?year=2018")
        assert answer.status_code == 200, answer.text
        positions.append(answer.json()["position"])
        answer = await http.get(f"/v1/persons/{uid('person', 1)}/competencies", headers=headers)
        assert answer.status_code == 200, answer.text
        answer = await http.get("/v1/log/entries?tag=certification:cqpm-a&limit=3", headers=headers)
        assert (answer.status_code, answer.text.count("\n")) == (200, 3), answer.text


async def reached(log: FilledLog, view: View, position: int) -> bool:
    return await log.position(view.name) >= position


async def test_the_tables_before_come_back(log: FilledLog) -> None:
    view = CountsView()
    first = await read_build(log.pool, "counts")
    assert first is not None
    await Rebuild(view, log.pool, log.news).run()
    second = await read_build(log.pool, "counts")
    await log.put([registered(9, 1)])
    await log.follow_up()
    code, out, err = await certibranche(log, "rebuild", "counts", "--rollback")
    assert code == 0, err
    live = await read_build(log.pool, "counts")
    assert live is not None
    assert second is not None
    assert (live.schema, live.position) == (first.schema, len(HISTORY) + 1)
    assert await read_rows(log.pool, view) == folded(view, await read_log(log.pool, view))
    kept = await read_build(log.pool, "counts:old")
    assert kept is not None
    assert kept.schema == second.schema
    assert "counts is live" in out


async def test_without_tables_before_there_is_no_way_back(log: FilledLog) -> None:
    with pytest.raises(NoWayBack, match="none is kept"):
        await Rebuild(CountsView(), log.pool, log.news).roll_back()
    assert (await certibranche(log, "rebuild", "counts", "--rollback"))[0] == 1


async def test_the_tables_of_two_rebuilds_ago_are_gone(log: FilledLog) -> None:
    for _ in range(3):
        await Rebuild(CountsView(), log.pool, log.news).run()
    schemas = await log.pool.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'counts%'")
    assert len(schemas) == 2


async def test_a_new_version_is_built_by_itself_and_tells_what_changed(log: FilledLog) -> None:
    with pytest.raises(OtherVersion):
        await Follower(NewCounts(), log.pool, log.news).step()
    running = asyncio.create_task(keep(NewCounts(), log.pool, log.news))
    head = await log.put([registered(9, 1)])

    async def new() -> bool:
        build = await read_build(log.pool, "counts")
        assert build is not None
        return (build.version, build.position) == (2, head)

    await until(new)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await log.pool.fetchval("SELECT version FROM projections.view WHERE name = 'counts:old'") == 1


async def test_a_program_of_yesterday_leaves_a_newer_version_alone(log: FilledLog) -> None:
    await renew_once(NewCounts(), log.pool, log.news)
    await renew_once(CountsView(), log.pool, log.news)
    build = await read_build(log.pool, "counts")
    assert build is not None
    assert build.version == 2
    await log.put([registered(9, 1)])
    with pytest.raises(OtherVersion):
        await Follower(CountsView(), log.pool, log.news).step()
    await Rebuild(CountsView(), log.pool, log.news).roll_back()  # by hand
    await log.follow_up()
    assert await read_rows(log.pool, CountsView()) == folded(CountsView(), await read_log(log.pool, CountsView()))


async def test_other_columns_are_not_read_by_a_program_that_does_not_know_them(
    log: FilledLog, data_folder: DataFolder
) -> None:
    rebuilt = await Rebuild(OtherColumns(), log.pool, log.news).run()
    assert rebuilt.comparison is None
    async with read_side(log, data_folder) as http:
        assert (await http.get("/v1/branch/counts?year=2018")).status_code == 503


async def test_a_view_without_tables_gets_some(log: FilledLog) -> None:
    async with log.pool.acquire() as connection:
        await connection.execute("DROP SCHEMA counts CASCADE; DELETE FROM projections.view WHERE name = 'counts'")
    await renew_once(CountsView(), log.pool, log.news)
    await log.follow_up()
    assert await read_rows(log.pool, CountsView()) == folded(CountsView(), await read_log(log.pool, CountsView()))


async def test_rows_made_before_events_were_counted_are_built_anew(log: FilledLog) -> None:
    """What the migration does with a view that has followed without a digest."""
    await log.pool.execute("UPDATE projections.view SET version = 0, events = 0 WHERE name = 'counts'")
    await renew_once(CountsView(), log.pool, log.news)
    assert (await Verification(CountsView(), log.pool).run()).right
