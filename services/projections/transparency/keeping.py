"""Keeping the transparency log published: the publisher, as far as no other process does it."""

import asyncio
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg

from services.log.listener import Listener
from services.projections.exposition import counted
from services.projections.leases import Lease
from services.projections.transparency.disk import Disk
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Signer
from services.projections.transparency.policy import NO_POLICY, Policy, parse_policy
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import FOLLOWER, Publisher
from services.projections.transparency.witnessing import Witnessing
from services.settings import FollowSettings, SettingsRefused


class Place(NamedTuple):
    """Where the log is published, what signs it, and who cosigns it."""

    disk: Disk
    guard: Guard
    policy: Policy = NO_POLICY


def place_of(settings: FollowSettings) -> Place | None:
    """What the settings say; None when the log is not published.

    Raises SettingsRefused when they are half of what it needs, or the key is damaged.
    """
    if settings.tiles is None and settings.log_key is None and settings.log_policy is None:
        return None
    if settings.tiles is None or settings.log_key is None:
        raise SettingsRefused(["CERTIBRANCHE_TILES and CERTIBRANCHE_LOG_KEY: set both, or neither"])
    try:
        signer = Signer(settings.log_key)
    except ValueError as error:
        raise SettingsRefused([f"CERTIBRANCHE_LOG_KEY: {error}"]) from error
    folder = Path(settings.tiles).absolute()
    guard = Path(settings.log_guard or f"{folder}.guard").absolute()
    policy = NO_POLICY if settings.log_policy is None else _policy(Path(settings.log_policy), signer)
    return Place(Disk(folder), Guard(guard, signer), policy)


def _policy(path: Path, signer: Signer) -> Policy:
    """The policy of a file, which must be of this log, and leave it a way to be published."""
    try:
        policy = parse_policy(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsRefused([f"CERTIBRANCHE_LOG_POLICY: {error}"]) from error
    if policy.logs and signer.vkey not in [log.vkey for log in policy.logs]:
        raise SettingsRefused([f"CERTIBRANCHE_LOG_POLICY: its log lines do not name {signer.vkey}"])
    if not policy.reached_by([name for name, witness in policy.witnesses.items() if witness.url]):
        raise SettingsRefused(["CERTIBRANCHE_LOG_POLICY: its quorum needs witnesses whose address it does not give"])
    return policy


async def keep_published(place: Place, pool: asyncpg.Pool, news: Listener) -> None:
    """Publish until cancelled, as far as no other process does."""
    publisher = Publisher(pool, news, place.disk, place.guard, policy=place.policy)
    witnessing = Witnessing(place.policy, publisher, Published(place.disk.folder))

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run(), name="publisher")
            tasks.create_task(witnessing.run(), name="witnessing")

    await Lease(pool, FOLLOWER, metrics=partial(counted, FOLLOWER)).lead(work)
