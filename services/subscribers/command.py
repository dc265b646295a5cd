"""`certibranche subscriber add`: a durable consumer for a downstream service, with a key that reads it and no more."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import rich_click as click

from contracts.subjects import SUBJECT_PREFIX
from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder, default_path
from services.embedded.nats import Nats
from services.embedded.options import data_option
from services.projections.relay.stream import Servers
from services.settings import SubscriberSettings, read
from services.subscribers.accounts import account_name, is_subscriber_name, subscriber_account
from services.subscribers.durable import make_durable
from services.subscribers.keys import new_seed, public_key


@click.group()
def subscriber() -> None:
    """Services downstream that read the stream."""


@subscriber.command()
@click.argument("name")
@click.option("--filter", "filters", multiple=True, metavar="SUBJECT", help="Only events of this subject. Repeatable.")
@data_option("The data folder of a running `certibranche up`.")
@click.option(
    "--seed",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the seed of its key is written. Default: NAME.nk; in the data folder with `certibranche up`.",
)
def add(name: str, filters: tuple[str, ...], data: Path | None, seed: Path | None) -> None:
    """Make a durable consumer NAME and its key; print what the server's configuration needs.

    The embedded NATS takes it over at once. Asked again, it prints the same.
    """
    if is_subscriber_name(name) is None:
        raise CannotRun(f"{name} is no name for a subscriber: a to z, 0 to 9 and hyphens, at most 31")
    for subject in filters:
        if not subject.startswith(f"{SUBJECT_PREFIX}."):
            raise CannotRun(f"{subject} is no subject of the stream: they begin with {SUBJECT_PREFIX}.")
    settings = read(SubscriberSettings, os.environ)
    if settings.nats_url is None:
        asyncio.run(_embedded(DataFolder(data or default_path(os.environ)), settings.nats_stream, name, filters, seed))
    else:
        servers = Servers(settings.nats_url, settings.nats_nkey, settings.nats_ca)
        seed = seed or Path(f"{name}.nk")
        if not seed.exists():
            _write(seed, new_seed())
        asyncio.run(_given(servers, settings.nats_stream, name, filters, seed))


async def _embedded(folder: DataFolder, stream: str, name: str, filters: Sequence[str], seed: Path | None) -> None:
    port = folder.running().nats_port
    if port is None:
        raise CannotRun("NATS is not embedded here: set CERTIBRANCHE_NATS_URL")
    server = Nats(folder, port, stream)
    first = await make_durable(Servers(server.admin_url), stream, name, filters)
    kept = server.subscriber_seed(name)
    if seed is not None:
        _write(seed, kept.read_bytes())
    await server.reload()
    _tell(name, stream, server.url, seed or kept, first)


async def _given(servers: Servers, stream: str, name: str, filters: Sequence[str], seed: Path) -> None:
    first = await make_durable(servers, stream, name, filters)
    hosts = ",".join(url.split("@")[-1].split("://")[-1] for url in servers.url.split(","))
    _tell(name, stream, hosts, seed, first)
    click.echo("# Add to the accounts of every NATS server (subscribers.conf), then twice: nats-server --signal reload")
    click.echo("# (the first lets the new account in, its imports answer after the second)")


def _write(seed: Path, content: bytes) -> None:
    try:
        with os.fdopen(os.open(seed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise CannotRun(f"{seed} cannot be written: {error.strerror}") from error


def _tell(name: str, stream: str, servers: str, seed: Path, first: int) -> None:
    """What its owner needs to know as comments, then the account for the server's configuration."""
    click.echo(f"# NATS    {servers}\n# stream  {stream}\n# durable {name}\n# key     {seed}")
    if first > 1:
        click.echo(f"# The stream begins at {first}: what is older is at GET /v1/log/entries.")
    account = subscriber_account(name, {"nkey": public_key(seed.read_bytes())}, stream)
    block = msgspec.json.format(msgspec.json.encode(account), indent=2).decode()
    click.echo(f'"{account_name(name)}": {block}')
