"""Publishing: tiles before the checkpoint, whatever stops it; and nothing that is not the log is ever signed."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.projections.transparency.disk import Disk, OtherBytes
from services.projections.transparency.guard import SigningRefused
from services.projections.transparency.note import NoteRefused, Signer, new_key
from services.projections.transparency.publisher import NotThisLog
from tests.integration.filled_log import until
from tests.transparency import naive
from tests.transparency.published_log import PublishedLog, digest, entries, of_tiles


class StoppedError(OSError):
    """The process ends here and now."""


class StoppingDisk(Disk):
    """Ends after a number of steps, and tells every state of the files to who watches."""

    def __init__(self, folder: Path, left: list[int], watch: Callable[[], None] = lambda: None) -> None:
        super().__init__(folder)
        self._left = left
        self._watch = watch

    def _flush(self, handle: int) -> None:
        """Processes end here, the power does not."""

    def _step(self, what: str) -> None:
        self._watch()
        self._left[0] -= 1
        if self._left[0] <= 0:
            raise StoppedError(what)


async def test_an_empty_log_has_a_checkpoint_and_no_tile(log: PublishedLog) -> None:
    publisher = log.publisher()
    assert await publisher.step()
    assert log.checkpoint().root == naive.root([])
    assert log.checkpoint().size == 0
    assert sorted(log.files()) == ["checkpoint", "checkpoints/000", "checkpoints/newest"]
    assert not await publisher.step()


async def test_what_is_recorded_is_published(log: PublishedLog) -> None:
    contents = entries(1, 700)
    publisher = log.publisher()
    for first, last in ((1, 1), (2, 5), (6, 255), (256, 256), (257, 600), (601, 700)):
        await log.put(contents[first - 1 : last])
        while await publisher.step():
            pass
        assert log.checkpoint().size == last
        log.check(contents)


async def test_a_publisher_goes_on_where_another_has_stopped(log: PublishedLog) -> None:
    contents = entries(1, 600)
    for first, last in ((1, 3), (4, 256), (257, 512), (513, 600)):
        await log.put(contents[first - 1 : last])
        await log.publish()
        log.check(contents)
    assert log.checkpoint().size == 600
    one_go = log.files()
    log.unpublish()
    await log.publish()
    assert all(one_go[path] == content for path, content in of_tiles(log.files()).items())


async def test_much_is_caught_up_with_in_whole_bundles(log: PublishedLog) -> None:
    await log.put(entries(1, 1_300))
    publisher = log.publisher(entries_max=512)
    sizes = []
    while await publisher.step():
        sizes.append(log.checkpoint().size)
    assert sizes == [512, 1_024, 1_300]
    partial = sorted(path for path in log.files() if ".p/" in path)
    assert partial == [
        *("tile/0/005.p/20", "tile/1/000.p/2", "tile/1/000.p/4", "tile/1/000.p/5"),
        "tile/entries/005.p/20",
    ]
    log.check(entries(1, 1_300))


async def test_partial_tiles_stay_until_the_next_tile_is_full(log: PublishedLog) -> None:
    publisher = log.publisher()
    for size, kept in ((10, "000"), (300, "000"), (511, "000"), (513, "001")):
        head = log.checkpoint().size if size > 10 else 0
        await log.put(entries(head + 1, size))
        assert await publisher.step()
        assert f"tile/0/{kept}.p" in {path.rpartition("/")[0] for path in log.files()}
    assert not [path for path in log.files() if "/000.p/" in path and not path.startswith("tile/1/")]


STORY = ((1, 3), (4, 300), (301, 520))


async def play(log: PublishedLog, left: list[int], watch: Callable[[], None]) -> bool:
    """Publish a story in parts; whether the disk lasted."""
    disk, guard_disk = StoppingDisk(log.folder, left, watch), StoppingDisk(log.guard_path.parent, left, watch)
    publisher = log.publisher(disk, log.guard(guard_disk))
    for first, last in STORY:
        head = await log.pool.fetchval("SELECT coalesce(max(position), 0) FROM log.event")
        if head < last:
            await log.put(entries(first, last))
        try:
            while await publisher.step():
                pass
        except StoppedError:
            return False
    return True


async def test_stopped_after_any_step_it_goes_on_and_never_changes_a_byte(log: PublishedLog, tmp_path: Path) -> None:
    contents, stop_at, ended = entries(1, 520), 0, False
    whole: str | None = None
    while not ended:
        stop_at += 1
        seen: dict[str, bytes] = {}
        await log.restore(0)
        log.unpublish()

        def watch(seen: dict[str, bytes] = seen) -> None:
            """No path ever has two contents."""
            for path, content in of_tiles(log.files()).items():
                assert seen.setdefault(path, content) == content

        ended = await play(log, [stop_at], watch)
        if (log.folder / "checkpoint").exists():
            log.check(contents)  # whenever it stops, what the checkpoint speaks of is there
        assert await play(log, [10_000], watch)
        assert log.checkpoint().size == 520
        log.check(contents)
        current = {path: content for path, content in log.files().items() if ".p/" not in path and "/." not in path}
        whole = whole or digest(current)
        assert digest(current) == whole
    assert stop_at > 40


async def test_a_log_that_is_shorter_than_what_was_signed_is_refused(log: PublishedLog) -> None:
    await log.put(entries(1, 300))
    await log.publish()
    before = log.files()
    await log.restore(299)
    with pytest.raises(NotThisLog, match="ends at 299"):
        await log.publish()
    assert log.files() == before


@pytest.mark.parametrize("size", [255, 256, 257, 300])
async def test_another_history_is_refused_and_what_was_published_stays(log: PublishedLog, size: int) -> None:
    await log.put(entries(1, size))
    await log.publish()
    before = log.files()
    await log.restore(size - 1)
    await log.put(entries(size, size + 20, history="other"))
    with pytest.raises(NotThisLog, match=f"position {size} is not"):
        await log.publish()
    assert log.files() == before


async def test_an_entry_that_was_exchanged_in_the_database_is_noticed_while_following(log: PublishedLog) -> None:
    publisher = log.publisher()
    await log.put(entries(1, 10))
    assert await publisher.step()
    await log.restore(9)
    with pytest.raises(NotThisLog):
        await publisher.step()


async def test_older_tiles_are_brought_up_to_what_was_signed_before_anything_is(log: PublishedLog) -> None:
    contents = entries(1, 1_300)
    await log.put(contents)
    await log.publish()
    signed = log.checkpoint()
    shutil.rmtree(log.folder)
    publisher = log.publisher(entries_max=256)
    for _ in range(5):
        assert await publisher.step()
        assert not (log.folder / "checkpoint").exists()
    assert await publisher.step()
    assert log.checkpoint() == signed
    log.check(contents)


async def test_lost_tiles_and_another_history_are_not_signed(log: PublishedLog) -> None:
    await log.put(entries(1, 300))
    await log.publish()
    shutil.rmtree(log.folder)
    await log.restore(0)
    await log.put(entries(1, 400, history="other"))
    with pytest.raises(SigningRefused, match="does not continue"):
        await log.publish()
    assert not (log.folder / "checkpoint").exists()


async def test_a_file_with_other_bytes_is_not_written_over(log: PublishedLog) -> None:
    await log.put(entries(1, 300))
    await log.publish()
    path = log.folder / "tile/0/001.p/50"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"other")
    await log.put(entries(301, 306))
    with pytest.raises(OtherBytes, match=r"001\.p/50"):
        await log.publish()
    assert path.read_bytes() == b"other"
    assert log.checkpoint().size == 300


async def test_tiles_that_are_not_those_of_the_checkpoint_are_refused(log: PublishedLog) -> None:
    await log.put(entries(1, 300))
    await log.publish()
    (log.folder / "tile/0/001.p/44").write_bytes(bytes(32 * 44))
    await log.put(entries(301, 306))
    with pytest.raises(NotThisLog, match="not those of the checkpoint"):
        await log.publish()


async def test_another_key_does_not_go_on(log: PublishedLog, tmp_path: Path) -> None:
    await log.put(entries(1, 3))
    await log.publish()
    log.signer = Signer(new_key("log.example/other"))
    with pytest.raises(SigningRefused, match=r"guard is of log\.example/test"):
        await log.publish()
    log.guard_path.unlink()
    with pytest.raises(NoteRefused):
        await log.publish()


async def test_only_one_publishes_at_a_time(log: PublishedLog) -> None:
    await log.put(entries(1, 3))
    with log.guard().locked(), pytest.raises(SigningRefused, match="another process"):
        await log.publish()
    await log.publish()


class HeldDisk(Disk):
    """Stands still at its first step until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reached, self.let_go = threading.Event(), threading.Event()

    def _step(self, what: str) -> None:
        self.reached.set()
        assert self.let_go.wait(10), what


async def test_who_is_cancelled_lets_nobody_else_publish_before_its_files_are_done(log: PublishedLog) -> None:
    await log.put(entries(1, 3))
    disk = HeldDisk(log.folder)
    publishing = asyncio.create_task(log.publisher(disk).step())
    assert await asyncio.to_thread(disk.reached.wait, 10)
    publishing.cancel()
    await asyncio.wait((publishing,), timeout=0.05)
    with pytest.raises(SigningRefused, match="another process"):
        await log.publish()
    disk.let_go.set()
    await asyncio.wait((publishing,), timeout=10)
    assert publishing.cancelled()
    await log.publish()
    log.check(entries(1, 3))


async def test_a_guard_signs_nothing_that_is_smaller_or_other(log: PublishedLog) -> None:
    contents = entries(1, 8)
    guard = log.guard()
    guard.sign(4, naive.root(contents[:4]), [])
    for size, root in ((3, naive.root(contents[:3])), (4, naive.root(contents[1:5])), (8, naive.root(contents))):
        with pytest.raises(SigningRefused):
            guard.sign(size, root, [])
    guard.sign(8, naive.root(contents), naive.consistency(4, contents))
    assert guard.last().size == 8
    log.guard_path.write_text("nonsense")
    with pytest.raises(SigningRefused, match="cannot be read"):
        guard.last()


async def test_a_running_publisher_is_woken_and_outlives_trouble(log: PublishedLog) -> None:
    left = [5]
    publisher = log.publisher(StoppingDisk(log.folder, left))
    await log.put(entries(1, 3))

    async def stopped() -> bool:
        return left[0] <= 0

    async def published() -> bool:
        return (log.folder / "checkpoint").exists()

    running = asyncio.create_task(publisher.run())
    try:
        await until(stopped)
        left[0] = 10_000
        await until(published)
    finally:
        running.cancel()
        await asyncio.wait((running,))
    log.check(entries(1, 3))
