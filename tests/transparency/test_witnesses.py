"""Witnesses: an independent one in Go cosigns our log as it grows, and stops a history that was rewritten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.projections.metrics import FOLLOWERS
from services.projections.transparency.note import (
    Signer,
    Verifier,
    new_key,
    open_checkpoint,
)
from services.projections.transparency.witnessing import Unanswered, WitnessRefused, request_of
from tests.integration.filled_log import until
from tests.transparency.cosigned import Cosigned, Cosigner, holds, policy
from tests.transparency.independent import Witness, witness
from tests.transparency.published_log import PublishedLog, entries


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
    log.unpublish()
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
    log.unpublish()
    rewritten = Cosigned(log, policy(w1))
    await rewritten.grow(300, history="other")
    with pytest.raises(WitnessRefused, match="another tree of size 300") as refused:
        await rewritten.show()
    assert refused.value.kind == "conflict"


async def test_a_log_that_was_rolled_back_is_noticed(log: PublishedLog, w1: Witness) -> None:
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(200)
    log.unpublish()
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
            await until(lambda size=size: holds(lambda: cosigned.served == size))
            assert sorted(cosigned.signers()) == ["witness.example/1", "witness.example/2"]
        await until(lambda: holds(lambda: [sample("witness_size", witness=name) for name in "ab"] == [600, 600]))
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
        await until(lambda: holds(lambda: cosigned.served == 3 and cosigned.signers() == ["witness.example/1"]))
        await until(lambda: holds(lambda: failures("unreachable", "b") > before))


async def test_a_refusal_is_counted_and_the_log_goes_on(log: PublishedLog, w1: Witness) -> None:
    before = failures("inconsistent")
    await Cosigned(log, policy(w1)).grow(300)
    await Cosigned(log, policy(w1)).show()
    await log.restore(0)
    log.unpublish()
    rewritten = Cosigned(log, policy(w1))
    await log.put(entries(1, 400, history="other"))
    async with rewritten.running():
        await until(lambda: holds(lambda: failures("inconsistent") >= before + 2))  # it asks again, and mends nothing
        assert rewritten.served == 400
        assert rewritten.signers() == []


def test_a_request_is_the_size_the_proof_and_the_checkpoint() -> None:
    assert request_of(0, [], "text\n\n— a b\n") == "old 0\n\ntext\n\n— a b\n".encode()
    proof = request_of(7, [bytes(32)], "n")
    assert proof == b"old 7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nn"
