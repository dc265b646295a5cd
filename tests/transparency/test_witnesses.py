"""Witnesses: an independent one in Go cosigns our log as it grows, and stops a history that was rewritten.

What it answers is kept before it is served, whatever stops the process in between.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from services.projections.metrics import FOLLOWERS
from services.projections.transparency.checkpoints import Checkpoints
from services.projections.transparency.disk import Disk, OtherBytes
from services.projections.transparency.note import (
    Signer,
    Verifier,
    new_key,
    open_checkpoint,
    read_note,
    size_of,
    with_line,
)
from services.projections.transparency.policy import NO_POLICY, Policy, parse_policy
from services.projections.transparency.published import Published
from services.projections.transparency.publisher import Publisher
from services.projections.transparency.witnessing import Unanswered, Witnessing, WitnessRefused, request_of
from tests.integration.filled_log import until
from tests.transparency.independent import Witness, witness
from tests.transparency.published_log import PublishedLog, entries
from tests.transparency.test_policy import Cosigner
from tests.transparency.test_publisher import StoppedError, StoppingDisk


@pytest_asyncio.fixture
async def w1(log: PublishedLog, independent: Path, tmp_path: Path) -> AsyncIterator[Witness]:
    async with witness(independent, "witness.example/1", log.signer.vkey, tmp_path / "w1") as running:
        yield running


@pytest_asyncio.fixture
async def w2(log: PublishedLog, independent: Path, tmp_path: Path) -> AsyncIterator[Witness]:
    async with witness(independent, "witness.example/2", log.signer.vkey, tmp_path / "w2") as running:
        yield running


def policy(*witnesses: Witness, quorum: str = "none") -> Policy:
    """A policy of witnesses a, b, … and a group `all` of them."""
    lines = [f"witness {name} {one.vkey} {one.url}" for name, one in zip("abc", witnesses, strict=False)]
    return parse_policy("\n".join([*lines, f"group all all {' '.join('abc'[: len(lines)])}", f"quorum {quorum}"]))


class Cosigned:
    """A log that is published under a policy, step by step."""

    def __init__(self, log: PublishedLog, policy: Policy, disk: Disk | None = None) -> None:
        self.log = log
        self.policy = policy
        self.publisher: Publisher = log.publisher(disk, policy=policy)
        self.witnessing = Witnessing(policy, self.publisher, Published(log.folder), back_off_max_s=0.2)
        self.known: dict[str, int] = {}

    async def grow(self, size: int, history: str = "") -> None:
        """The log has so many entries, and a checkpoint is signed for them."""
        head = await self.log.pool.fetchval("SELECT coalesce(max(position), 0) FROM log.event")
        await self.log.put(entries(head + 1, size, history))
        while await self.publisher.step():
            pass

    async def show(self, name: str = "a", note: str | None = None) -> int:
        """Have one witness cosign the newest checkpoint, once."""
        note = note or self.publisher.newest()
        assert note is not None
        async with httpx2.AsyncClient() as client:
            size = await self.witnessing.show(self.policy.witnesses[name], client, note, self.known.get(name, 0))
        self.known[name] = size
        return size

    def signers(self, note: str | None = None) -> list[str]:
        """The witnesses that have signed the served checkpoint, or another."""
        note = (self.log.folder / "checkpoint").read_text() if note is None else note
        return [signer.name for signer in read_note(note, [one.verifier for one in self.policy.witnesses.values()])[1]]

    @property
    def served(self) -> int | None:
        """The size of the served checkpoint."""
        path = self.log.folder / "checkpoint"
        return size_of(path.read_text()) if path.exists() else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publisher and witnessing as the product runs them."""
        tasks = [asyncio.create_task(self.publisher.run()), asyncio.create_task(self.witnessing.run())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def sample(metric: str, **labels: str) -> float:
    """What a metric of the publisher shows."""
    return FOLLOWERS.get_sample_value(f"certibranche_transparency_{metric}", labels) or 0.0


def failures(kind: str, name: str = "a") -> float:
    """What has been counted of a witness."""
    return sample("witness_failures_total", witness=name, kind=kind)


async def test_a_growing_log_is_cosigned_and_the_cosignature_is_served(log: PublishedLog, w1: Witness) -> None:
    cosigned = Cosigned(log, policy(w1))
    for size in (1, 2, 256, 257, 700):
        await cosigned.grow(size)
        assert cosigned.served == size  # whatever witnesses do
        assert cosigned.signers() == []
        assert await cosigned.show() == size
        assert cosigned.signers() == ["witness.example/1"]
        note = (log.folder / "checkpoint").read_text()
        assert open_checkpoint(note, Verifier(log.signer.vkey)).size == size


async def test_a_witness_says_itself_what_it_knows(log: PublishedLog, w1: Witness) -> None:
    await Cosigned(log, policy(w1)).grow(300)
    first = Cosigned(log, policy(w1))
    await first.show()
    await first.grow(600)
    restarted = Cosigned(log, policy(w1))
    assert restarted.known == {}  # it is told 300
    assert await restarted.show() == 600
    assert restarted.signers() == ["witness.example/1"]


async def test_a_checkpoint_is_cosigned_again_when_asked_again(log: PublishedLog, w1: Witness) -> None:
    cosigned = Cosigned(log, policy(w1))
    await cosigned.grow(300)
    await cosigned.show()
    cosigned.known.clear()
    assert await cosigned.show() == 300
    assert cosigned.signers() == ["witness.example/1"]


async def test_a_rewritten_history_is_not_cosigned(log: PublishedLog, w1: Witness, tmp_path: Path) -> None:
    """Even when nothing of ours remembers: the guard and the tiles are gone, and the log has another past."""
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(0)
    shutil.rmtree(log.folder)
    log.guard_path.unlink()
    rewritten = Cosigned(log, policy(w1))
    await rewritten.grow(600, history="other")
    with pytest.raises(WitnessRefused, match="422") as refused:
        await rewritten.show()
    assert refused.value.kind == "inconsistent"
    assert rewritten.signers() == []


async def test_another_tree_of_the_same_size_is_not_cosigned(log: PublishedLog, w1: Witness) -> None:
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(0)
    shutil.rmtree(log.folder)
    log.guard_path.unlink()
    rewritten = Cosigned(log, policy(w1))
    await rewritten.grow(300, history="other")
    with pytest.raises(WitnessRefused, match="another tree of size 300") as refused:
        await rewritten.show()
    assert refused.value.kind == "conflict"


async def test_a_log_that_was_rolled_back_is_noticed(log: PublishedLog, w1: Witness) -> None:
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(200)
    shutil.rmtree(log.folder)
    log.guard_path.unlink()
    shorter = Cosigned(log, policy(w1))
    await shorter.grow(250, history="other")
    with pytest.raises(WitnessRefused, match="has cosigned size 300 of this log, we have signed 250") as refused:
        await shorter.show()
    assert refused.value.kind == "ahead"


async def test_a_witness_that_does_not_know_the_log_or_its_key_refuses(
    log: PublishedLog, independent: Path, tmp_path: Path
) -> None:
    origin = log.signer.name
    for key, kind in ((new_key("log.example/other"), "unknown_origin"), (new_key(origin), "signature")):
        async with witness(independent, "witness.example/1", Signer(key).vkey, tmp_path / kind) as running:
            cosigned = Cosigned(log, policy(running))
            await cosigned.grow(3)
            with pytest.raises(WitnessRefused) as refused:
                await cosigned.show()
            assert refused.value.kind == kind


async def test_nothing_but_the_witnesss_own_cosignature_is_taken(log: PublishedLog, w1: Witness) -> None:
    other = Cosigner("witness.example/1", 9)
    cosigned = Cosigned(log, policy(w1._replace(vkey=other.vkey)))
    await cosigned.grow(3)
    with pytest.raises(WitnessRefused, match="no signature") as refused:
        await cosigned.show()
    assert refused.value.kind == "cosignature"
    assert cosigned.signers() == []


@contextlib.asynccontextmanager
async def answering(status: int, body: str, extra: str = "") -> AsyncIterator[Witness]:
    """What looks like a witness, and always answers the same."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.decode().split("\r\n") if line.lower().startswith("content-length"))
        await reader.readexactly(int(length.split(":")[1]))
        content = body.encode()
        writer.write(f"HTTP/1.1 {status} -\r\n{extra}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Witness(f"http://127.0.0.1:{port}", Cosigner("witness.example/1", 1).vkey)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "", "cosignature"),
        (200, "x" * 70_000, "answer"),
        (204, "", "answer"),
        (301, "", "answer"),
        (400, "no", "answer"),
        (409, "", "answer"),
        (409, "x\n", "answer"),
        (409, "-1\n", "answer"),
        (409, "0\n", "conflict"),
        (409, "4\n", "ahead"),
        (409, f"{2**63}\n", "ahead"),
        (422, "", "inconsistent"),
    ],
)
async def test_an_answer_that_is_none_is_a_refusal(log: PublishedLog, status: int, body: str, kind: str) -> None:
    async with answering(status, body, "Location: http://127.0.0.1:1/\r\n") as fake:
        cosigned = Cosigned(log, policy(fake))
        await cosigned.grow(3)
        with pytest.raises(WitnessRefused) as refused:
            await cosigned.show()
        assert refused.value.kind == kind
        assert cosigned.signers() == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_witness_that_cannot_answer_now_has_not_refused(log: PublishedLog, status: int) -> None:
    async with answering(status, "later") as fake:
        cosigned = Cosigned(log, policy(fake))
        await cosigned.grow(3)
        with pytest.raises(Unanswered):
            await cosigned.show()


# Quorums


async def test_without_its_quorum_a_checkpoint_is_not_served(log: PublishedLog, w1: Witness, w2: Witness) -> None:
    cosigned = Cosigned(log, policy(w1, w2, quorum="all"))
    await cosigned.grow(3)
    await cosigned.show("a")
    assert cosigned.served is None
    await cosigned.show("b")
    assert cosigned.served == 3
    await cosigned.grow(5)
    assert cosigned.served == 3
    await cosigned.show("b")
    assert cosigned.served == 3
    await cosigned.grow(6)  # goes on signing
    five = cosigned.publisher.at(5)
    assert five is not None
    await cosigned.show("a", five)
    assert cosigned.served == 5
    assert cosigned.signers() == ["witness.example/2", "witness.example/1"]


async def test_a_late_cosignature_does_not_bring_an_older_checkpoint_back(log: PublishedLog, w1: Witness) -> None:
    cosigned = Cosigned(log, policy(w1))
    await cosigned.grow(3)
    three = cosigned.publisher.newest()
    await cosigned.grow(5)
    await cosigned.show(note=three)
    assert cosigned.served == 5
    assert cosigned.signers() == []
    assert cosigned.signers(cosigned.publisher.at(3)) == ["witness.example/1"]


async def test_what_waited_for_a_quorum_is_served_once_none_is_wanted(log: PublishedLog, w1: Witness) -> None:
    waiting = Cosigned(log, policy(w1, quorum="a"))
    await waiting.grow(3)
    assert waiting.served is None
    content = Cosigned(log, policy(w1))
    assert not await content.publisher.step()
    assert content.served == 3


# As the product runs it


async def test_two_witnesses_cosign_the_same_checkpoints_while_the_log_grows(
    log: PublishedLog, w1: Witness, w2: Witness
) -> None:
    cosigned = Cosigned(log, policy(w1, w2, quorum="all"))
    async with cosigned.running():
        for size in (3, 300, 600):
            await log.put(
                entries(await log.pool.fetchval("SELECT coalesce(max(position), 0) FROM log.event") + 1, size)
            )
            await until(lambda size=size: _is(lambda: cosigned.served == size))
            assert sorted(cosigned.signers()) == ["witness.example/1", "witness.example/2"]
        await until(lambda: _is(lambda: [sample("witness_size", witness=name) for name in "ab"] == [600, 600]))
        assert sample("signed_size") == 600


async def test_a_witness_that_comes_back_is_caught_up_with_and_blocks_nothing(
    log: PublishedLog, independent: Path, w1: Witness, tmp_path: Path
) -> None:
    async with witness(independent, "witness.example/2", log.signer.vkey, tmp_path / "w2") as away:
        gone = away
    before = failures("unreachable", "b")
    cosigned = Cosigned(log, policy(w1, gone))
    async with cosigned.running():
        await log.put(entries(1, 3))
        await until(lambda: _is(lambda: cosigned.served == 3 and cosigned.signers() == ["witness.example/1"]))
        await until(lambda: _is(lambda: failures("unreachable", "b") > before))


async def test_a_refusal_is_counted_and_the_log_goes_on(log: PublishedLog, w1: Witness) -> None:
    before = failures("inconsistent")
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(0)
    shutil.rmtree(log.folder)
    log.guard_path.unlink()
    rewritten = Cosigned(log, policy(w1))
    await log.put(entries(1, 400, history="other"))
    async with rewritten.running():
        await until(lambda: _is(lambda: failures("inconsistent") >= before + 2))  # it asks again, and mends nothing
        assert rewritten.served == 400
        assert rewritten.signers() == []


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


# Every checkpoint is kept


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


async def test_stopped_after_any_step_no_cosignature_that_was_served_is_lost(log: PublishedLog, tmp_path: Path) -> None:
    """Cosignatures are kept, then served; a process that ends in between serves them when it goes on."""
    cosigners = [Cosigner("witness.example/1", 1), Cosigner("witness.example/2", 2)]
    fake = [Witness("http://127.0.0.1:1", one.vkey) for one in cosigners]
    ended, stop_at = False, 0
    while not ended:
        stop_at += 1
        await log.restore(0)
        shutil.rmtree(log.folder, ignore_errors=True)
        log.guard_path.unlink(missing_ok=True)
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


def test_a_request_is_the_size_the_proof_and_the_checkpoint() -> None:
    assert request_of(0, [], "text\n\n— a b\n") == "old 0\n\ntext\n\n— a b\n".encode()
    proof = request_of(7, [bytes(32)], "n")
    assert proof == b"old 7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nn"
