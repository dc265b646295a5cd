"""The follower that publishes the log as tiles: hash tiles and entry bundles first, then the checkpoint over them.

Its position is the size of its last signed checkpoint, kept with the tiles. The files are a function of the log, so an
attempt that was cut short is simply made again: what is there already has the same bytes, or this is another log.

The order of what a crash may cut short: tiles, the guard's memory, the checkpoint among all that were ever signed, and
at last the checkpoint that is served, if the policy's witnesses have cosigned it. Cosignatures come later, one by one,
and are kept before they are served, too.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog

from services.log.listener import Listener
from services.log.reader import Entry, LogReader
from services.projections.follower import BACK_OFF_MAX_S, BACK_OFF_MIN_S, VIEW_CHANNEL
from services.projections.transparency.checkpoints import Checkpoints
from services.projections.transparency.disk import Disk, OtherBytes
from services.projections.transparency.guard import Guard, SigningRefused
from services.projections.transparency.metrics import FAILURES, SIGNED_AT, SIGNED_SIZE
from services.projections.transparency.note import Checkpoint, NoteRefused, Verifier, open_checkpoint, size_of
from services.projections.transparency.policy import NO_POLICY, Policy
from services.projections.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, bundle
from services.projections.transparency.tree import Edge, Tree, leaf_hash
from services.projections.unreachable import UNREACHABLE

CHECKPOINT = "checkpoint"
FOLLOWER = "transparency"
"""Its name among the followers, and the payload told on the views' channel at each checkpoint."""

CHECKPOINT_S = 1.0
"""How long it waits from one checkpoint to the next, once the log has been caught up with."""

ENTRIES_MAX = 32 * TILE_WIDTH
"""How many entries are taken at once, at most; from one bundle on."""

_TELL = "SELECT pg_notify($1, $2)"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("certibranche.projections")


class NotThisLog(RuntimeError):
    """The database's log is not the one that was published: events are missing, or are others. Never mended here."""


class Growth:
    """The published tree and what grows on it: the right edge, and the entries of the bundle that is not full yet."""

    def __init__(self, edge: Edge, entries: list[bytes]) -> None:
        self.edge = edge
        self._entries = entries

    @property
    def size(self) -> int:
        return self.edge.size

    def append(self, entry: bytes) -> list[tuple[Tile, bytes]]:
        """Grow by an entry; the tiles and the bundle that are full now."""
        self._entries.append(entry)
        full = self.edge.append(leaf_hash(entry))
        if full:
            full.append((Tile(ENTRIES, full[0][0].number), bundle(self._entries)))
            self._entries = []
        return full

    def partials(self) -> list[tuple[Tile, bytes]]:
        """The tiles and the bundle that are not full, as they are."""
        partial = self.edge.partials()
        if self._entries:
            partial.append((Tile(ENTRIES, self.size // TILE_WIDTH, len(self._entries)), bundle(self._entries)))
        return partial


class Publisher:
    """Publishes the log into a folder. Of any number that run one works at a time, by lease and by the guard's lock."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        news: Listener,
        disk: Disk,
        guard: Guard,
        *,
        policy: Policy = NO_POLICY,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._pool = pool
        self._reader = LogReader(pool)
        self._news = news
        self._disk = disk
        self._guard = guard
        self._policy = policy
        self._checkpoints = Checkpoints(disk)
        self._entries_max = entries_max
        self._growth: Growth | None = None
        self._behind = False
        self._writing = asyncio.Lock()
        self._kept = asyncio.Event()

    @property
    def news(self) -> asyncio.Event:
        """The next signature, or cosignature. Take it before you look at what there is, wait for it after."""
        return self._kept

    def newest(self) -> str | None:
        """The signed checkpoint that is kept, whether it is served already or waits for cosignatures; None at first."""
        return self._checkpoints.newest()

    def at(self, size: int) -> str | None:
        """The checkpoint that was signed for a size, with the cosignatures it has."""
        return self._checkpoints.at(size)

    async def run(self) -> None:
        """Publish until cancelled. Whatever fails is tried again: what is wrong shows in log lines."""
        back_off_s = BACK_OFF_MIN_S
        while True:
            news = self._news.news
            try:
                if not await self.step():
                    await self._news.wait(news)
                elif not self._behind:
                    await asyncio.sleep(CHECKPOINT_S)
                back_off_s = BACK_OFF_MIN_S
                continue
            except UNREACHABLE as error:
                FAILURES.labels("unreachable").inc()
                _log.warning("transparency.unreachable", error=repr(error), retry_in_s=back_off_s)
            except (NotThisLog, OtherBytes, SigningRefused, NoteRefused) as error:
                FAILURES.labels("refused").inc()
                _log.error("transparency.refused", what=str(error), retry_in_s=BACK_OFF_MAX_S)
                back_off_s = BACK_OFF_MAX_S
            except Exception:
                FAILURES.labels("halted").inc()
                _log.exception("transparency.halted", retry_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    async def step(self) -> bool:
        """Publish what the log has more, up to a bound; whether there was something.

        Raises NotThisLog, OtherBytes, SigningRefused and NoteRefused: then nothing was signed. Raises OSError, and what
        asyncpg raises.
        """
        try:
            async with self._writing:
                with self._guard.locked():
                    advanced = await self._advance()
                    SIGNED_SIZE.set(self._guard.last().size)
                    SIGNED_AT.set(self._guard.signed_at())
        except BaseException:
            self._growth = None  # begin again from what is in the folder
            raise
        if advanced:
            await self._tell()
        return advanced

    async def cosigned(self, note: str) -> None:
        """Keep a checkpoint's cosignatures, and serve it if the policy is content with them. Raises SigningRefused, and
        OSError."""
        async with self._writing:
            with self._guard.locked():
                await _completed(asyncio.create_task(asyncio.to_thread(self._keep, note)))
        await self._tell()

    async def _tell(self) -> None:
        """Wake those who wait for checkpoints, in this process and in others."""
        self._kept.set()
        self._kept = asyncio.Event()
        await self._pool.execute(_TELL, VIEW_CHANNEL, FOLLOWER)

    async def _advance(self) -> bool:
        last, published = self._guard.last(), self._published()
        growth, head = self._growth, await self._reader.head()
        if head < max(last.size, published.size if published else 0):
            raise NotThisLog(f"the log ends at {head}; a checkpoint of size {last.size} was signed")
        size = published.size if published else 0
        if growth is None or not (growth.size == size or size < growth.size < last.size):
            self._growth = growth = await self._known(published)
        if published is not None and head == growth.size == size:
            self._serve(self._checkpoints.newest())
            return False
        whole = (growth.size + self._entries_max) // TILE_WIDTH * TILE_WIDTH
        self._behind = whole < head
        entries = await self._read(growth.size, min(head, whole))
        await _completed(asyncio.create_task(asyncio.to_thread(self._publish, growth, entries, last)))
        return True

    def _published(self) -> Checkpoint | None:
        note = self._checkpoints.newest() or self._served()
        return None if note is None else open_checkpoint(note, Verifier(self._guard.vkey))

    def _served(self) -> str | None:
        try:
            return self._disk.read(CHECKPOINT).decode()
        except FileNotFoundError:
            return None

    async def _known(self, published: Checkpoint | None) -> Growth:
        """The published tree, proven to be the one that the database's log begins with, as far as its end shows."""
        size = published.size if published else 0
        if published is None or size == 0:
            return Growth(Edge(), [])
        edge = await asyncio.to_thread(Edge.read, size, self._tile)
        if edge.root() != published.root:
            raise NotThisLog(f"the tiles are not those of the checkpoint of size {size}")
        after = (size - 1) // TILE_WIDTH * TILE_WIDTH
        entries = await self._read(after, size)
        tree = Tree(size, self._tile)
        for index, entry in enumerate(entries, after):
            if tree.leaf(index) != leaf_hash(entry):
                raise NotThisLog(f"the entry at position {index + 1} is not the one that was published")
        return Growth(edge, entries if size % TILE_WIDTH else [])

    async def _read(self, after: int, until: int) -> list[bytes]:
        """The entries behind a position. Raises NotThisLog when one is missing: then it was not the log."""
        entries: list[Entry] = []
        async for page in self._reader.entries(after, until=until):
            entries += page
        if [entry.position for entry in entries] != list(range(after + 1, until + 1)):
            raise NotThisLog(f"the log has not every position from {after + 1} to {until}")
        return [entry.entry for entry in entries]

    def _publish(self, growth: Growth, entries: Sequence[bytes], last: Checkpoint) -> None:
        completed: list[Tile] = []
        for entry in entries:
            for tile, content in growth.append(entry):
                self._disk.create(tile.path, content)
                completed.append(tile)
        if growth.size < last.size:  # the tiles were lost: what was signed is still ahead
            self._disk.sync()
            return
        for tile, content in growth.partials():
            self._disk.create(tile.path, content)
        self._disk.sync()
        # Read back, so that what is signed is what was written.
        tree = Tree(growth.size, self._tile)
        self._keep(self._guard.sign(growth.size, tree.root(), tree.consistency(last.size)))
        self._prune(completed)

    def _keep(self, note: str) -> None:
        """Keep a checkpoint, or more signatures of one; then serve it, if it may be."""
        self._serve(self._checkpoints.keep(note))

    def _serve(self, note: str | None) -> None:
        """Serve a kept checkpoint unless the witnesses that the policy wants have not cosigned it, or a newer one is
        served."""
        served = self._served()
        if note is None or note == served or not self._policy.satisfied_by(note):
            return
        if served is None or size_of(served) <= size_of(note):
            self._disk.replace(CHECKPOINT, note.encode())
            self._disk.sync()

    def _prune(self, completed: Sequence[Tile]) -> None:
        """Remove the partial tiles of those before the ones that are full now: who reads an older tree has time."""
        for tile in completed:
            if tile.number:
                self._disk.remove(tile._replace(number=tile.number - 1).partials)

    def _tile(self, tile: Tile) -> bytes:
        return self._disk.read(tile.path)


async def _completed(work: asyncio.Task[None]) -> None:
    """Wait for a thread's work, to its end even when cancelled: the lock must not be let go before."""
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise
