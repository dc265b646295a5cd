"""The one way into the log: proposals queue, one task takes all that wait and runs them as a group."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import structlog

from contracts.problems import Bug, Problem, Unavailable
from services.log.proposal import Outcome, Proposal, Recorded, Reference, Unit
from services.log.transaction import HeadMoved, Transactor

log = structlog.get_logger()

Connect = Callable[[], Awaitable[asyncpg.Connection]]

GROUP_PROPOSALS_MAX = 256
"""A group takes units until it has so many proposals: the last unit may exceed it."""

UNIT_PROPOSALS_MAX = 128
"""What is not atomic is cut into units of so many: others have their turn in between."""

QUEUE_PROPOSALS_MAX = 20_000
"""Beyond this, callers are told to come back."""

OUTAGE_S = 10.0
"""How long a group is tried again while the database is out of reach, before its callers get 503."""

RETRY_S = 0.1

REFUSED_S = 60
"""When callers may ask again while a person must look."""

# asyncpg raises the internal error when a server is killed in the middle of its answer.
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)
_CONTENTION = (
    HeadMoved,
    asyncpg.LockNotAvailableError,
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

_Waiting = tuple[Unit, "asyncio.Future[list[Outcome] | Problem]"]


class LogWriter:
    """Appends what slices decide. Any number of writers, in any number of processes, may run at once."""

    def __init__(self, connect: Connect, reference: Reference) -> None:
        self._connect = connect
        self._transactor = Transactor(reference)
        self._connection: asyncpg.Connection | None = None
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refusal: str | None = None

    async def __aenter__(self) -> "LogWriter":
        self._task = asyncio.create_task(self._run(), name="log writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Answer all who wait with 503; what had been committed is found again by its key (I1)."""
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for _unit, answer in self._queue:
            _resolve(answer, Unavailable("The registry is stopping."))
        if self._connection is not None:
            self._connection.terminate()

    def refuse(self, reason: str | None) -> None:
        """From now on record nothing, since something is wrong with the log itself; None: it is right again."""
        self._refusal = reason

    async def append(self, proposals: Sequence[Proposal], *, atomic: bool = False) -> list[Outcome]:
        """Decide proposals in order and record what they say: an outcome for each, a `Problem` where one is refused.

        Raises the first problem when `atomic`, with its `index`; Unavailable when the log is out of reach or full, or
        is not to be written.
        Whatever is answered as recorded is committed. Where Unavailable is raised some may be recorded, if not
        `atomic`: to append all again is safe.
        """
        self._refuse_more(len(proposals))
        if atomic or len(proposals) <= UNIT_PROPOSALS_MAX:
            return await self._outcomes(Unit(proposals, atomic))
        outcomes: list[Outcome] = []
        for first in range(0, len(proposals), UNIT_PROPOSALS_MAX):
            outcomes += await self._outcomes(Unit(proposals[first : first + UNIT_PROPOSALS_MAX]))
        return outcomes

    def enqueue(self, proposal: Proposal) -> "asyncio.Future[list[Outcome] | Problem]":
        """As `append_one`, for who waits in another way: the one outcome in a list, or why there is none."""
        self._refuse_more(1)
        return self._answer_to(Unit((proposal,)))

    def _refuse_more(self, proposals: int) -> None:
        if self._refusal is not None:
            raise Unavailable(self._refusal, retry_after_s=REFUSED_S)
        if self._queued + proposals > QUEUE_PROPOSALS_MAX:
            raise Unavailable(f"{self._queued} proposals wait for the log already.")

    def _answer_to(self, unit: Unit) -> "asyncio.Future[list[Outcome] | Problem]":
        answer: asyncio.Future[list[Outcome] | Problem] = asyncio.get_running_loop().create_future()
        self._queue.append((unit, answer))
        self._queued += len(unit.proposals)
        self._arrived.set()
        return answer

    async def _outcomes(self, unit: Unit) -> list[Outcome]:
        outcomes = await self._answer_to(unit)
        if isinstance(outcomes, Problem):
            raise outcomes
        return outcomes

    async def append_one(self, proposal: Proposal) -> Recorded:
        """As `append`, for one; raises its problem."""
        (outcome,) = await self.append([proposal])
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def _run(self) -> None:
        while True:
            self._arrived.clear()
            if not self._queue:
                await self._arrived.wait()
            await asyncio.sleep(0)  # let all who are ready now join the group
            await self._answer(self._take())

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._queue and size < GROUP_PROPOSALS_MAX:
            waiting = self._queue.popleft()
            self._queued -= len(waiting[0].proposals)
            if not waiting[1].done():  # a caller that went away before its turn leaves nothing behind
                group.append(waiting)
                size += len(waiting[0].proposals)
        return group

    async def _answer(self, group: list[_Waiting]) -> None:
        """Run a group and give each caller its outcome, whatever happens."""
        try:
            results = await self._record([unit for unit, _ in group])
        except Problem as problem:
            for _, answer in group:
                _resolve(answer, problem)
        except asyncpg.PostgresError:
            if len(group) == 1:
                log.exception("the log refused a unit")
                _resolve(group[0][1], Bug("The log could not take this."))
                return
            for waiting in group:  # one of them holds data the database refuses: only its own caller may hear of it
                await self._answer([waiting])
        except asyncio.CancelledError:
            for _, answer in group:
                _resolve(answer, Unavailable("The registry is stopping."))
            raise
        except Exception:
            log.exception("the log writer failed")
            for _, answer in group:
                _resolve(answer, Bug("The log could not take this."))
        else:
            for (_, answer), result in zip(group, results, strict=False):
                _resolve(answer, result)
            left = group[len(results) :]
            self._queue.extendleft(reversed(left))
            self._queued += sum(len(unit.proposals) for unit, _ in left)

    async def _record(self, units: Sequence[Unit]) -> list[list[Outcome] | Problem]:
        """Run a group, or its beginning, until it is known to be recorded or refused, or the outage lasts too long.

        A lost connection leaves the commit in doubt, and it may still happen later. Running the same group again
        through the lock settles it: what was recorded is found by its key.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + OUTAGE_S
        while True:
            began = False
            try:
                connection = await self._connected()
                began = True
                return await self._transactor.run(connection, units)
            except (*_LOST, *_CONTENTION) as trouble:
                log.warning("the log is out of reach, trying again", trouble=type(trouble).__name__)
                for unit in units:
                    unit.perhaps_committed |= began
                if clock() > deadline:
                    raise Unavailable("The log is out of reach; posting again is safe.", retry_after_s=2) from trouble
                self._disconnect()
                await asyncio.sleep(RETRY_S)
            except BaseException:
                self._disconnect()  # whatever state it is in: the server rolls back, and gives up the lock
                raise

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
            try:
                await self._transactor.prepare(self._connection)
            except BaseException:
                self._disconnect()
                raise
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _resolve(answer: "asyncio.Future[list[Outcome] | Problem]", result: list[Outcome] | Problem) -> None:
    if not answer.done():
        answer.set_result(result)
