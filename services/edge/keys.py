"""The issuer's public keys (a JWKS, RFC 7517), from a file or an address, kept fresh."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import httpx2
import jwt
import msgspec
import structlog

from contracts.problems import Unavailable
from services.tasks import cancelled

log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.edge")

JWKS_BYTES_MAX = 1 << 20
REFRESH_S = 300.0
COOL_DOWN_S = 30.0
USABLE_S = 3600.0
FETCH_S = 5.0
RSA_BITS_MIN = 2048  # RFC 7518, section 3.3

ALGORITHMS: dict[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""The algorithm of a key by its `kty` and `crv`: the key decides, never a token's header."""


class NoKeysError(Exception):
    """The document holds no key this registry can use."""


class Keys(Protocol):
    """A set of keys, which the issuer may change."""

    def version(self) -> int:
        """A number that changes with the set: what was verified under another is no longer verified."""

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that id; without an id, the only key there is. Unavailable when no set could be read yet."""

    async def check(self) -> None:
        """For readiness: raises when no usable set is at hand."""

    def kept_fresh(self) -> AbstractAsyncContextManager[None]:
        """For the application's lifespan."""


class Jwk(msgspec.Struct, omit_defaults=True):
    """The public members of a key that we look at."""

    kty: str
    crv: str | None = None
    kid: str | None = None
    alg: str | None = None
    use: str = "sig"
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None

    def key(self) -> jwt.PyJWK | None:
        """A signature key of an algorithm we take; None for any other, so that an issuer may publish more kinds."""
        algorithm = ALGORITHMS.get((self.kty, self.crv))
        declared = "EdDSA" if self.alg == "Ed25519" else self.alg or algorithm  # RFC 9864's name
        if algorithm is None or declared != algorithm or self.use != "sig":
            return None
        try:
            key = jwt.PyJWK(msgspec.to_builtins(self), algorithm)
        except jwt.PyJWTError:
            return None
        return None if algorithm == "RS256" and key.key.key_size < RSA_BITS_MIN else key


class Jwks(msgspec.Struct):
    keys: list[Jwk]


class KeySet:
    """The usable keys of one JWKS document. Raises NoKeysError when there is none."""

    def __init__(self, document: bytes) -> None:
        try:
            published = msgspec.json.decode(document, type=Jwks).keys
        except msgspec.DecodeError as error:
            raise NoKeysError("not a JWKS document") from error
        self.keys = [key for jwk in published if (key := jwk.key()) is not None]
        if not self.keys:
            raise NoKeysError("no RS256, ES256 or EdDSA signature key")

    def find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None:
            return self.keys[0] if len(self.keys) == 1 else None
        return next((key for key in self.keys if key.key_id == kid), None)


class FileKeys:
    """Keys of a file, read again whenever the file changes; the last good set stays while it is unreadable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version = 0
        self._seen: tuple[int, int, int] | None = None
        self._set: KeySet | None = None

    def version(self) -> int:
        try:
            stat = os.stat(self.path)
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                with self.path.open("rb") as file:
                    document = file.read(JWKS_BYTES_MAX)
                self._seen = seen  # a file caught half written changes again
                self._set = KeySet(document)
                self._version += 1
        except (OSError, NoKeysError) as error:
            log.warning("jwks_unreadable", reason=type(error).__name__)
        return self._version

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        await self.check()
        return self._set.find(kid) if self._set else None

    async def check(self) -> None:
        self.version()
        if self._set is None:
            raise Unavailable("The keys that verify tokens cannot be read yet; try again.")

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        yield


class UrlKeys:
    """Keys of an address, fetched in the background.

    The last good set stays for `USABLE_S` while the issuer is out of reach. An unknown key id fetches at once, for all
    who wait together, at most every `COOL_DOWN_S`: forged key ids cannot make us flood the issuer.
    """

    def __init__(self, url: str, client: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.client = client
        self._version = 0
        self._clock = clock
        self._set: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def version(self) -> int:
        return self._version

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        key = self._set.find(kid) if self._set else None
        if key is None and (self._fetching or self._clock() - self._tried_at >= COOL_DOWN_S):
            await self.refresh()
            key = self._set.find(kid) if self._set else None
        await self.check()
        return key

    async def check(self) -> None:
        if self._set is None or self._clock() - self._fetched_at > USABLE_S:
            raise Unavailable(
                "The issuer's keys cannot be fetched right now; try again.", retry_after_s=int(COOL_DOWN_S)
            )

    async def refresh(self) -> None:
        """Fetch once, whoever asks meanwhile; a failure keeps the last set and is logged."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_S):
                self._set = KeySet(await self._document())
            self._fetched_at = self._tried_at
            self._version += 1
        except (httpx2.HTTPError, TimeoutError, NoKeysError) as error:
            log.warning("jwks_unreachable", reason=type(error).__name__, detail=str(error))
        finally:
            self._fetching = None

    async def _document(self) -> bytes:
        document = bytearray()
        async with self.client.stream("GET", self.url, follow_redirects=False) as response:
            if response.status_code != 200:
                raise NoKeysError(f"status {response.status_code}")
            async for part in response.aiter_bytes():
                document += part
                if len(document) > JWKS_BYTES_MAX:
                    raise NoKeysError(f"over {JWKS_BYTES_MAX} bytes")
        return bytes(document)

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        async def keep() -> None:
            while True:
                await self.refresh()
                await asyncio.sleep(REFRESH_S if self._fetched_at == self._tried_at else COOL_DOWN_S)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            await cancelled(task)
            await self.client.aclose()


def keys_at(location: str) -> Keys:
    """The keys of a JWKS at an http(s) address or in a file."""
    if location.startswith(("https://", "http://")):
        return UrlKeys(location, httpx2.AsyncClient(timeout=FETCH_S))
    return FileKeys(Path(location))
