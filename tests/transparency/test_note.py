"""Signed notes and checkpoints: what is signed is read back, and nothing else is believed."""

import base64

import pytest

from services.projections.transparency.note import (
    Checkpoint,
    NoteRefused,
    Signer,
    Verifier,
    new_key,
    open_checkpoint,
    open_note,
    parse_checkpoint,
)

# The example of c2sp.org/signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SIGNATURE = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
NOTE = f"This is an example message.\n\n— example.com/foo {SIGNATURE}\n"

# The example of Go's golang.org/x/mod/sumdb/note: its signing key, verifier key and signature.
GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


@pytest.fixture
def signer() -> Signer:
    return Signer(new_key("log.example/1"))


@pytest.fixture
def verifier(signer: Signer) -> Verifier:
    return Verifier(signer.vkey)


CHECKPOINT = Checkpoint("log.example/1", 70_000, bytes(range(32)))


def test_the_example_of_the_specification_is_read() -> None:
    verifier = Verifier(VKEY)
    assert verifier.key_id.hex() == "530d903a"
    assert open_note(NOTE, [verifier]) == "This is an example message.\n"
    with pytest.raises(NoteRefused, match="id"):
        Verifier(VKEY.replace("530d903a", "530d903b"))


def test_the_example_of_go_is_signed_byte_for_byte() -> None:
    signer = Signer(GO_KEY)
    assert signer.vkey == GO_VKEY
    assert signer.sign(GO_TEXT) == f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"


def test_a_checkpoint_is_three_lines() -> None:
    root = base64.b64encode(bytes(range(32))).decode()
    assert CHECKPOINT.text() == f"log.example/1\n70000\n{root}\n"
    assert parse_checkpoint(CHECKPOINT.text()) == CHECKPOINT
    assert parse_checkpoint(CHECKPOINT.text() + "an extension\n") == CHECKPOINT


def test_what_is_signed_is_read_back(signer: Signer, verifier: Verifier) -> None:
    note = signer.sign(CHECKPOINT.text())
    assert open_checkpoint(note, verifier) == CHECKPOINT
    body, signature = note.split("\n\n")
    assert body + "\n" == CHECKPOINT.text()
    assert signature.startswith("— log.example/1 ")
    assert signature.endswith("\n")


def test_a_key_signs_as_its_name_only(signer: Signer) -> None:
    other = CHECKPOINT._replace(origin="log.example/2")
    with pytest.raises(NoteRefused, match=r"is of log\.example/2"):
        open_checkpoint(signer.sign(other.text()), Verifier(signer.vkey))


def test_unknown_signatures_are_passed_over_and_wrong_ones_are_not(signer: Signer, verifier: Verifier) -> None:
    note = signer.sign(CHECKPOINT.text())
    witness = Signer(new_key("witness.example")).sign(CHECKPOINT.text()).split("\n\n")[1]
    assert open_checkpoint(note + witness, verifier) == CHECKPOINT
    with pytest.raises(NoteRefused, match="no known key"):
        open_note(CHECKPOINT.text() + "\n" + witness, [verifier])
    with pytest.raises(NoteRefused, match="is wrong"):
        open_note(note.replace("70000", "70001"), [verifier])


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note[:-1],
        lambda note: note + "\n",
        lambda note: note.replace("— ", "- "),
        lambda note: note.replace("— ", "—"),
        lambda note: note[:-5] + "\n",
        lambda note: note + "— x !\n",
        lambda note: note + "— x AAAA\n",
        lambda note: note.replace("\n7", "\r\n7"),
        lambda note: note + "— x AAAAAAAA\n" * 101,
    ],
)
def test_a_malformed_note_is_refused(signer: Signer, verifier: Verifier, change: object) -> None:
    with pytest.raises(NoteRefused):
        open_note(change(signer.sign(CHECKPOINT.text())), [verifier])  # type: ignore[operator]


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n1\n",
        f"\n1\n{ROOT}\n",
        f"log\n01\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n１\n{ROOT}\n",
        f"log\n1\n{ROOT[:-4]}\n",
        f"log\n1\n{ROOT}",
        f"log\n1\n{ROOT}\n\nx\n",
    ],
)
def test_a_note_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused, match="no checkpoint"):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "key",
    [
        "",
        VKEY,
        "PRIVATE+KEY+x",
        GO_KEY[:-2] + "x",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("+AY", "+BA"),
    ],
)
def test_a_damaged_key_signs_nothing(key: str) -> None:
    with pytest.raises(NoteRefused):
        Signer(key)
