"""What was signed: by the log, by witnesses, and before."""

import base64
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.projections.transparency.note import Checkpoint, Signer, new_key
from services.projections.transparency.policy import Policy, parse_policy
from services.projections.transparency.tiles import tile_at
from services.projections.transparency.tree import EMPTY_ROOT
from tests.audit.history import SIGNER, Published, audited, check_of, entries_of, found, objectives, states

LOG = entries_of(objectives(600))
OTHER = [*LOG[:9], LOG[9].replace(b'"year":20', b'"year":19'), *LOG[10:]]


@pytest.fixture
def log(tmp_path: Path) -> Published:
    return Published(tmp_path / "log", LOG[:300])


def test_a_log_that_grew_continues_what_was_saved(log: Published) -> None:
    older = log.note
    log.grow(LOG[300:])
    report = audited(log.folder, since=older)
    assert report.verdict == "HELD"
    assert check_of(report, "consistency").covered == "size 300 to size 600"
    assert (report.note, report.since_note) == (log.note, older)


def test_a_log_that_did_not_grow_is_the_same(log: Published) -> None:
    assert audited(log.folder, since=log.note).verdict == "HELD"


@pytest.mark.parametrize("size", [0, 1, 10, 256])
def test_any_older_size_is_continued(log: Published, tmp_path: Path, size: int) -> None:
    assert audited(log.folder, since=Published(tmp_path / "older", LOG[:size]).note).verdict == "HELD"


@pytest.mark.parametrize("size", [300, 600])
def test_a_history_rewritten_and_signed_again_is_found_by_who_holds_an_older_checkpoint(
    log: Published, size: int
) -> None:
    older = log.note
    log.begin(OTHER[:size])
    assert audited(log.folder, entries=True).verdict == "HELD", "by itself it is a log as good as the other"
    report = audited(log.folder, since=older, entries=True)
    assert found(report) == [("consistency", "history-rewritten", None)]


def test_a_log_rolled_back_is_found(log: Published) -> None:
    older = log.note
    log.begin(LOG[:299])
    report = audited(log.folder, since=older)
    assert found(report) == [("consistency", "rolled-back", None)]
    assert check_of(report, "consistency").findings[0].values == {"size": 299, "size_before": 300}


def test_tiles_that_lie_about_the_past_do_not_add_up(log: Published, tmp_path: Path) -> None:
    older = Published(tmp_path / "older", OTHER[:200]).note
    report = audited(log.folder, since=older)
    assert found(report) == [("consistency", "history-rewritten", None)]
    log.sign(Checkpoint(SIGNER.name, 300, EMPTY_ROOT))
    report = audited(log.folder, since=older)
    assert [what for _, what, _ in found(report)] == ["tiles-not-signed"] * 2


def test_the_checkpoint_of_another_key_is_found(log: Published) -> None:
    log.signer = Signer(new_key(SIGNER.name))
    log.sign(Checkpoint(SIGNER.name, 300, EMPTY_ROOT))
    report = audited(log.folder, entries=True)
    assert found(report) == [("signature", "checkpoint-not-signed", None)]
    assert {states(report)[name] for name in ("tiles", "entries", "rules", "counts")} == {"UNCHECKED"}


def test_what_is_no_checkpoint_is_found(log: Published) -> None:
    (log.folder / "checkpoint").write_text("nothing")
    assert found(audited(log.folder)) == [("signature", "checkpoint-not-signed", None)]


def test_an_older_checkpoint_of_another_log_cannot_be_used(log: Published, tmp_path: Path) -> None:
    other = Published(tmp_path / "other", LOG[:10], Signer(new_key("log.example/other")))
    report = audited(log.folder, since=other.note)
    assert (report.verdict, found(report)) == ("UNCHECKED", [])
    assert states(report)["consistency"] == "UNCHECKED"


def test_no_files_are_no_lie(tmp_path: Path) -> None:
    report = audited(tmp_path)
    assert (report.verdict, found(report)) == ("UNCHECKED", [])
    assert check_of(report, "signature").left_out == ["checkpoint is not in the folder"]


def test_a_tile_above_that_lies_is_no_other_history(log: Published) -> None:
    older = log.note
    log.grow(LOG[300:])
    tile = tile_at(1, 0, log.size)
    log.write(tile, bytes(len(log.read(tile))))
    report = audited(log.folder, since=older)
    assert found(report) == [("consistency", "tile-differs", None), ("tiles", "tiles-not-signed", None)]


# Witnesses


class OneWitness:
    """A witness as c2sp.org/tlog-cosignature describes it, written without looking at what checks it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.generate()
        public = b"\x04" + self._key.public_key().public_bytes_raw()
        self._id = sha256(name.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{name}+{self._id.hex()}+{base64.b64encode(public).decode()}"

    def line(self, note: str, seconds: int = 1_700_000_000) -> str:
        body = note[: note.index("\n\n") + 1]
        signature = self._key.sign(f"cosignature/v1\ntime {seconds}\n{body}".encode())
        payload = base64.b64encode(self._id + seconds.to_bytes(8, "big") + signature).decode()
        return f"— {self.name} {payload}\n"


ONE, TWO, THREE = (OneWitness(f"witness.example/{number}") for number in (1, 2, 3))


def quorum(number: int, *witnesses: OneWitness) -> Policy:
    """So many of these."""
    lines = [f"witness {witness.name} {witness.vkey}" for witness in witnesses]
    group = f"group g {number} {' '.join(witness.name for witness in witnesses)}"
    return parse_policy("\n".join([*lines, group, "quorum g"]))


def cosign(log: Published, *lines: str) -> None:
    (log.folder / "checkpoint").write_text(log.note + "".join(lines))


def test_a_quorum_of_witnesses_holds(log: Published) -> None:
    cosign(log, ONE.line(log.note), THREE.line(log.note))
    report = audited(log.folder, policy=quorum(2, ONE, TWO, THREE))
    assert report.verdict == "HELD"
    moment = f"{datetime.fromtimestamp(1_700_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert check_of(report, "witnesses").covered == f"{ONE.name} at {moment}, {THREE.name} at {moment}"
    assert found(audited(log.folder, policy=quorum(3, ONE, TWO, THREE))) == [("witnesses", "witnesses-missing", None)]


def test_a_witness_counts_once(log: Published) -> None:
    cosign(log, ONE.line(log.note), ONE.line(log.note, 1_800_000_000))
    report = audited(log.folder, policy=quorum(2, ONE, TWO))
    assert found(report) == [("witnesses", "witnesses-missing", None)]


def test_a_cosignature_of_another_checkpoint_is_found(log: Published, tmp_path: Path) -> None:
    other = Published(tmp_path / "other", LOG[:301]).note
    cosign(log, ONE.line(other), TWO.line(log.note))
    report = audited(log.folder, policy=quorum(1, ONE, TWO))
    assert found(report) == [("witnesses", "cosignature-wrong", None)]


def test_witnesses_nobody_named_are_passed_over(log: Published) -> None:
    cosign(log, ONE.line(log.note), "— stranger AAAAAAAA\n")
    assert audited(log.folder).verdict == "HELD"
    assert states(audited(log.folder))["witnesses"] == "SKIPPED"
