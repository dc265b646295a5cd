"""Which media types a route understands. Litestar itself takes any body for JSON."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from contracts.problems import UnsupportedMediaType


def media_type_of(content_type: str) -> str:
    """The media type of a Content-Type header's value, lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


class Accepts:
    """The guard of a route with a body: 415 for any media type but these."""

    def __init__(self, *media_types: str) -> None:
        self.media_types = media_types

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        given = media_type_of(connection.headers.get("content-type", ""))
        if given not in self.media_types:
            understood = ", ".join(self.media_types)
            raise UnsupportedMediaType(f"This address understands {understood}.", media_types=list(self.media_types))
