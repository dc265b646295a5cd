"""The browser files that others made: fetched by `npm pack`, held to their lock file.

    python -m services.edge.vendor fetch    # what the lock file names, into static/vendor/
    python -m services.edge.vendor check    # the files there are those of the lock file

To upgrade: set version and integrity (`npm view swagger-ui-dist@VERSION dist.integrity`) in vendor.lock.json, fetch,
and commit both.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import msgspec

STATIC = Path(__file__).parent / "static"
LOCK = STATIC / "vendor.lock.json"
VENDOR = STATIC / "vendor"


class Package(msgspec.Struct):
    """`integrity` is npm's, of the tarball; `files` are SHA-256 digests in hex."""

    name: str
    version: str
    integrity: str
    licence: str
    files: dict[str, str]


def package() -> Package:
    """The one package of the lock file."""
    return msgspec.json.decode(LOCK.read_bytes(), type=Package)


def changed_files() -> list[str]:
    """The names of the vendored files that are missing or not what the lock file says."""
    return [name for name, digest in package().files.items() if _digest(VENDOR / name) != digest]


def fetch() -> None:
    """Replace the vendored files by the package's, after its integrity was verified, and lock their digests."""
    locked = package()
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{locked.name}@{locked.version}", "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (arguments from our lock file)
        (tarball,) = Path(folder).iterdir()
        found = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if found != locked.integrity:
            raise SystemExit(f"{locked.name}: integrity is {found}, not {locked.integrity}")
        VENDOR.mkdir(exist_ok=True)
        with tarfile.open(tarball) as archive:
            for name in locked.files:
                member = archive.extractfile(f"package/{name}")
                assert member is not None
                (VENDOR / name).write_bytes(member.read())
    locked.files = {name: _digest(VENDOR / name) for name in locked.files}
    LOCK.write_bytes(msgspec.json.format(msgspec.json.encode(locked)) + b"\n")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fetch"]:
            fetch()
        case ["check"]:
            sys.exit(f"changed: {', '.join(changed)}" if (changed := changed_files()) else 0)
        case _:
            sys.exit(__doc__)
