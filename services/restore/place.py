"""Where a database, a stream and tiles are: those of the settings, or those of a data folder that nobody uses."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal

from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder
from services.embedded.nats import Nats
from services.embedded.postgres import Postgres
from services.embedded.readiness import free_port
from services.embedded.supervisor import Supervisor
from services.projections.relay import Servers
from services.projections.transparency.guard import Guard
from services.projections.transparency.note import Signer
from services.restore.sources import Source, open_stream, open_tiles
from services.settings import RestoreSettings, variable

Wanted = Literal["stream", "tiles"]


class Place:
    """The servers and files of one registry. The data folder stands in for what the settings leave out.

    tell: hears, a line each, what an operator wants to know.
    """

    def __init__(self, folder: DataFolder, settings: RestoreSettings, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._settings = settings
        self._supervisor = Supervisor(tell)
        self._postgres = Postgres(folder)

    @contextlib.asynccontextmanager
    async def held(self, wanted: Wanted) -> AsyncIterator[None]:
        """Keep `certibranche up` away where its data folder is used; stop what was started. CannotRun when it runs."""
        given = self._settings.nats_url if wanted == "stream" else self._settings.tiles
        if self._settings.database_url is not None and given is not None:
            yield
            return
        if not self._folder.path.is_dir():
            raise CannotRun(f"there is no data folder {self._folder.path}")
        with self._folder.locked():
            try:
                yield
            finally:
                await self._supervisor.stop()
                if self._settings.database_url is None:
                    self._postgres.forget_sockets()

    async def database(self) -> str:
        """The URL of the database. The embedded one is started, and made where it was lost."""
        if self._settings.database_url is not None:
            return self._settings.database_url
        await self._postgres.initialise()
        await self._supervisor.start(self._postgres.program())
        await self._postgres.create_database()
        return self._postgres.url()

    @contextlib.asynccontextmanager
    async def source(self, wanted: Wanted) -> AsyncIterator[Source]:
        """The stream, its embedded server started, or the tiles."""
        if wanted == "tiles":
            yield self._tiles()
            return
        async with open_stream(await self._servers(), self._settings.nats_stream) as stream:
            yield stream

    async def _servers(self) -> Servers:
        settings = self._settings
        if settings.nats_url is not None:
            return Servers(settings.nats_url, settings.nats_nkey, settings.nats_ca)
        nats = Nats(self._folder, free_port(), settings.nats_stream)
        await self._supervisor.start(nats.program())
        return Servers(nats.monitor_url)

    def _tiles(self) -> Source:
        settings, folder = self._settings, self._folder.path
        tiles = Path(settings.tiles) if settings.tiles else folder / "tiles"
        return open_tiles(tiles, Guard(Path(settings.log_guard or f"{tiles}.guard"), Signer(self._log_key())))

    def _log_key(self) -> str:
        """By which the checkpoint is known for the log's own. One that is lost is not made anew here."""
        if self._settings.log_key is not None:
            return self._settings.log_key
        try:
            return (self._folder.path / "log.key").read_text()
        except FileNotFoundError:
            raise CannotRun(f"{variable('log_key')}: must be set, to check the tiles' signature") from None
