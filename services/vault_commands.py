"""`certibranche vault`: for those who keep the vault's keys."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg
import rich_click as click

from contracts.problems import Problem
from services.embedded.data_folder import DataFolder, default_path
from services.embedded.options import RUNNING, data_option
from services.embedded.postgres import Postgres
from services.log.pool import open_pool
from services.registry.vault.ring import KeyRing
from services.registry.vault.rotation import (
    AnotherRotation,
    RectificationsUnderWay,
    rotate_fingerprint_key,
    rotate_master_key,
)
from services.settings import VaultSettings, is_set, read

TOLD_ROWS = 10_000
"""Progress is a line this often."""

VACUUM = "VACUUM vault.person, vault.intent, vault.fingerprint_key"
"""Frees what the rows were before. It is the owner's right: another user's is passed over with a warning."""

KNOWN_FAILURES = (AnotherRotation, RectificationsUnderWay, Problem, asyncpg.PostgresError, OSError)


@click.group()
def vault() -> None:
    """New keys for the vault, while it serves. What a crash interrupts goes on when it is run again."""


@vault.command("new-master-key")
@data_option(RUNNING)
def new_master_key(data: Path | None) -> None:
    """Make a master key that is not in use yet, to be given to every process before `rotate-master-key`.

    Not needed where all of them see the same folder.
    """
    key = _place(data).ring.create()
    click.echo(f"master key {key.id} is in {key.id}.key; it is not in use")


@vault.command("rotate-master-key")
@data_option(RUNNING)
def rotate_master(data: Path | None) -> None:
    """Wrap all live keys with a new master key and destroy the one before: with it, the keys in older backups."""

    async def work(pool: asyncpg.Pool, ring: KeyRing) -> None:
        rotated = await rotate_master_key(pool, ring, _progress("keys wrapped anew"))
        click.echo(f"master key {rotated.current} is in use")
        if rotated.destroyed:
            click.echo(f"master key {rotated.retired} is destroyed")
        else:
            click.echo(f"master key {rotated.retired} is in use no more, but CERTIBRANCHE_VAULT_KEY still holds it:")
            click.echo("destroy it there, and run this again to have that on record")

    _run(data, work)


@vault.command("rotate-fingerprint-key")
@data_option(RUNNING)
def rotate_fingerprints(data: Path | None) -> None:
    """Make all fingerprints anew with a new key, and forget the one before."""

    async def work(pool: asyncpg.Pool, ring: KeyRing) -> None:
        version = await rotate_fingerprint_key(pool, ring, _progress("fingerprints made anew"))
        click.echo(f"fingerprint key {version} is in use, earlier ones are gone")

    _run(data, work)


class _Place(NamedTuple):
    """Where the vault is, and its master keys."""

    database_url: str
    ring: KeyRing


def _place(data: Path | None) -> _Place:
    """Of the data folder, when one is named or the environment names no database."""
    if data is None and is_set("database_url", os.environ):
        settings = read(VaultSettings, os.environ)
        return _Place(settings.database_url, KeyRing(settings.vault_key, Path(settings.vault_keys)))
    folder = DataFolder(data or default_path(os.environ))
    folder.running()  # raises CannotRun
    return _Place(Postgres(folder).url(), KeyRing(folder=folder.vault_keys))


def _run(data: Path | None, work: Callable[[asyncpg.Pool, KeyRing], Awaitable[None]]) -> None:
    """Do the work; exit code 1 when it fails in a way that we know."""
    place = _place(data)
    try:
        asyncio.run(_connected(place, work))
    except KNOWN_FAILURES as error:
        raise click.ClickException(str(error) or type(error).__name__) from error


async def _connected(place: _Place, work: Callable[[asyncpg.Pool, KeyRing], Awaitable[None]]) -> None:
    async with open_pool(place.database_url, "vault", connections_max=2) as pool:
        await work(pool, place.ring)
    connection = await asyncpg.connect(place.database_url)
    await connection.execute(VACUUM)
    await connection.close()


def _progress(label: str) -> Callable[[int], None]:
    done = 0

    def told(rows: int) -> None:
        nonlocal done
        if done // TOLD_ROWS < (done + rows) // TOLD_ROWS:
            click.echo(f"{done + rows} {label}", err=True)
        done += rows

    return told
