"""Groups that are decided while one is held at the gate: what tests of them share."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from eventsourcing.dcb.domain import Slice

from contracts.facts import Fact
from services.embedded.readiness import wait_until
from services.log.proposal import Proposal, Recorded
from services.log.writer import AHEAD_PROPOSALS_MIN, LogWriter
from services.registry.domain.persons import PersonToRectify, PersonToRegister
from tests.log.conftest import MakeWriter, objective, posted
from tests.log.gate import Gate

MANY = 2 * AHEAD_PROPOSALS_MIN
"""So many that half of them are decided while the others are put."""


async def trusting(make_writer: MakeWriter, gate: Gate) -> LogWriter:
    """A writer whose next group need not look. One event is in the log."""
    writer: LogWriter = await make_writer(connection_class=gate.connection())
    await writer.append_one(objective())
    return writer


def appends(writer: LogWriter, proposals: list[Proposal]) -> list[asyncio.Task[Recorded]]:
    return [asyncio.create_task(writer.append_one(proposal)) for proposal in proposals]


def counting(proposal: Proposal, decided: list[bytes]) -> Proposal:
    """The proposal, which notes each time that it is decided."""

    def decide(circumstances: Any) -> Any:
        decided.append(proposal.key)
        return proposal.decide(circumstances)

    return Proposal(decide, proposal.encode, proposal.key, proposal.content)


def deciding(decide: Callable[[], Slice[Fact]]) -> Proposal:
    """A proposal that is decided by such slices."""
    any_ = objective()
    return Proposal(lambda _: decide(), any_.encode, any_.key, any_.content)


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    assert await wait_until(holds, 20)


async def registered(writer: LogWriter) -> list[str]:
    """Persons whom another writer has registered."""
    persons = [str(uuid.uuid4()) for _ in range(MANY)]
    await writer.append([posted(PersonToRegister(person_id=id_, identity_commitment="0" * 64)) for id_ in persons])
    return persons


def rectified(person_id: str, time: int) -> Proposal:
    return posted(PersonToRectify(person_id=person_id, identity_commitment=f"{time:064}"))
