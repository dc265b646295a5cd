"""The machine, the settings and the versions of a run: what its figures mean nothing without."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from tests.bench.measure import Plan
from tests.bench.servers import Servers

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("eventsourcing", "asyncpg", "msgspec", "litestar", "uvicorn", "uvloop", "psycopg", "umadb")
POSTGRES_SETTINGS = (
    *("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"),
    *("shared_buffers", "min_wal_size", "max_wal_size", "checkpoint_timeout"),
)
SYNCS = 200


async def header(plan: Plan, servers: Servers) -> str:
    """Lines of what one needs to know, as a Markdown list."""
    connection = await asyncpg.connect(servers.postgres.url("postgres"))
    postgres = await connection.fetchval("SHOW server_version")
    settings = [f"{name}={await connection.fetchval(f'SHOW {name}')}" for name in POSTGRES_SETTINGS]
    await connection.close()
    lines = {
        "run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {revision()}",
        "cases": f"{plan.repetitions} repetitions of {plan.seconds:g} s each, in random order; figures are medians"
        + (", **small logs: a trial, no result**" if plan.quick else ""),
        "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {_memory_gb():.0f} GB, {platform.platform()}",
        "load before": "{:.1f}, {:.1f}, {:.1f} (1, 5, 15 minutes)".format(*os.getloadavg()),
        "disk": f"fdatasync of 8 kB: median {_sync_us(servers.folder.path):.0f} µs",
        "versions": ", ".join([f"Python {platform.python_version()}", f"PostgreSQL {postgres}", *_versions()]),
        "PostgreSQL": ", ".join(settings),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items()) + "\n"


def revision() -> str:
    """The git revision, with a mark when files differ from it."""
    git = ["git", "--no-optional-locks", "-C", str(REPOSITORY)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + (" with changes" if changed.stdout else "")


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} –")
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _sync_us(folder: Path) -> float:
    """How long the disk takes to promise 8 kB, in microseconds."""
    sync = getattr(os, "fdatasync", os.fsync)
    taken = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(8192))
            began = time.perf_counter()
            sync(file.fileno())
            taken.append(time.perf_counter() - began)
    (folder / "sync").unlink()
    return 1e6 * statistics.median(taken)
