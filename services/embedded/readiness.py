"""Questions whose answers say that a server is up, or that its port is free."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable

from services.embedded import CannotRun

POLL_S = 0.05
ANSWER_S = 5.0  # a server that takes longer for one answer is not ready


async def wait_until(condition: Callable[[], Awaitable[bool]], limit_s: float) -> bool:
    """Ask until the answer is yes; False when limit_s seconds have passed without one."""
    give_up_at = time.monotonic() + limit_s
    while not await condition():
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def first_line(host: str, port: int, request: bytes = b"") -> bytes:
    """The first line a server says, after `request`; empty when it says nothing."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line longer than the reader's limit
        return b""


async def http_ok(host: str, port: int, path: str) -> bool:
    """Whether GET `path` answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: certibranche\r\nConnection: close\r\n\r\n"
    return (await first_line(host, port, request.encode())).split(b" ")[1:2] == [b"200"]


async def claim_port(host: str, port: int, limit_s: float = 1.0) -> None:
    """Make sure that the port can be listened on; a server of a killed run may take a moment to go.

    CannotRun: it is in use, or may not be used.
    """
    problem: OSError | None = None

    async def free() -> bool:
        nonlocal problem
        try:
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                return True
        except OSError as error:
            problem = error
            return False

    if not await wait_until(free, limit_s):
        assert problem is not None
        raise CannotRun(f"port {port} on {host} cannot be used: {os.strerror(problem.errno or 0)}") from problem


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
