"""One child process as data, and how it is started: in a session of its own, and never outliving its parent."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_SIZE_MAX = 16 * 1024 * 1024  # bytes; a longer log is put aside (one generation) when its program starts

# linux/prctl.h, linux/securebits.h, linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged system account."""

    user_id: int
    group_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run and keep running.

    environment: the whole environment; None: the parent's.
    directory: where it runs; None: where the parent runs.
    account: whom it runs as; only root can name one.
    prepare: awaited before every start.
    ready: asked again and again until it says yes, at most ready_s seconds; None: ready once started.
    stop_signal: asks it to end; after stop_s seconds it is killed.
    orphan_signal: what the kernel sends it when the parent is gone without having stopped it.
    """

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    directory: str | None = None
    account: Account | None = None
    prepare: Callable[[], Awaitable[None]] | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """Start the program; its output is appended to its log.

    Call it from the main thread: the kernel takes the end of the *thread* that started a child for its parent's.
    """
    if program.log.exists() and program.log.stat().st_size > LOG_SIZE_MAX:
        program.log.replace(program.log.with_suffix(".old.log"))
    with program.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *program.argv,
            env=program.environment,
            cwd=program.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops all in order
            preexec_fn=_before_exec(program),
        )


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, on one line."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())


def _before_exec(program: Program) -> Callable[[], None]:
    parent = os.getpid()

    def in_child() -> None:
        if program.account is not None:
            _become(program.account)
        os.umask(0o077)
        if sys.platform == "linux":
            # After the change of user, which clears it. Elsewhere a killed supervisor leaves its children running.
            _checked(_libc.prctl(_PR_SET_PDEATHSIG, program.orphan_signal, 0, 0, 0))
            if os.getppid() != parent:  # it ended before the kernel was told
                os._exit(1)

    return in_child


def _become(account: Account) -> None:
    """Turn from root into the account, keeping one power of root's: to read below directories it may not enter.

    A checkout and a data folder often lie below a directory that only root may enter. Neither copies of the binaries
    nor wider modes on directories that are not ours are needed this way.
    """
    kept = _reading_capability()
    if kept is not None:
        # Keeps capabilities over setuid, and lets access(2) honour them, on which PostgreSQL relies to find itself.
        _checked(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(account.group_id)
    os.setuid(account.user_id)
    if kept is not None:
        mask = 1 << kept
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; low, then high
        _checked(_libc.capset(header, sets))
        _checked(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, kept, 0, 0))  # so that exec keeps it


def _reading_capability() -> int | None:
    """The least capability root holds here that reads everywhere: containers often take CAP_DAC_READ_SEARCH away."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if sys.platform != "linux" or _libc.capget(header, sets) != 0:
        return None
    held = sets[1]  # permitted, low
    return next((number for number in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if held >> number & 1), None)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
