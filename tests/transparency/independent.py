"""An auditor and a witness in Go, on the code of Go's own checksum database: nothing of ours is in them but `go/`.

The compiler comes as a wheel and brings golang.org/x/mod with it, so building needs no network.
"""

import asyncio
import base64
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent / "go"

_MODULE = """module independent
go 1.24
require golang.org/x/mod v0.0.0
replace golang.org/x/mod => ./mod
"""


def build(cache: Path) -> Path:
    """The program, compiled unless it is there from another run, or another process of this one.

    cache: a folder for it, and for what Go keeps.
    """
    (package,) = map(Path, importlib.util.find_spec("go").submodule_search_locations)  # type: ignore[union-attr]
    sources = {source.name: source.read_bytes() for source in sorted(SOURCES.glob("*.go"))}
    made_of = hashlib.sha256(repr((sources, (package / "VERSION").read_text())).encode()).hexdigest()
    program = cache / f"independent-{made_of[:16]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory() as folder:
                _compile(package, sources, Path(folder), cache).replace(program)
    return program


def _compile(package: Path, sources: Mapping[str, bytes], folder: Path, cache: Path) -> Path:
    """The program, made in the cache from sources and the library's code that are copied to an empty folder."""
    for name, content in sources.items():
        (folder / name).write_bytes(content)
    for part in ("note", "tlog"):
        shutil.copytree(package / "src/cmd/vendor/golang.org/x/mod/sumdb" / part, folder / "mod/sumdb" / part)
    (folder / "mod/go.mod").write_text("module golang.org/x/mod\ngo 1.24\n")
    (folder / "go.mod").write_text(_MODULE)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOCACHE": str(cache / "go"),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    # Not optimised: it compiles a third faster, and has little to do.
    flags = ("-gcflags=all=-N -l", "-ldflags=-s -w", "-o", cache / "compiled")
    subprocess.run((package / "bin/go", "build", *flags, "."), cwd=folder, env=environment, check=True)
    return cache / "compiled"


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
