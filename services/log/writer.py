"""The one way into the log: proposals queue, one task takes all that wait and decides them as a group.

While a group is put the next one is decided on top of it. Where that will not do (`Transactor.trusting`), groups run
one after the other.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import structlog

from contracts.problems import Bug, Problem, Unavailable
from services.log.boundary import Wanted
from services.log.group import GROUP_BYTES_MAX, Doubt, Group
from services.log.proposal import Answer, Outcome, Proposal, Recorded, Reference, Unit
from services.log.transaction import HeadMoved, Transactor

log = structlog.get_logger()

Connect = Callable[[], Awaitable[asyncpg.Connection]]

GROUP_PROPOSALS_MAX = 256
"""A group takes units until it has so many proposals: the last unit may exceed it."""

AHEAD_PROPOSALS_MIN = 8
"""So many must wait for some of them to be decided while others are put: fewer are not worth a group of their own."""

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

_Waiting = tuple[Unit, Answer]


@dataclass(slots=True)
class _Ahead:
    """A group that trusts, decided and not put yet: more may join it."""

    group: Group
    waiting: list[_Waiting] = field(default_factory=list)
    results: list[list[Outcome] | Problem] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.group.appends) >= GROUP_PROPOSALS_MAX or self.group.entry_bytes >= GROUP_BYTES_MAX


class LogWriter:
    """Appends what slices decide. Any number of writers, in any number of processes, may run at once."""

    def __init__(self, connect: Connect, reference: Reference) -> None:
        self._connect = connect
        self._transactor = Transactor(reference)
        self._connection: asyncpg.Connection | None = None
        self._reading: asyncpg.Connection | None = None
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ahead: _Ahead | None = None
        self._putting: asyncio.Task[None] | None = None
        self._settling = False
        self._refusal: str | None = None

    async def __aenter__(self) -> "LogWriter":
        self._task = asyncio.create_task(self._run(), name="log writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Answer all who wait with 503; what had been committed is found again by its key (I1)."""
        assert self._task is not None
        for task in filter(None, (self._task, self._putting)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        _stopping([*(self._ahead.waiting if self._ahead else ()), *self._queue])
        self._disconnect()

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
        if atomic or len(proposals) <= UNIT_PROPOSALS_MAX:
            return await outcomes_of(self.enqueue(proposals, atomic=atomic))
        outcomes: list[Outcome] = []
        for first in range(0, len(proposals), UNIT_PROPOSALS_MAX):
            outcomes += await outcomes_of(self.enqueue(proposals[first : first + UNIT_PROPOSALS_MAX]))
        return outcomes

    def enqueue(self, proposals: Sequence[Proposal], *, atomic: bool = False, after: Answer | None = None) -> Answer:
        """As `append`, of one unit, for who waits in another way. Who cancels the answer waits no more: a unit that has
        not had its turn has none.

        after: the answer to what the same caller enqueued before: what the log could not take, nothing behind it goes
        past. So what is recorded of many units is always the first of them.
        """
        if self._refusal is not None:
            raise Unavailable(self._refusal, retry_after_s=REFUSED_S)
        if self._queued + len(proposals) > QUEUE_PROPOSALS_MAX:
            raise Unavailable(f"{self._queued} proposals wait for the log already.")
        answer: Answer = asyncio.get_running_loop().create_future()
        self._queue.append((Unit(proposals, atomic, after), answer))
        self._queued += len(proposals)
        self._woken.set()
        return answer

    async def append_one(self, proposal: Proposal) -> Recorded:
        """As `append`, for one; raises its problem."""
        (outcome,) = await self.append([proposal])
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0)  # let all who are ready now join the group
            if not self._ready():
                self._woken.clear()
                await self._woken.wait()
                continue
            group = self._take()
            try:
                if not await self._decide_ahead(group):
                    await self._until_put()
                    await self._answer(group)
            except asyncio.CancelledError:
                _stopping(group)
                raise
            except Exception:
                _failed(group)

    def _ready(self) -> bool:
        """Whether a group, or more of one, is to be decided now."""
        if not self._queue or self._settling:
            return False
        if self._putting is None:
            return True
        return self._queued >= AHEAD_PROPOSALS_MIN and not (self._ahead and self._ahead.full)

    def _take(self) -> list[_Waiting]:
        """All who wait; half of them if they are many and none is being put: the others are decided meanwhile."""
        halved = self._putting is None and self._transactor.trusts and self._queued >= 2 * AHEAD_PROPOSALS_MIN
        size_max = min(GROUP_PROPOSALS_MAX, self._queued // 2 if halved else self._queued)
        group: list[_Waiting] = []
        size = 0
        while self._queue and size < size_max:
            waiting = self._queue.popleft()
            self._queued -= len(waiting[0].proposals)
            size += len(waiting[0].proposals)
            if _stands(waiting):
                group.append(waiting)
        return group

    async def _decide_ahead(self, waiting: list[_Waiting]) -> bool:
        """Decide these, or the first of them, to be put next; False if the log must be looked at."""
        ahead, self._ahead = self._ahead, None  # nobody puts it while more is decided into it
        if ahead is None:
            group = self._transactor.trusting() if self._connection else None
            if group is None:
                return False
            ahead = _Ahead(group)
        results: list[list[Outcome] | Problem] = []
        try:
            with contextlib.suppress(Doubt, *_LOST, *_CONTENTION):  # who looks meets it again, and tells of it
                results = await self._transactor.decide(
                    ahead.group, [unit for unit, _ in waiting], partial(self._load, ahead.group)
                )
        finally:
            if ahead.group.layer.forgotten:
                self._queue_again(ahead.waiting)
                results = []
            else:
                ahead.waiting += waiting[: len(results)]
                ahead.results += results
                self._ahead = ahead if ahead.waiting else None
        if self._ahead is not None and self._putting is None:
            self._putting = asyncio.create_task(self._put(), name="log writer: put")
        if results:
            self._queue_again(waiting[len(results) :])
        return bool(results)

    async def _load(self, group: Group, wanted: Wanted) -> None:
        """Read more for a group, on another connection while the first one puts."""
        if self._putting is None:
            assert self._connection is not None
            return await self._transactor.load(self._connection, group, wanted)
        try:
            if self._reading is None:
                self._reading = await self._connect()
            await self._transactor.load(self._reading, group, wanted)
        except (*_LOST, asyncpg.PostgresError):
            if self._reading is not None:
                self._reading.terminate()
                self._reading = None
            raise

    async def _until_put(self) -> None:
        """Returns when all that is decided is recorded, or answered otherwise."""
        if self._putting is not None:
            await self._putting

    async def _put(self) -> None:
        """Put what is decided, group after group, as long as there is more."""
        try:
            while self._ahead is not None:
                ahead, self._ahead = self._ahead, None
                try:
                    await self._put_group(ahead)
                except asyncio.CancelledError:
                    _stopping(ahead.waiting)
                    raise
        finally:
            self._putting = None
            self._settling = False
            self._woken.set()

    async def _put_group(self, ahead: _Ahead) -> None:
        assert self._connection is not None
        try:
            await self._transactor.put(self._connection, ahead.group)
        except Exception as trouble:
            self._settling = True
            units = [unit for unit, _ in ahead.waiting]
            self._transactor.forget()
            if self._ahead is not None:  # decided on what is not recorded
                self._queue_again(self._ahead.waiting)
                self._ahead = None
            if isinstance(trouble, (*_LOST, *_CONTENTION)):
                self._in_doubt(units, trouble)
            elif not isinstance(trouble, Doubt):
                self._disconnect()
            await self._answer(ahead.waiting)
        else:
            for (_, answer), result in zip(ahead.waiting, ahead.results, strict=True):
                _resolve(answer, result)

    def _queue_again(self, waiting: list[_Waiting]) -> None:
        self._queue.extendleft(reversed(waiting))
        self._queued += sum(len(unit.proposals) for unit, _ in waiting)

    async def _answer(self, group: list[_Waiting]) -> None:
        """Run a group and give each caller its outcome, whatever happens."""
        if not (group := [waiting for waiting in group if _stands(waiting)]):
            return
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
        except Exception:
            _failed(group)
        else:
            for (_, answer), result in zip(group, results, strict=False):
                _resolve(answer, result)
            self._queue_again(group[len(results) :])

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
                self._in_doubt(units if began else (), trouble)
                if clock() > deadline:
                    raise Unavailable("The log is out of reach; posting again is safe.", retry_after_s=2) from trouble
                await asyncio.sleep(RETRY_S)
            except BaseException:
                self._disconnect()  # whatever state it is in: the server rolls back, and gives up the lock
                raise

    def _in_doubt(self, units: Sequence[Unit], trouble: Exception) -> None:
        """What these units asked for may have been committed, or may be yet, on a connection that is of no use now."""
        log.warning("the log is out of reach, trying again", trouble=type(trouble).__name__)
        for unit in units:
            unit.perhaps_committed = True
        self._disconnect()

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
        for connection in filter(None, (self._connection, self._reading)):
            connection.terminate()
        self._connection = self._reading = None


def _stands(waiting: _Waiting) -> bool:
    """Whether a unit is still to be recorded: its caller has not gone away, and what comes before it has not failed."""
    unit, answer = waiting
    if unit.after is not None and unit.after.done():
        if unit.after.cancelled():
            answer.cancel()
        elif isinstance(problem := unit.after.result(), Problem):
            _resolve(answer, problem)
        unit.after = None
    return not answer.done()


def _resolve(answer: Answer, result: list[Outcome] | Problem) -> None:
    if not answer.done():
        answer.set_result(result)


def _stopping(waiting: Sequence[_Waiting]) -> None:
    for _, answer in waiting:
        _resolve(answer, Unavailable("The registry is stopping."))


def _failed(waiting: Sequence[_Waiting]) -> None:
    log.exception("the log writer failed")
    for _, answer in waiting:
        _resolve(answer, Bug("The log could not take this."))


async def outcomes_of(answer: Answer) -> list[Outcome]:
    """The outcomes of what was submitted. Raises the problem that it has none for."""
    result = await answer
    if isinstance(result, Problem):
        raise result
    return result
