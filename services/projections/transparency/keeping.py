"""Keeping the transparency log published: the publisher, as far as no other process does it."""

from pathlib import Path
from typing import NamedTuple

import asyncpg

from services.log.listener import Listener
from services.projections.leases import Lease
from services.projections.transparency.disk import Disk
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Signer
from services.projections.transparency.publisher import FOLLOWER, Publisher
from services.settings import FollowSettings, SettingsRefused


class Place(NamedTuple):
    """Where the log is published, and what signs it."""

    disk: Disk
    guard: Guard


def place_of(settings: FollowSettings) -> Place | None:
    """What the settings say; None when the log is not published.

    Raises SettingsRefused when they are half of what it needs, or the key is damaged.
    """
    if settings.tiles is None and settings.log_key is None:
        return None
    if settings.tiles is None or settings.log_key is None:
        raise SettingsRefused(["CERTIBRANCHE_TILES and CERTIBRANCHE_LOG_KEY: set both, or neither"])
    try:
        signer = Signer(settings.log_key)
    except ValueError as error:
        raise SettingsRefused([f"CERTIBRANCHE_LOG_KEY: {error}"]) from error
    folder = Path(settings.tiles).absolute()
    guard = Path(settings.log_guard or f"{folder}.guard").absolute()
    return Place(Disk(folder), Guard(guard, signer))


async def keep_published(place: Place, pool: asyncpg.Pool, news: Listener) -> None:
    """Publish until cancelled, as far as no other process does."""
    await Lease(pool, FOLLOWER).lead(Publisher(pool, news, place.disk, place.guard).run)
