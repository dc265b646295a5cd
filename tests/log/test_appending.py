"""What the log promises to those who append: order, gapless positions, one record for each id, all or nothing."""

import asyncio
import hashlib
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from eventsourcing.dcb.domain import Slice

from contracts.envelope import ENTRY_BYTES_MAX, Envelope, encode
from contracts.facts import Fact, RegisterCandidate
from contracts.facts.catalogue import Bloc, Competence, PublishCertification
from contracts.problems import Bug, IdempotencyConflict, Problem, TooLarge, Unavailable
from contracts.refusals import JuryExists, RegistrationOverlaps, VersionOutOfOrder
from services.log import boundary
from services.log.proposal import Circumstances, Proposal, Recorded
from services.log.reader import LogReader
from services.log.writer import LogWriter
from services.registry.domain.persons import PersonToRegister
from tests.log.conftest import MakeWriter, jury, objective, posted
from tests.tampering import tamper


async def test_positions_are_one_two_three(writer: LogWriter, reader: LogReader) -> None:
    recorded = await asyncio.gather(*(writer.append_one(objective()) for _ in range(300)))
    assert sorted(r.position for r in recorded) == list(range(1, 301))
    entries = await reader.page(0)
    assert [entry.position for entry in entries] == list(range(1, 301))
    assert {r.position: r.entry for r in recorded} == {e.position: e.entry for e in entries}


async def test_recorded_time_never_decreases(make_writer: MakeWriter, pool: asyncpg.Pool, reader: LogReader) -> None:
    """Whether it was another writer, whose clock is ahead, that recorded the fact before, or this one."""
    one, other = await make_writer(), await make_writer()
    await one.append_one(objective())
    ahead = datetime.now(UTC) + timedelta(seconds=30)
    await tamper(pool, "UPDATE log.event SET recorded_at = $1", ahead)
    for writer in (other, other, one):
        await writer.append_one(objective())
    assert [entry.event().recorded_at for entry in await reader.page(1)] == [ahead] * 3


async def test_a_writer_whose_clock_is_more_than_a_minute_behind_refuses(
    make_writer: MakeWriter, pool: asyncpg.Pool, reader: LogReader
) -> None:
    one, other = await make_writer(), await make_writer()
    await one.append_one(objective())
    await tamper(pool, "UPDATE log.event SET recorded_at = now() + interval '90 seconds'")
    with pytest.raises(Unavailable):
        await other.append_one(objective())
    assert await reader.head() == 1


async def test_a_refusal_fails_its_own_command_only(writer: LogWriter, reader: LogReader) -> None:
    id_ = str(uuid.uuid4())
    outcomes = await writer.append([jury(id_), jury(id_), objective()])
    assert [type(outcome) for outcome in outcomes] == [Recorded, JuryExists, Recorded]
    assert await reader.head() == 2


async def test_a_command_sees_the_facts_of_those_before_it_in_its_group(writer: LogWriter) -> None:
    """The reference too: version 2 needs version 1, of the same group."""
    certification_id = f"cqpm-{uuid.uuid4().hex[:8]}"
    outcomes = await writer.append([posted(certification(certification_id, version)) for version in (1, 2, 2)])
    assert [type(outcome) for outcome in outcomes] == [Recorded, Recorded, VersionOutOfOrder]


async def test_a_bug_in_a_decision_fails_its_own_command_only(writer: LogWriter, reader: LogReader) -> None:
    def broken(_: Circumstances) -> Slice[Fact]:
        raise ZeroDivisionError

    bug = Proposal(broken, lambda *_: b"", b"k" * 32, b"c" * 32)
    outcomes = await writer.append([objective(), bug, objective()])
    assert [type(outcome) for outcome in outcomes] == [Recorded, Bug, Recorded]
    assert await reader.head() == 2


async def test_an_event_beyond_the_limit_is_refused_and_leaves_no_gap(writer: LogWriter) -> None:
    small = objective()
    outcomes = await writer.append([too_large(small), small])
    assert isinstance(outcomes[0], TooLarge)
    assert isinstance(outcomes[1], Recorded)
    assert outcomes[1].position == 1


async def test_a_tag_of_two_lines_is_refused_and_not_cut_in_two(writer: LogWriter, reader: LogReader) -> None:
    """Tags are put as lines; no id of the contract has a line end."""
    await writer.append_one(objective())
    with pytest.raises(Bug):
        await writer.append_one(jury("one\ntwo"))
    assert (await writer.append_one(objective())).position == 2
    assert await reader.head() == 2


async def test_the_same_id_with_the_same_content_is_recorded_once(writer: LogWriter, reader: LogReader) -> None:
    first = await writer.append_one(objective(id_="a"))
    again = await writer.append_one(objective(id_="a"))
    assert not first.repeated
    assert again == first._replace(repeated=True)
    assert await reader.head() == 1


async def test_the_same_id_with_other_content_is_a_conflict(writer: LogWriter, reader: LogReader) -> None:
    first = await writer.append_one(objective(id_="a"))
    with pytest.raises(IdempotencyConflict) as conflict:
        await writer.append_one(objective(beneficiaries=2, id_="a"))
    assert conflict.value.rule == "I1"
    assert conflict.value.values["position"] == first.position
    assert await reader.head() == 1


async def test_ids_repeat_within_a_group_as_well(writer: LogWriter) -> None:
    outcomes = await writer.append([objective(id_="a"), objective(id_="a"), objective(beneficiaries=2, id_="a")])
    assert isinstance(outcomes[0], Recorded)
    assert outcomes[1] == outcomes[0]._replace(repeated=True)
    assert isinstance(outcomes[2], IdempotencyConflict)


async def test_a_refused_id_stays_free(writer: LogWriter) -> None:
    id_ = str(uuid.uuid4())
    await writer.append_one(jury(id_))
    refused = jury(id_)
    with pytest.raises(JuryExists):
        await writer.append_one(refused)
    taken = objective()
    recorded = await writer.append_one(Proposal(taken.decide, taken.encode, refused.key, taken.content))
    assert not recorded.repeated


async def test_an_atomic_batch_is_recorded_whole(writer: LogWriter, reader: LogReader) -> None:
    outcomes = await writer.append([objective() for _ in range(3)], atomic=True)
    assert all(isinstance(outcome, Recorded) for outcome in outcomes)
    assert await reader.head() == 3


async def test_of_a_refused_atomic_batch_nothing_remains(writer: LogWriter, reader: LogReader) -> None:
    """Not its events, nor its ids, nor its place in the catalogue, nor in the boundaries of those after it."""
    certification_id, id_ = f"cqpm-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    refused = [posted(certification(certification_id, 1)), jury(id_), objective(id_="a"), jury(id_)]
    together = await asyncio.gather(
        writer.append(refused, atomic=True),
        writer.append([posted(certification(certification_id, 2)), jury(id_), objective(beneficiaries=2, id_="a")]),
        return_exceptions=True,
    )
    assert isinstance(together[0], JuryExists)
    assert together[0].values["index"] == 3
    assert isinstance(together[1], list)
    assert [type(outcome) for outcome in together[1]] == [VersionOutOfOrder, Recorded, Recorded]
    assert await reader.head() == 2


async def test_of_a_refused_atomic_batch_nothing_remains_in_what_is_kept_of_a_person(
    writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: the second of the batch is refused, for the first is open; so is the first of those after the batch."""
    monkeypatch.setattr(boundary, "KEPT_FROM", 1)
    person_id, certification_id = str(uuid.uuid4()), f"cqpm-{uuid.uuid4().hex[:8]}"
    await writer.append(
        [
            posted(PersonToRegister(person_id=person_id, identity_commitment="0" * 64)),
            posted(certification(certification_id, 1)),
        ]
    )
    one, other, third, fourth = (registered(person_id, certification_id) for _ in range(4))
    answers = await asyncio.gather(
        writer.append([one, other], atomic=True), writer.append([third, fourth]), return_exceptions=True
    )
    assert isinstance(answers[0], RegistrationOverlaps)
    assert isinstance(answers[1], list)
    assert [type(outcome) for outcome in answers[1]] == [Recorded, RegistrationOverlaps]


async def test_of_an_event_beyond_the_limit_nothing_remains_in_what_is_kept_of_a_person(
    writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: a registration that is refused for its size is no open one."""
    monkeypatch.setattr(boundary, "KEPT_FROM", 1)
    person_id, certification_id = str(uuid.uuid4()), f"cqpm-{uuid.uuid4().hex[:8]}"
    before = [
        posted(PersonToRegister(person_id=person_id, identity_commitment="0" * 64)),
        posted(certification(certification_id, 1)),
    ]
    tried = [too_large(registered(person_id, certification_id)), registered(person_id, certification_id)]
    outcomes = await writer.append([*before, *tried])
    assert [type(outcome) for outcome in outcomes] == [Recorded, Recorded, TooLarge, Recorded]


def too_large(proposal: Proposal) -> Proposal:
    """The same command under another id, whose event has more bytes than an event may have."""

    def huge(fact: Fact, position: int, recorded_at: datetime) -> bytes:
        return encode(
            Envelope(id="x" * ENTRY_BYTES_MAX, source="urn:test", authid="tests"), fact, position, recorded_at
        )

    return Proposal(proposal.decide, huge, b"k" * 32, b"c" * 32)


def registered(person_id: str, certification_id: str) -> Proposal:
    return posted(
        RegisterCandidate(
            registration_id=str(uuid.uuid4()),
            person_id=person_id,
            certification_id=certification_id,
            target="CERTIFICATION",
            route="VAE",
            status="SALARIE",
            registered_on=date(2020, 1, 1),
        )
    )


async def test_a_caller_that_goes_away_while_its_group_is_put_does_not_harm_it(
    make_writer: MakeWriter, reader: LogReader
) -> None:
    """Its event is recorded all the same, and found by its key when it comes again."""
    putting = asyncio.Event()

    class Telling(asyncpg.Connection):  # type: ignore[misc]
        async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
            if "log.put" in query:
                putting.set()
            return await super().fetchval(query, *args, **kwargs)

    writer = await make_writer(connection_class=Telling)
    gone = asyncio.create_task(writer.append_one(objective(id_="gone")))
    stays = asyncio.create_task(writer.append_one(objective(id_="stays")))
    await putting.wait()
    gone.cancel()
    assert not (await stays).repeated
    assert gone.cancelled()
    assert (await writer.append_one(objective(id_="gone"))).repeated
    assert await reader.head() == 2


async def test_a_caller_that_goes_away_does_not_harm_its_group(writer: LogWriter, reader: LogReader) -> None:
    gone = asyncio.create_task(writer.append_one(objective()))
    stays = asyncio.create_task(writer.append_one(objective()))
    await asyncio.sleep(0)
    gone.cancel()
    recorded = await stays
    entry = await reader.entry(recorded.position)
    assert entry is not None
    assert entry.entry == recorded.entry


async def test_a_stopping_writer_answers_those_who_wait(make_writer: MakeWriter, reader: LogReader) -> None:
    writer: LogWriter = await make_writer()
    recorded = []
    for turns in range(40):  # stopped ever later: while looking, deciding, putting one group and deciding the next
        waiting = [asyncio.create_task(writer.append([objective()])) for _ in range(80)]
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        await writer.__aexit__(None, None, None)
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, (list, Problem)) for answer in answers)
        recorded += [outcome.position for answer in answers if isinstance(answer, list) for outcome in answer]
        writer = await make_writer()
    entries = [entry.position async for page in reader.entries(0, until=await reader.head()) for entry in page]
    assert entries == list(range(1, len(entries) + 1))
    assert set(recorded) <= set(entries)
    assert len(recorded) == len(set(recorded))


async def test_two_writers_cannot_both_win(make_writer: MakeWriter, reader: LogReader) -> None:
    """J3 through two writers: for each jury one wins, the other is refused; positions stay gapless."""
    one, two = await make_writer(), await make_writer()
    ids = [str(uuid.uuid4()) for _ in range(100)]
    answers = await asyncio.gather(
        *(writer.append_one(jury(id_)) for id_ in ids for writer in (one, two)), return_exceptions=True
    )
    for first, second in zip(answers[::2], answers[1::2], strict=True):
        assert sorted(type(answer).__name__ for answer in (first, second)) == ["JuryExists", "Recorded"]
    assert [entry.position for entry in await reader.page(0)] == list(range(1, 101))


async def test_a_writer_sees_the_catalogue_of_another(make_writer: MakeWriter) -> None:
    one, two = await make_writer(), await make_writer()
    certification_id = f"cqpm-{uuid.uuid4().hex[:8]}"
    for writer, version in ((one, 1), (two, 2), (one, 3)):
        await writer.append_one(posted(certification(certification_id, version)))
    with pytest.raises(VersionOutOfOrder):
        await two.append_one(posted(certification(certification_id, 3)))


async def test_concurrent_retries_through_two_writers_are_recorded_once(
    make_writer: MakeWriter, reader: LogReader
) -> None:
    one, two = await make_writer(), await make_writer()
    answers = await asyncio.gather(*(writer.append_one(objective(id_="a")) for writer in (one, two) * 10))
    assert [answer.repeated for answer in answers].count(False) == 1
    assert {answer.position for answer in answers} == {1}
    assert await reader.head() == 1


async def test_the_key_is_the_hash_of_source_and_id(writer: LogWriter, pool: asyncpg.Pool) -> None:
    proposal = objective(id_="a")
    await writer.append_one(proposal)
    row = await pool.fetchrow("SELECT key, content FROM log.event WHERE position = 1")
    assert row["key"] == hashlib.sha256(b"urn:test\x00a").digest()
    assert row["content"] == proposal.content


def certification(certification_id: str, version: int) -> PublishCertification:
    return PublishCertification(
        certification_id=certification_id,
        version=version,
        family="CQPM",
        title="Soudeur industriel",
        effective_from=datetime(2015, 1, 1, tzinfo=UTC).date(),
        blocs=(
            Bloc(
                bloc_id=f"{certification_id}-b1",
                title="Souder",
                competences=(Competence(competence_id="c1", label="Souder"),),
            ),
        ),
    )
