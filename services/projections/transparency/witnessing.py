"""Having checkpoints cosigned: each new one is shown to the policy's witnesses (c2sp.org/tlog-witness, add-checkpoint).

A witness that is out of reach is asked again. One that refuses has seen something that must not be, and nothing here
mends that: it is counted, logged as an error, and asked again at leisure, since its operator may be the one who erred.
"""

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import Sequence

import httpx2
import structlog

from services.projections.transparency.guard import SigningRefused
from services.projections.transparency.metrics import WITNESS_FAILURES, WITNESS_SIZE
from services.projections.transparency.note import NoteRefused, line_of, size_of, split_note, with_line
from services.projections.transparency.policy import NONE, Policy, Witness
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import Publisher
from services.projections.unreachable import UNREACHABLE

ANSWER_S = 10.0
BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.5, 60.0
POLL_S = 1.0
ANSWER_BYTES_MAX = 1 << 16
TRIES = 3
"""A witness that names another size each time is not asked for ever."""

TARGET_S = 5.0
"""How long all witnesses are shown one checkpoint until the policy is content with it, before a newer one is."""

_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n?").fullmatch
_REFUSALS = {403: "signature", 404: "unknown_origin", 422: "inconsistent"}

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class WitnessRefused(RuntimeError):
    """A witness does not cosign, or with what is no cosignature. kind: what for, as counted."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class Unanswered(RuntimeError):
    """A witness cannot answer right now."""


class Witnessing:
    """Has the publisher's checkpoints cosigned by every witness of the policy that has an address."""

    def __init__(
        self, policy: Policy, publisher: Publisher, published: Published, *, back_off_max_s: float = BACK_OFF_MAX_S
    ) -> None:
        self._policy = policy
        self._publisher = publisher
        self._published = published
        self._back_off_max_s = back_off_max_s
        self._target: str | None = None
        self._target_since = 0.0

    async def run(self) -> None:
        """Until cancelled. Without a witness there is nothing to do."""
        async with httpx2.AsyncClient(timeout=ANSWER_S) as client, asyncio.TaskGroup() as tasks:
            for witness in self._policy.witnesses.values():
                if witness.url is not None:
                    tasks.create_task(self._have_cosigned(witness, client), name=f"witness {witness.name}")

    async def _have_cosigned(self, witness: Witness, client: httpx2.AsyncClient) -> None:
        """Show one witness checkpoint after checkpoint, the newest or the one that others still have to cosign."""
        known, back_off_s = 0, BACK_OFF_MIN_S
        while True:
            news = self._publisher.news
            try:
                note = self._to_cosign()
                if note is None or size_of(note) <= known:
                    await _set_within(news, POLL_S)
                    continue
                known = await self.show(witness, client, note, known)
                WITNESS_SIZE.labels(witness.name).set(known)
                back_off_s = BACK_OFF_MIN_S
                continue
            except WitnessRefused as refused:
                WITNESS_FAILURES.labels(witness.name, refused.kind).inc()
                _log.error("witness.refused", witness=witness.name, kind=refused.kind, what=str(refused))
                back_off_s = self._back_off_max_s
            except (httpx2.HTTPError, Unanswered, *UNREACHABLE) as error:
                WITNESS_FAILURES.labels(witness.name, "unreachable").inc()
                _log.warning("witness.unreachable", witness=witness.name, error=repr(error), retry_in_s=back_off_s)
            except SigningRefused as error:  # another process publishes: it has its own witnesses' answers
                _log.warning("witness.not_kept", witness=witness.name, error=str(error), retry_in_s=back_off_s)
            except Exception:
                WITNESS_FAILURES.labels(witness.name, "halted").inc()
                _log.exception("witness.halted", witness=witness.name, retry_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, self._back_off_max_s)

    async def show(self, witness: Witness, client: httpx2.AsyncClient, note: str, known: int) -> int:
        """Have a checkpoint cosigned, and keep the cosignature; the size that the witness knows from now on.

        known: the size that it knew, as far as we know; it says so when it is another. Raises WitnessRefused,
        Unanswered, httpx2.HTTPError, and what keeping raises.
        """
        size, text = size_of(note), split_note(note)[0]
        for _ in range(TRIES):
            hashes = await self._published.growth(known, size, size=size)
            status, said = await _post(client, f"{witness.url}/add-checkpoint", request_of(known, hashes, note))
            if status == 200:
                try:
                    line = line_of(witness.verifier, text, said.split("\n"))
                except NoteRefused as error:
                    raise WitnessRefused("cosignature", str(error)) from error
                await self._publisher.cosigned(with_line(note, line))
                return size
            if status != 409:
                _raise_for(status, said)
            known = _known_size(said, known, size)
        raise WitnessRefused("conflict", f"the size it knows changes each time it is asked, {known} at last")

    def _to_cosign(self) -> str | None:
        """The newest checkpoint. Where a quorum is wanted, all witnesses are shown the same one until it has it."""
        newest, target = self._publisher.newest(), self._target
        if target is None or newest is None or self._policy.quorum == NONE:
            fresh = newest
        else:
            kept = self._publisher.at(size_of(target)) or target
            overdue = time.monotonic() - self._target_since > TARGET_S
            fresh = newest if overdue or self._policy.satisfied_by(kept) else target
        if fresh != target:
            self._target, self._target_since = fresh, time.monotonic()
        return fresh


def request_of(known: int, hashes: Sequence[bytes], note: str) -> bytes:
    """The body of add-checkpoint: the size that the witness knows, the proof from there on, the checkpoint."""
    lines = [f"old {known}", *(base64.b64encode(part).decode() for part in hashes), ""]
    return ("".join(f"{line}\n" for line in lines) + note).encode()


async def _post(client: httpx2.AsyncClient, url: str, body: bytes) -> tuple[int, str]:
    """Status and text of the answer. Redirections are not followed."""
    said = bytearray()
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    async with client.stream("POST", url, content=body, headers=headers, follow_redirects=False) as answer:
        async for part in answer.aiter_bytes():
            said += part
            if len(said) > ANSWER_BYTES_MAX:
                raise WitnessRefused("answer", f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
    return answer.status_code, said.decode(errors="replace")


def _raise_for(status: int, said: str) -> None:
    """Raise what a status other than 200 and 409 means. The witness's own words go into the log line."""
    if status >= 500 or status == 429:
        raise Unanswered(f"it answers {status}")
    raise WitnessRefused(_REFUSALS.get(status, "answer"), f"it answers {status}: {said[:200].strip()!r}")


def _known_size(said: str, known: int, size: int) -> int:
    """The size that a 409 names. WitnessRefused when that cannot be a tree that this log has had before."""
    if not (match := _SIZE(said)):
        raise WitnessRefused("answer", f"it answers 409 with no size: {said[:200].strip()!r}")
    named = int(match[1])
    if named > size:
        raise WitnessRefused("ahead", f"it has cosigned size {named} of this log, we have signed {size}")
    if named == known:
        raise WitnessRefused("conflict", f"it has cosigned another tree of size {known}")
    return named


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
