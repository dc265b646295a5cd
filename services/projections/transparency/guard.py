"""What keeps the log's key from signing two histories: it remembers, outside the database, what it signed last."""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.projections.transparency.disk import Disk
from services.projections.transparency.note import Checkpoint, Signer, parse_checkpoint
from services.projections.transparency.tree import EMPTY_ROOT, ProofRefused, check_consistency


class SigningRefused(RuntimeError):
    """What should be signed is not a continuation of what was signed last. A person must look: nothing mends itself."""


class Guard:
    """A signer that signs only what continues its last checkpoint. The file belongs in no backup of the database."""

    def __init__(self, path: Path, signer: Signer, disk: Disk | None = None) -> None:
        self._path = path
        self._signer = signer
        self._disk = disk or Disk(path.parent)

    @property
    def origin(self) -> str:
        return self._signer.name

    @property
    def vkey(self) -> str:
        return self._signer.vkey

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that publishes: a process that was stopped for a while must not go on beside its successor.

        Raises SigningRefused while another does.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SigningRefused("another process is publishing this log") from None
            yield

    def last(self) -> Checkpoint:
        """What was signed last; the empty tree before the first signature. SigningRefused for another log's guard."""
        try:
            last = parse_checkpoint(self._disk.read(self._path.name).decode())
        except FileNotFoundError:
            return Checkpoint(self.origin, 0, EMPTY_ROOT)
        except ValueError as error:
            raise SigningRefused(f"the signing guard cannot be read: {error}") from error
        if last.origin != self.origin:
            raise SigningRefused(f"the signing guard is of {last.origin}, the key of {self.origin}")
        return last

    def signed_at(self) -> float:
        """When something was signed last, in seconds since 1970; 0 before the first signature."""
        try:
            return self._path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> str:
        """The signed checkpoint, remembered before it is given away. Under the lock.

        consistency: proof that this tree began as the last one. SigningRefused unless it does.
        """
        last = self.last()
        try:
            check_consistency(last.size, last.root, size, root, consistency)
        except ProofRefused as error:
            raise SigningRefused(f"size {size} does not continue what was signed for {last.size}: {error}") from error
        text = Checkpoint(self.origin, size, root).text()
        self._disk.replace(self._path.name, text.encode())
        self._disk.sync()
        return self._signer.sign(text)
