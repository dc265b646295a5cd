"""The ring of master keys: files outside every database, so that a key that is destroyed is in no backup."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contracts.problems import Unavailable
from services.registry.vault.keys import KEY_BYTES, MasterKey, new_key

SUFFIX = ".key"
_HEXADECIMAL = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")


class MasterKeyMissing(Unavailable):
    """The vault's tables name a master key that this process has not been given."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The vault's master key {key_id} is not among this process's keys.", retry_after_s=10)


class Wrapped(NamedTuple):
    """A key as it is stored, and the id of the master key that opens it."""

    key: bytes
    by: str


class KeyRing:
    """The master keys of this process: one that is given, and those of a folder, a file `*.key` each (64 hexadecimal
    characters). A file that holds no key is passed over: it is one whose destruction a crash has interrupted."""

    def __init__(self, given: bytes | None = None, folder: Path | None = None) -> None:
        self._given = None if given is None else MasterKey(given)
        self.folder = folder
        self._keys: dict[str, MasterKey] = {}
        self.reload()

    def reload(self) -> None:
        """Learn the keys that have come, forget those that are gone."""
        given = [] if self._given is None else [self._given]
        self._keys = {key.id: key for key in (*given, *(key for _, key in self._files()))}

    @property
    def ids(self) -> list[str]:
        return sorted(self._keys)

    def find(self, key_id: str) -> MasterKey:
        """The key of this id, looked for in the folder if it is not known yet. Raises MasterKeyMissing."""
        if key_id not in self._keys:
            self.reload()
        if key_id not in self._keys:
            raise MasterKeyMissing(key_id)
        return self._keys[key_id]

    def unwrap(self, owner: str, wrapped: Wrapped) -> bytes:
        """A key that a master key has wrapped. Raises MasterKeyMissing, and InvalidTag for another owner's."""
        return self.find(wrapped.by).unwrap(owner, wrapped.key)

    def create(self) -> MasterKey:
        """A new key in the folder. A crash leaves all of it or nothing."""
        assert self.folder is not None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = new_key()
        key = MasterKey(content)
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:  # mode 0600
            file.write(content.hex().encode())
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, self.folder / f"{key.id}{SUFFIX}")
        _sync(self.folder)
        self.reload()
        return key

    def destroy(self, key_id: str) -> bool:
        """Overwrite and remove the files of a key; whether the ring is without it now: one that is given stays."""
        for path in [path for path, key in self._files() if key.id == key_id]:
            with path.open("r+b", buffering=0) as file:
                file.write(bytes(2 * KEY_BYTES))
                os.fsync(file.fileno())
        self.clear_remains()
        self.reload()
        return key_id not in self._keys

    def clear_remains(self) -> None:
        """Remove the files of keys that were overwritten."""
        for path in self._paths():
            if not path.read_bytes().strip(b"\x00"):
                path.unlink(missing_ok=True)
        if self.folder is not None and self.folder.is_dir():
            _sync(self.folder)

    def _paths(self) -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(f"*{SUFFIX}"))

    def _files(self) -> Iterator[tuple[Path, MasterKey]]:
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):  # destroyed by another process meanwhile
                if found := _HEXADECIMAL.fullmatch(path.read_bytes()):
                    yield path, MasterKey(bytes.fromhex(found[1].decode()))


def _sync(folder: Path) -> None:
    """Make what was created or removed in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
