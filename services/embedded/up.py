"""`certibranche up`: the whole registry on one machine, in one data folder, until it is told to stop."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from services.embedded import issuer
from services.embedded.data_folder import DataFolder, RunState
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.embedded.production import refuse_development, warnings
from services.embedded.program import Program
from services.embedded.readiness import claim_port, http_ok, wait_until
from services.embedded.supervisor import Supervisor, run_once
from services.settings import UpSettings, is_set, variable
from services.tasks import cancelled

READY_S = 60.0  # read models that have much to catch up on take longer; the interface serves meanwhile

REQUESTS = 1_000_000
"""What a client of an embedded registry may ask in ten seconds: more than one process answers."""

COMMANDS: Mapping[str, Sequence[str]] = {
    name: (sys.executable, "-P", "-m", "services.cli", name) for name in ("migrate", "serve", "follow", "relay")
}
"""How the registry's own processes are started; -P: never code from the directory we happen to run in."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What `up` runs, and where.

    tell: hears, a line each, what an operator wants to know.
    """

    folder: DataFolder
    settings: UpSettings
    api_port: int
    nats_port: int
    tell: Callable[[str], None]
    commands: Mapping[str, Sequence[str]] = field(default_factory=lambda: COMMANDS)

    @property
    def api_host(self) -> str:
        """The address at which this machine reaches the HTTP interface."""
        wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
        return wildcards.get(self.settings.host, self.settings.host)

    @property
    def api_url(self) -> str:
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"http://{host}:{self.api_port}"

    @property
    def embeds_nats(self) -> bool:
        return self.settings.nats_url is None

    def summary(self) -> dict[str, str]:
        """Label and value of what a newcomer needs to know once all is ready."""
        data = f"--data {shlex.quote(str(self.folder.path))}"
        lines = {"API": self.api_url, "docs": f"{self.api_url}/docs"}
        if self.embeds_nats:
            lines["NATS"] = f"127.0.0.1:{self.nats_port}, URL with password: certibranche nats-url {data}"
        if self.settings.jwks is None:
            lines["token"] = f"certibranche token persons:write registrations:write log:read {data}"
        return lines | {"logs": str(self.folder.logs), "stop": "Ctrl-C"}


async def up(installation: Installation, announce: Callable[[], None]) -> None:
    """Run the installation until SIGINT, SIGTERM or SIGHUP; `announce` is called once all is ready.

    CannotRun: what is given is not fit for production, the folder or a port is taken, before anything has started; or a
    part did not start.
    """
    refuse_development(installation.settings, os.environ)
    for warning in warnings(installation.settings):
        installation.tell(warning)
    stop = _stop_requested()
    with installation.folder.locked():
        await claim_port(installation.settings.host, installation.api_port)
        if installation.embeds_nats:
            await claim_port("127.0.0.1", installation.nats_port)
        supervisor = Supervisor(installation.tell)
        postgres = Postgres(installation.folder) if installation.settings.database_url is None else None
        starting = asyncio.create_task(_start(installation, supervisor, postgres))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                announce()
                await stopping
        finally:
            await cancelled(starting, stopping)
            await supervisor.stop()
            if postgres is not None:
                postgres.forget_sockets()


async def _start(installation: Installation, supervisor: Supervisor, postgres: Postgres | None) -> None:
    """The servers, the migration, the registry's processes: each once the one before is ready."""
    folder, settings = installation.folder, installation.settings
    environment = dict(os.environ) | _defaults(installation)

    if postgres is not None:
        await postgres.initialise()
        await supervisor.start(postgres.program())
        await postgres.create_database()
        environment[variable("database_url")] = postgres.url()
    migration = seeing = environment
    if settings.nats_url is None:
        nats = Nats(folder, installation.nats_port, settings.nats_stream)
        await supervisor.start(nats.program())
        environment[variable("nats_url")] = nats.relay_url
        migration = environment | {variable("nats_url"): nats.admin_url}
        seeing = environment | {variable("nats_url"): nats.monitor_url}
    nats_port = installation.nats_port if installation.embeds_nats else None
    folder.tell(RunState(process_id=os.getpid(), api_url=installation.api_url, nats_port=nats_port))

    await run_once(_program(installation, "migrate", migration))
    if postgres is not None:
        await postgres.create_users()
    for name in ("serve", "follow", "relay"):
        own = {variable("database_url"): postgres.url(user=name)} if postgres is not None else {}
        chosen = seeing if name == "serve" else environment
        await supervisor.start(_program(installation, name, chosen | own))
    if not await wait_until(partial(http_ok, installation.api_host, installation.api_port, "/health/ready"), READY_S):
        installation.tell(f"the registry runs, but is not ready after {READY_S:.0f} s; its logs are in {folder.logs}")


def _program(installation: Installation, name: str, environment: Mapping[str, str]) -> Program:
    live = partial(http_ok, installation.api_host, installation.api_port, "/health/live")
    return Program(
        name=name,
        argv=installation.commands[name],
        environment=environment,
        log=installation.folder.logs / f"{name}.log",
        ready=live if name == "serve" else None,
    )


def _defaults(installation: Installation) -> dict[str, str]:
    """Settings of the registry's processes that the operator has left to us."""
    folder = installation.folder
    chosen = {variable("port"): str(installation.api_port)}
    if not is_set("env", os.environ):
        chosen[variable("env")] = "development"
    if not any(is_set(name, os.environ) for name in ("vault_key", "vault_keys")):
        chosen[variable("vault_keys")] = str(folder.make_vault_keys())
    if not any(is_set(name, os.environ) for name in ("tiles", "log_key")):
        chosen[variable("tiles")] = str(folder.path / "tiles")
        chosen[variable("log_key") + "_FILE"] = str(folder.log_key())
    for name in ("client_requests", "address_requests"):  # here all clients are one's own
        if not is_set(name, os.environ):
            chosen[variable(name)] = str(REQUESTS)
    if installation.settings.jwks is None:
        jwks = str(issuer.Issuer(folder).jwks())
        chosen |= {"CERTIBRANCHE_JWKS": jwks}
        chosen |= {"CERTIBRANCHE_ISSUER": issuer.ISSUER, "CERTIBRANCHE_AUDIENCE": issuer.AUDIENCE}
    return chosen


def _stop_requested() -> asyncio.Event:
    requested = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, requested.set)
    return requested
