"""Bytes that wait for a slow reader: in memory up to a bound, then in an unlinked file."""

import os
import tempfile
from collections import deque
from typing import IO

MEMORY_BYTES_MAX = 1 << 20
PART_BYTES = 1 << 16


class Spool:
    """First in, first out. Never waits, never refuses (but for OSError on a full disk)."""

    def __init__(self, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._memory_bytes_max = memory_bytes_max
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file: IO[bytes] | None = None
        self._read = self._written = 0

    def put(self, part: bytes) -> None:
        """Once something waits in the file, what comes later queues behind it there."""
        if self._read == self._written and self._memory_bytes < self._memory_bytes_max:
            self._memory.append(part)
            self._memory_bytes += len(part)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (lives as long as the spool)
        view = memoryview(part)
        while view:
            count = os.pwrite(self._file.fileno(), view, self._written)
            self._written += count
            view = view[count:]

    def take(self) -> bytes:
        """The next bytes, about `PART_BYTES` of them; empty when none wait."""
        if self._memory:
            parts, size = [], 0
            while self._memory and size < PART_BYTES:
                parts.append(self._memory.popleft())
                size += len(parts[-1])
            self._memory_bytes -= size
            return b"".join(parts)
        if self._file is None or self._read == self._written:
            return b""
        part = os.pread(self._file.fileno(), min(PART_BYTES, self._written - self._read), self._read)
        self._read += len(part)
        if self._read == self._written:
            self._file.truncate(0)
            self._read = self._written = 0
        return part

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
