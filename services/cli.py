"""The command `certibranche`."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that `--help` answers at once

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from services.embedded import CannotRun
from services.embedded.options import DEFAULT, data_option
from services.settings import SettingsRefused

if TYPE_CHECKING:
    from services.embedded.data_folder import DataFolder

PORT = click.IntRange(1, 65535)


class LazyCommand(click.Command):
    """A command that lives in another module, imported when it runs. target: `package.module:attribute`."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        import importlib

        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command.make_context(info_name, args, parent, **extra)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="certibranche")
def cli() -> None:
    """A registry of branch certifications: immutable events, and read models that prove themselves."""


# A command with a module of its own is one line here.
cli.add_command(
    LazyCommand(
        "replay", "services.replay:replay", "Copy the log as NDJSON or Parquet, proving that nothing is left out."
    )
)
cli.add_command(
    LazyCommand("subscriber", "services.subscribers.command:subscriber", "Services downstream that read the stream.")
)
cli.add_command(LazyCommand("verify", "services.projections.commands:verify", "Prove a view right by the log."))
cli.add_command(LazyCommand("rebuild", "services.projections.commands:rebuild", "Build a view anew, without a pause."))
cli.add_command(LazyCommand("unpark", "services.projections.commands:unpark", "Play a view's parked events."))
cli.add_command(
    LazyCommand("restore", "services.restore.command:restore", "Put back what a lost or older database lacks.")
)
cli.add_command(LazyCommand("vault", "services.vault_commands:vault", "New keys for the vault, while it serves."))
cli.add_command(LazyCommand("audit", "services.audit.command:audit", "Check a registry without trusting it."))
cli.add_command(LazyCommand("demo", "services.demo.command:demo", "Play a year of a branch into a running registry."))

folder_option = data_option(f"The data folder. {DEFAULT}")


@cli.command()
@folder_option
@click.option("--port", type=PORT, help="Port of the HTTP interface. Default: CERTIBRANCHE_PORT, or 8080.")
@click.option("--nats-port", type=PORT, default=4222, help="Port of the embedded NATS.")
def up(data: Path | None, port: int | None, nats_port: int) -> None:
    """Run the whole registry on this machine, until Ctrl-C."""
    from services.embedded.up import Installation, up
    from services.settings import UpSettings, read

    settings = read(UpSettings, os.environ)
    installation = Installation(
        folder=_folder(data),
        settings=settings,
        api_port=port or settings.port,
        nats_port=nats_port,
        tell=lambda line: click.echo(line, err=True),
    )
    asyncio.run(up(installation, lambda: _announce(installation.summary())))


@cli.command()
def serve() -> None:
    """Serve the HTTP interface."""
    from services.settings import ServeSettings, read

    settings = read(ServeSettings, os.environ)
    from services import app

    app.serve(settings)


@cli.command()
def follow() -> None:
    """Keep the read models and the transparency log up to date."""
    from services.settings import FollowSettings, read

    settings = read(FollowSettings, os.environ)
    from services.projections import app

    app.follow(settings)


@cli.command()
def relay() -> None:
    """Publish the log to NATS."""
    from services.settings import RelaySettings, read

    settings = read(RelaySettings, os.environ)
    from services.projections import app

    app.relay(settings)


@cli.command()
def migrate() -> None:
    """Make or upgrade the tables and the stream."""
    from services.settings import MigrateSettings, read

    settings = read(MigrateSettings, os.environ)
    from services import app

    app.migrate(settings)


@cli.command()
@click.argument("scopes", nargs=-1, required=True, metavar="SCOPE…")
@click.option("--source", "sources", multiple=True, metavar="PREFIX", help="A source it may post as. Default: any.")
@click.option("--organiser", "organisers", multiple=True, metavar="ID", help="Limit it to an organiser. Default: all.")
@click.option("--client-id", default="development", metavar="ID", help="The system it stands for.")
@click.option("--ttl", "ttl_s", type=click.IntRange(min=1), default=12 * 3600, metavar="SECONDS", help="How long.")
@folder_option
def token(
    *,
    scopes: tuple[str, ...],
    sources: tuple[str, ...],
    organisers: tuple[str, ...],
    client_id: str,
    ttl_s: int,
    data: Path | None,
) -> None:
    """Print an access token of the development issuer, for instance with the scopes persons:write log:read."""
    from services.embedded.issuer import Issuer
    from services.embedded.production import refuse_development_tokens
    from services.settings import UpSettings, read

    refuse_development_tokens(read(UpSettings, os.environ))
    separate_scopes = " ".join(scopes).split()
    issuer = Issuer(_folder(data))
    click.echo(issuer.token(separate_scopes, sources or ("",), client_id, ttl_s, organisers or None))


@cli.command()
@folder_option
def nats_url(data: Path | None) -> None:
    """Print the URL, password included, at which a subscriber reads the embedded NATS."""
    from services.embedded.nats import reader_url

    folder = _folder(data)
    port = folder.running().nats_port
    if port is None:
        raise CannotRun("NATS is not embedded here: CERTIBRANCHE_NATS_URL names it")
    click.echo(reader_url(folder, port))


def main() -> None:
    """Run the command line. What cannot be done is one line on stderr and exit code 1."""
    try:
        cli()
    except CannotRun as error:
        sys.exit(f"certibranche: {error}")
    except SettingsRefused as refused:
        sys.exit("\n".join(f"certibranche: {error}" for error in refused.errors))


def _folder(data: Path | None) -> "DataFolder":
    from services.embedded.data_folder import DataFolder, default_path

    return DataFolder(data or default_path(os.environ))


def _announce(lines: dict[str, str]) -> None:
    """Label and value, a line each; in colour on a terminal only."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for label, value in lines.items():
        console.print(Text.assemble((f"{label:<6}", "bold"), (value, "cyan")), soft_wrap=True)


if __name__ == "__main__":
    main()
