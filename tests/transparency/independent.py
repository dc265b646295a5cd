"""An auditor and a witness in Go, on the code of Go's own checksum database: nothing of ours is in them but `go/`.

The compiler comes as a wheel and brings golang.org/x/mod with it, so building needs no network.
"""

import asyncio
import base64
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent / "go"

_MODULE = """module independent
go 1.24
require golang.org/x/mod v0.0.0
replace golang.org/x/mod => ./mod
"""


def build(folder: Path, cache: Path) -> Path:
    """The program, compiled in an empty folder. cache: what Go keeps from one time to the next."""
    (package,) = importlib.util.find_spec("go").submodule_search_locations  # type: ignore[union-attr]
    for source in SOURCES.glob("*.go"):
        shutil.copy(source, folder)
    for part in ("note", "tlog"):
        shutil.copytree(Path(package, "src/cmd/vendor/golang.org/x/mod/sumdb", part), folder / "mod/sumdb" / part)
    (folder / "mod/go.mod").write_text("module golang.org/x/mod\ngo 1.24\n")
    (folder / "go.mod").write_text(_MODULE)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOCACHE": str(cache),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    # Not optimised: it compiles a third faster, and has little to do.
    command = (Path(package, "bin/go"), "build", "-gcflags=all=-N -l", "-ldflags=-s -w", "-o", "program", ".")
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder / "program"


class Audited(NamedTuple):
    """What the auditor has said, and whether the log has passed."""

    passed: bool
    said: str


class Auditor:
    """`program audit`: replays a published folder, and checks what it makes of it against the signed checkpoint."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def audit(self, folder: Path, vkey: str, old: Path | None = None) -> Audited:
        """old: the file of an older checkpoint that the log must continue."""
        command = [self._program, "audit", folder, vkey, *([old] if old else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return Audited(done.returncode == 0, done.stdout + done.stderr)


class Witness(NamedTuple):
    """A witness that runs: where, and the key of its cosignatures."""

    url: str
    vkey: str


@contextlib.asynccontextmanager
async def witness(program: Path, name: str, log_vkey: str, state: Path) -> AsyncIterator[Witness]:
    """`program witness`, with the same key every time for one name. state: the file that it remembers the log in."""
    seed = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
    process = await asyncio.create_subprocess_exec(
        program, "witness", name, seed, log_vkey, state, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            port = (await process.stdout.readline()).decode().strip()
            vkey = (await process.stdout.readline()).decode().strip()
        yield Witness(f"http://127.0.0.1:{port}", vkey)
    finally:
        process.kill()
        await process.wait()
