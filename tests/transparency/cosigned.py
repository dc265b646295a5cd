"""A log that is published under a policy, and what signs for witnesses."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.projections.transparency.disk import Disk
from services.projections.transparency.note import COSIGNATURE, cosigned, key_id_of, read_note, size_of
from services.projections.transparency.policy import Policy, parse_policy
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import Publisher
from services.projections.transparency.witnessing import Witnessing
from tests.transparency.independent import Witness
from tests.transparency.published_log import PublishedLog, entries


class Cosigner:
    """A witness's key, from its specification."""

    def __init__(self, name: str, number: int = 0) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.name = name
        self._public = self._key.public_key().public_bytes_raw()
        self._id = key_id_of(name, self._public, COSIGNATURE)
        self.vkey = f"{name}+{self._id.hex()}+{base64.b64encode(COSIGNATURE + self._public).decode()}"

    def line(self, text: str, time: int = 1_800_000_000) -> str:
        signature = self._key.sign(cosigned(text.encode(), time))
        content = self._id + time.to_bytes(8, "big") + signature
        return f"— {self.name} {base64.b64encode(content).decode()}"


def policy(*witnesses: Witness, quorum: str = "none") -> Policy:
    """A policy of witnesses a, b, … and a group `all` of them."""
    lines = [f"witness {name} {one.vkey} {one.url}" for name, one in zip("abc", witnesses, strict=False)]
    return parse_policy("\n".join([*lines, f"group all all {' '.join('abc'[: len(lines)])}", f"quorum {quorum}"]))


class Cosigned:
    """A log that is published under a policy, step by step."""

    def __init__(self, log: PublishedLog, policy: Policy, disk: Disk | None = None) -> None:
        self.log = log
        self.policy = policy
        self.publisher: Publisher = log.publisher(disk, policy=policy)
        self.witnessing = Witnessing(policy, self.publisher, Published(log.folder), back_off_max_s=0.2)
        self.known: dict[str, int] = {}

    async def grow(self, size: int, history: str = "") -> None:
        """The log has so many entries, and a checkpoint is signed for them."""
        head = await self.log.pool.fetchval("SELECT coalesce(max(position), 0) FROM log.event")
        await self.log.put(entries(head + 1, size, history))
        while await self.publisher.step():
            pass

    async def show(self, name: str = "a", note: str | None = None) -> int:
        """Have one witness cosign the newest checkpoint, once."""
        note = note or self.publisher.newest()
        assert note is not None
        async with httpx2.AsyncClient() as client:
            size = await self.witnessing.show(self.policy.witnesses[name], client, note, self.known.get(name, 0))
        self.known[name] = size
        return size

    def signers(self, note: str | None = None) -> list[str]:
        """The witnesses that have signed the served checkpoint, or another."""
        note = (self.log.folder / "checkpoint").read_text() if note is None else note
        return [signer.name for signer in read_note(note, [one.verifier for one in self.policy.witnesses.values()])[1]]

    @property
    def served(self) -> int | None:
        """The size of the served checkpoint."""
        path = self.log.folder / "checkpoint"
        return size_of(path.read_text()) if path.exists() else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publisher and witnessing as the product runs them."""
        tasks = [asyncio.create_task(self.publisher.run()), asyncio.create_task(self.witnessing.run())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def holds(condition: Callable[[], bool]) -> bool:
    """For `until`: what is looked at needs no waiting."""
    return condition()
