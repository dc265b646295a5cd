"""The data folder: everything one embedded registry keeps on disk, and who may use it."""

import contextlib
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from services.embedded import CannotRun
from services.projections.transparency.note import new_key

LOCK_WAIT_S = 2.0  # a supervisor that is just ending, or a reader of the run state, holds the lock no longer


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """What a running `certibranche up` tells the other commands. Holds no password."""

    process_id: int
    api_url: str
    nats_port: int | None  # None: NATS is not embedded, CERTIBRANCHE_NATS_URL names it


class DataFolder:
    """Paths and secrets below one directory. Made on first use, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _lock(self) -> Path:
        return self.path / "lock"

    @property
    def _run_state(self) -> Path:
        return self.path / "run.json"

    def make(self) -> None:
        """Make the folder and its `logs`; the modes of folders that exist already are left alone."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CannotRun(f"the data folder {self.path} cannot be made: {error.strerror}") from error

    def create_once(self, name: str, content: Callable[[], bytes]) -> Path:
        """The path of the file `name` (mode 0600), written with `content()` unless it exists.

        Of two processes that create it at once one wins and both see its content; a crash leaves all of it or nothing.
        """
        self.make()
        path = self.path / name
        try:
            if not path.exists():
                with tempfile.NamedTemporaryFile(dir=self.path, prefix=f".{path.name}-") as file:
                    file.write(content())
                    file.flush()
                    os.fsync(file.fileno())
                    with contextlib.suppress(FileExistsError):
                        os.link(file.name, path)
        except OSError as error:
            raise CannotRun(f"{path} cannot be written: {error.strerror}") from error
        return path

    @property
    def vault_keys(self) -> Path:
        """The folder of the vault's master keys, once `make_vault_keys` has run."""
        return self.path / "vault-keys"

    def make_vault_keys(self) -> Path:
        """The folder of the vault's master keys, with a first one in it: 32 random bytes in hexadecimal.

        A folder made before keys could be rotated has its key elsewhere: it is moved.
        """
        self.make()
        self.vault_keys.mkdir(mode=0o700, exist_ok=True)
        before = self.path / "vault.key"
        if before.exists():
            before.rename(self.vault_keys / "first.key")
        if not any(self.vault_keys.glob("*.key")):
            self.create_once(f"{self.vault_keys.name}/first.key", lambda: secrets.token_hex(32).encode())
        return self.vault_keys

    def log_key(self) -> Path:
        """The file of the transparency log's signing key, which fixes its origin for ever."""
        return self.create_once("log.key", lambda: new_key(f"certibranche.local/{secrets.token_hex(8)}").encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: one supervisor at a time. The lock ends with the process, however it ends."""
        self.make()
        with self._lock.open("ab") as lock:
            give_up_at = time.monotonic() + LOCK_WAIT_S
            while not _locks(lock.fileno(), fcntl.LOCK_EX):
                if time.monotonic() > give_up_at:
                    raise CannotRun(f"another `certibranche up` is using the data folder {self.path}")
                time.sleep(0.05)
            try:
                yield
            finally:
                self._run_state.unlink(missing_ok=True)

    def tell(self, state: RunState) -> None:
        """Write the run state; only the holder of the lock may."""
        written = self._run_state.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(state))
        written.replace(self._run_state)

    def running(self) -> RunState:
        """The state of the `up` that is running on this folder; CannotRun when none is, or it is still starting."""
        try:
            with self._lock.open("rb") as lock:
                if not _locks(lock.fileno(), fcntl.LOCK_SH):
                    return msgspec.json.decode(self._run_state.read_bytes(), type=RunState)
        except FileNotFoundError:
            pass
        except PermissionError as error:
            raise CannotRun(f"the data folder {self.path} belongs to another user") from error
        raise CannotRun(f"`certibranche up` is not running on the data folder {self.path}")


def default_path(environment: Mapping[str, str]) -> Path:
    """Where state belongs: /var/lib for root, else $XDG_STATE_HOME (absolute, as its specification asks)."""
    if os.geteuid() == 0:
        return Path("/var/lib/certibranche")
    state = Path(environment.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "certibranche"


def _locks(file_descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(file_descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
