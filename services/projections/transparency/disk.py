"""The few things that are done to files, each whole or not at all, in an order that survives a crash."""

import os
import shutil
from pathlib import Path


class OtherBytes(RuntimeError):
    """A file that never changes is there with other bytes: this is not the log that it was made of."""


class Disk:
    """Files below one folder, written by one process at a time.

    Every step goes through `_step`, so that a test can stop after each; a test that stops no machine need not `_flush`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unsynced: set[Path] = set()

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""
        return (self.folder / path).read_bytes()

    def create(self, path: str, content: bytes) -> None:
        """Write a file that never changes. Raises OtherBytes when it is there with others; the same are left alone."""
        try:
            there = self.read(path)
        except FileNotFoundError:
            self.replace(path, content)
            return
        if there != content:
            raise OtherBytes(f"{path} is there with other bytes")
        # It may be of an attempt that was cut short before its name was safe.
        self._unsynced.add((self.folder / path).parent)

    def replace(self, path: str, content: bytes) -> None:
        """Write a file; whoever reads it sees all of the old one or all of the new. Safe once `sync` has returned."""
        target = self.folder / path
        self._make(target.parent)
        written = target.with_name(f".{target.name}.new")  # of one cut short, too: there is one writer
        with written.open("wb") as file:
            file.write(content)
            file.flush()
            self._flush(file.fileno())
        self._step(f"written {path}")
        written.replace(target)
        self._unsynced.add(target.parent)
        self._step(f"named {path}")

    def sync(self) -> None:
        """Make the names of all files safe that were written since the last time."""
        for folder in self._unsynced:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._flush(handle)
            finally:
                os.close(handle)
        self._unsynced.clear()
        self._step("synced")

    def remove(self, path: str) -> None:
        """Remove a folder of files that nobody needs any more, if it is there."""
        shutil.rmtree(self.folder / path, ignore_errors=True)
        self._step(f"removed {path}")

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            self._unsynced.add(folder.parent)

    def _flush(self, handle: int) -> None:
        """Make a file or a folder safe from a power cut."""
        os.fsync(handle)

    def _step(self, what: str) -> None:
        """Called after each step."""
