"""Every checkpoint that was signed is kept, with its cosignatures, before anybody is shown it: whatever stops us."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from services.projections.transparency.checkpoints import Checkpoints
from services.projections.transparency.disk import Disk, OtherBytes
from services.projections.transparency.note import Checkpoint, Verifier, open_checkpoint, size_of, with_line
from services.projections.transparency.policy import NO_POLICY
from services.projections.transparency.published import Published
from services.projections.transparency.tree import EMPTY_ROOT
from services.restore.sources import open_tiles
from tests.integration.filled_log import FilledLog, until
from tests.transparency.cosigned import Cosigned, Cosigner, holds, policy
from tests.transparency.independent import Auditor, Witness
from tests.transparency.published_log import PublishedLog, entries
from tests.transparency.test_publisher import StoppedError, StoppingDisk


def sizes(log: PublishedLog, after: int = 0, limit: int = 1_000) -> list[int]:
    return [kept.size for kept in Checkpoints(Disk(log.folder)).after(after, limit)]


async def test_every_checkpoint_is_kept_and_read_in_order(log: PublishedLog) -> None:
    cosigned = Cosigned(log, NO_POLICY)
    for size in (1, 2, 255, 256, 257, 300, 1_500):
        await cosigned.grow(size)
    assert sizes(log) == [1, 2, 255, 256, 257, 300, 768, 1_280, 1_500]
    assert sizes(log, after=256, limit=2) == [257, 300]
    assert sizes(log, after=300) == [size for size in sizes(log) if size > 300]
    assert sizes(log, after=1_500) == sizes(log, after=2**62) == []
    for one in Checkpoints(Disk(log.folder)).after(0, 1_000):
        assert open_checkpoint(one.checkpoint, Verifier(log.signer.vkey)).size == one.size


async def test_another_checkpoint_of_a_size_is_not_kept(log: PublishedLog) -> None:
    await Cosigned(log, NO_POLICY).grow(3)
    checkpoint = log.checkpoint()
    checkpoints = Checkpoints(Disk(log.folder))
    note = checkpoints.at(3)
    with pytest.raises(OtherBytes, match="of size 3"):
        checkpoints.keep(log.signer.sign(checkpoint._replace(root=bytes(32)).text()))
    assert checkpoints.at(3) == note


async def test_a_log_of_before_there_was_a_history_goes_on(log: PublishedLog) -> None:
    await Cosigned(log, NO_POLICY).grow(300)
    shutil.rmtree(log.folder / "checkpoints")
    await Cosigned(log, NO_POLICY).grow(400)
    assert log.checkpoint().size == 400
    log.check(entries(1, 400))
    assert sizes(log) == [400]


# Crashes


async def test_what_waits_for_a_quorum_is_known_when_the_log_is_restored(log: PublishedLog) -> None:
    waiting = Cosigned(log, policy(Witness("http://127.0.0.1:1", Cosigner("witness.example/1", 1).vkey), quorum="a"))
    await waiting.grow(300)
    assert waiting.served is None
    assert open_tiles(log.folder, log.guard()).last == 300
    assert (await Published(log.folder).signed()).checkpoint.size == 300


async def test_stopped_after_any_step_no_cosignature_that_was_served_is_lost(log: PublishedLog, tmp_path: Path) -> None:
    """Cosignatures are kept, then served; a process that ends in between serves them when it goes on."""
    cosigners = [Cosigner("witness.example/1", 1), Cosigner("witness.example/2", 2)]
    fake = [Witness("http://127.0.0.1:1", one.vkey) for one in cosigners]
    ended, stop_at = False, 0
    while not ended:
        stop_at += 1
        await log.restore(0)
        log.unpublish()
        await Cosigned(log, policy(*fake, quorum="all")).grow(3)
        before: dict[str, set[str]] = {}

        def watch(before: dict[str, set[str]] = before) -> None:
            """What is served is kept, and never loses a signature."""
            for served in _served(log):
                text, _, lines = served.partition("\n\n")
                assert before.setdefault(text, set()) <= set(lines.split("\n"))
                before[text] = set(lines.split("\n"))
                assert Checkpoints(Disk(log.folder)).at(size_of(served)) == served

        cosigned = Cosigned(log, policy(*fake, quorum="all"), StoppingDisk(log.folder, [stop_at], watch))
        ended = await _cosign(cosigned, cosigners)
        restarted = Cosigned(log, policy(*fake, quorum="all"))
        assert not await restarted.publisher.step()
        kept = restarted.signers(restarted.publisher.at(3))
        assert restarted.served == (3 if len(kept) == 2 else None)
        assert await _cosign(restarted, cosigners)
        assert restarted.served == 3
        assert restarted.signers() == ["witness.example/1", "witness.example/2"]
    assert stop_at >= 10


def _served(log: PublishedLog) -> Iterable[str]:
    path = log.folder / "checkpoint"
    return [path.read_text()] if path.exists() else []


async def _cosign(cosigned: Cosigned, cosigners: list[Cosigner]) -> bool:
    """Give the publisher both cosignatures, one after the other; whether its disk lasted."""
    for cosigner in cosigners:
        note = cosigned.publisher.at(3)
        assert note is not None
        try:
            await cosigned.publisher.cosigned(with_line(note, cosigner.line(note.partition("\n\n")[0] + "\n")))
        except StoppedError:
            return False
    return True


async def test_killed_while_it_publishes_nothing_that_was_shown_is_lost(
    log: PublishedLog, database: FilledLog, key: str, independent: Path, w1: Witness, w2: Witness, tmp_path: Path
) -> None:
    """kill -9 as soon as a checkpoint is kept, cosigned once, or served; the next process goes on."""
    wanted = policy(w1, w2, quorum="all")
    lines = [f"witness {name} {one.vkey} {one.url}" for name, one in (("a", w1), ("b", w2))]
    (tmp_path / "policy").write_text("\n".join([*lines, "group all all a b", "quorum all"]))
    (tmp_path / "key").write_text(key)
    cosigned = Cosigned(log, wanted)
    conditions: list[Callable[[int], bool]] = [
        lambda size: _newest(log) == size,
        lambda size: bool(cosigned.signers(Checkpoints(Disk(log.folder)).at(size) or _nothing(log))),
        lambda size: cosigned.served == size,
    ]
    shown: dict[int, set[str]] = {}
    for size, condition in zip((300, 600, 900), conditions, strict=True):
        await log.put(entries(size - 299, size))
        async with publishing(log, database.url, tmp_path):
            await until(lambda condition=condition, size=size: holds(lambda: condition(size)), 60)
        for served in _served(log):
            shown[size_of(served)] = set(cosigned.signers(served))
        for one, signers in shown.items():
            kept = Checkpoints(Disk(log.folder)).at(one)
            assert kept is not None
            assert signers <= set(cosigned.signers(kept))
    assert max(shown) == cosigned.served == 900
    assert Auditor(independent).audit(log.folder, log.signer.vkey).passed


@contextlib.asynccontextmanager
async def publishing(log: PublishedLog, url: str, place: Path) -> AsyncIterator[None]:
    """A process that publishes the log under the policy and the key of files; killed in the end."""
    settings = {"TILES": log.folder, "LOG_GUARD": log.guard_path}
    settings |= {"LOG_KEY_FILE": place / "key", "LOG_POLICY": place / "policy"}
    environment = os.environ | {f"CERTIBRANCHE_{name}": str(value) for name, value in settings.items()}
    command = (sys.executable, "-m", "tests.transparency.publishing", url)
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        yield
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


def _newest(log: PublishedLog) -> int | None:
    note = Checkpoints(Disk(log.folder)).newest()
    return None if note is None else size_of(note)


def _nothing(log: PublishedLog) -> str:
    """A checkpoint that no witness has signed."""
    return log.signer.sign(Checkpoint(log.signer.name, 0, EMPTY_ROOT).text())
