"""Policies: which witnesses must have signed a checkpoint, and files that do not say so clearly are refused."""

import base64
import itertools

import pytest

from services.projections.transparency.note import (
    Checkpoint,
    NoteRefused,
    Signer,
    Verifier,
    line_of,
    new_key,
    open_note,
    read_note,
    with_line,
)
from services.projections.transparency.policy import Policy, PolicyRefused, parse_policy
from tests.transparency.cosigned import Cosigner

CHECKPOINT = Checkpoint("log.example/1", 70_000, bytes(range(32))).text()
LOG = Signer(new_key("log.example/1"))


W1, W2, W3, W4 = (Cosigner(f"witness.example/{number}", number) for number in (1, 2, 3, 4))
VERIFIER = Verifier(W1.vkey)


def test_a_cosignature_is_of_a_checkpoint_at_a_time() -> None:
    note = with_line(LOG.sign(CHECKPOINT), W1.line(CHECKPOINT))
    assert open_note(note, [Verifier(LOG.vkey), VERIFIER]) == CHECKPOINT
    assert [signer.name for signer in read_note(note, [Verifier(W2.vkey), VERIFIER])[1]] == [W1.name]
    for wrong in (W1.line(CHECKPOINT.replace("70000", "70001")), W1.line(CHECKPOINT)[:-4] + "AAA="):
        with pytest.raises(NoteRefused, match="is wrong"):
            open_note(with_line(LOG.sign(CHECKPOINT), wrong), [VERIFIER])


def test_the_time_is_signed_too() -> None:
    line = W1.line(CHECKPOINT)
    content = bytearray(base64.b64decode(line.split()[2]))
    content[11] ^= 1
    with pytest.raises(NoteRefused, match="is wrong"):
        line_of(VERIFIER, CHECKPOINT, [f"— {W1.name} {base64.b64encode(content).decode()}"])


def test_the_line_of_a_key_is_found_among_others() -> None:
    mine = W1.line(CHECKPOINT)
    assert line_of(VERIFIER, CHECKPOINT, ["nonsense", W2.line(CHECKPOINT), mine, ""]) == mine
    for lines in ([], [""], [W2.line(CHECKPOINT)], [mine[2:]]):
        with pytest.raises(NoteRefused, match="no signature"):
            line_of(VERIFIER, CHECKPOINT, lines)


def test_a_key_has_one_line_in_a_note() -> None:
    note = LOG.sign(CHECKPOINT)
    once = with_line(with_line(note, W1.line(CHECKPOINT)), W2.line(CHECKPOINT))
    again = with_line(once, W1.line(CHECKPOINT, time=1_900_000_000))
    assert again.startswith(note)
    assert again.count(W1.name) == again.count(W2.name) == 1
    assert W1.line(CHECKPOINT, time=1_900_000_000) in again


POLICY = f"""
# two of ours, and theirs
log {LOG.vkey}
witness a {W1.vkey} https://witness.example/1/
witness b {W2.vkey} http://127.0.0.1:8000
witness c {W3.vkey}
group ours 2 a b c
\twitness   d  {W4.vkey}
group both all ours d
quorum both
"""


def policy(text: str = POLICY) -> Policy:
    return parse_policy(text)


def noted(*witnesses: Cosigner) -> str:
    note = LOG.sign(CHECKPOINT)
    for witness in witnesses:
        note = with_line(note, witness.line(CHECKPOINT))
    return note


def test_a_policy_says_who_and_where() -> None:
    read = policy()
    assert [log.name for log in read.logs] == ["log.example/1"]
    assert {name: witness.url for name, witness in read.witnesses.items()} == {
        "a": "https://witness.example/1",
        "b": "http://127.0.0.1:8000",
        "c": None,
        "d": None,
    }


def test_a_quorum_is_two_of_three_and_the_fourth() -> None:
    everyone = (W1, W2, W3, W4)
    for count in range(5):
        for signed in itertools.combinations(everyone, count):
            enough = W4 in signed and len(signed) >= 3
            assert policy().satisfied_by(noted(*signed)) is enough


def test_without_a_quorum_nobody_is_needed() -> None:
    assert policy(POLICY.replace("quorum both", "quorum none")).satisfied_by(noted())
    assert Policy().satisfied_by(noted())
    any_of_them = policy(POLICY.replace("ours 2", "ours any").replace("quorum both", "quorum ours"))
    assert not any_of_them.satisfied_by(noted(W4))
    assert any_of_them.satisfied_by(noted(W3))


def test_one_witness_can_be_the_quorum() -> None:
    read = policy(POLICY.replace("quorum both", "quorum c"))
    assert read.satisfied_by(noted(W3))
    assert not read.satisfied_by(noted(W1, W2, W4))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("quorum both", "", "no quorum"),
        ("quorum both", "quorum both\nquorum none", "line 11: .*one too many"),
        ("quorum both", "quorum e", "e is no witness"),
        ("group ours 2", "group ours 4", "4 of 3 members"),
        ("group ours 2", "group ours 0", "0 of 3 members"),
        ("group ours 2", "group ours 02", "02 of 3 members"),
        ("group ours 2 a b c", "group ours 2", "no line of a policy"),
        ("group both all ours d", "group both all ours a", "in a group already"),
        ("group both all ours d", "group both all ours both", "both is no witness"),
        ("group both", "group a", "a is taken"),
        ("witness c", "witness a", "a is taken"),
        ("witness c", "witness none", "none is taken"),
        pytest.param(W3.vkey, W1.vkey, "there already", id="a witness twice"),
        pytest.param(W3.vkey, LOG.vkey, "wrong kind", id="a log as witness"),
        pytest.param(LOG.vkey, W1.vkey, "wrong kind", id="a witness as log"),
        pytest.param(W3.vkey, W3.vkey.replace("witness", "other"), "line 6: the verifier key's id", id="another name"),
        ("https://", "ftp://", "no http"),
        ("https://witness.example/1/", "https://witness.example/?a", "no http"),
        ("log ", "logs ", "no line of a policy"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(before: str, after: str, said: str) -> None:
    assert before in POLICY
    with pytest.raises(PolicyRefused, match=said):
        policy(POLICY.replace(before, after))
