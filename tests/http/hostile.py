"""Raw bytes to a registry's port, and what comes back."""

import asyncio
import contextlib
import re
from typing import NamedTuple

ANSWER_S = 20.0
_STATUS = re.compile(rb"(?:^|[^ ])HTTP/1\.1 ([0-9]{3}) ")


class Answer(NamedTuple):
    """All that came back until the connection ended. `statuses`: of each answer in it."""

    content: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.content)]


async def exchange(port: int, *parts: bytes, leave: bool = False) -> Answer:
    """Send the parts and read to the end, which must come in time. leave: the client says that it will send no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = b""
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
        if leave:
            writer.write_eof()
    async with asyncio.timeout(ANSWER_S):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(1 << 16):
                content += part
    writer.close()
    return Answer(content)


def request(line: str, *fields: str, body: bytes = b"", **more: str) -> bytes:
    """The bytes of a request, whose connection ends with the answer. The fields are sent as they are."""
    host = more.get("host", "registry")
    head = [line, f"Host: {host}", "Connection: close", *fields, "", ""]
    return "\r\n".join(head).encode("latin-1") + body
