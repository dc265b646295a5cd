"""`certibranche audit` as an auditor runs it: options, exit codes, reports."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import stamina
from click.testing import CliRunner, Result

from contracts.rules import RULES
from services.audit.command import audit as command
from services.audit.findings import Check, Report
from services.audit.report import as_html, as_json, as_text
from services.projections.transparency.note import Signer, new_key
from tests.audit.history import SIGNER, Published, audited, entries_of, objectives
from tests.audit.stand_in import TOKEN, StandIn, right_answers, serving
from tests.audit.test_checkpoints import LOG, ONE, OTHER, TWO, cosign
from tests.audit.test_rules import AWARDED
from tests.domain import world
from tests.ports import free_port


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


@pytest.fixture
def log(tmp_path: Path) -> Published:
    return Published(tmp_path / "log", LOG[:300])


def run(address: Path | str, *options: str | Path, vkey: str = SIGNER.vkey) -> Result:
    return CliRunner().invoke(command, [str(address), "--vkey", vkey, *map(str, options)])


def test_a_log_that_holds_ends_well(log: Published) -> None:
    result = run(log.folder, "--entries")
    assert result.exit_code == 0, result.output
    assert "✓ The log contains nothing that the rules would refuse" in result.stdout
    assert "All that was asked for holds." in result.stdout
    assert result.stderr == ""


def test_a_lie_a_gap_and_a_wrong_call_end_differently(log: Published, tmp_path: Path) -> None:
    (log.folder / "checkpoint").write_text(log.note.replace("300", "299"))
    assert run(log.folder).exit_code == 3
    assert run(tmp_path / "nowhere").exit_code == 4
    assert run(log.folder, vkey="log.example+00000000+AAAA").exit_code == 2


def test_the_key_of_another_log_is_told(log: Published, tmp_path: Path) -> None:
    result = run(log.folder, vkey=Signer(new_key("log.example/other")).vkey)
    assert result.exit_code == 3
    assert "checkpoint-not-signed" in result.stdout
    assert "Either the key is of another log" in result.stdout


def test_a_server_out_of_reach_is_no_lie() -> None:
    result = run(f"http://127.0.0.1:{free_port()}", "--entries", "--token", TOKEN)
    assert result.exit_code == 4
    assert "nothing answers at http://127.0.0.1" in result.stdout


@pytest.mark.parametrize(("token", "code"), [(TOKEN, 0), ("wrong", 4)])
def test_a_registry_is_checked_with_a_token(tmp_path: Path, token: str, code: int) -> None:
    log = Published(tmp_path / "log", entries_of(AWARDED))
    with serving(StandIn(log, right_answers(log))) as stand_in:
        result = run(stand_in.url, "--entries", "--persons", "all", "--token", token)
    assert result.exit_code == code, result.output


def test_a_static_copy_is_checked_without_a_token(log: Published) -> None:
    with serving(StandIn(log)) as stand_in:
        assert run(f"{stand_in.url}/log").exit_code == 0


def test_a_checkpoint_is_saved_and_checked_the_next_time(log: Published, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    assert run(log.folder, "--save", saved).exit_code == 0
    assert saved.read_text() == log.note
    log.grow(LOG[300:])
    assert run(log.folder, "--since", saved, "--save", saved).exit_code == 0
    assert saved.read_text() == log.note
    log.begin(OTHER)
    before = saved.read_text()
    result = run(log.folder, "--since", saved, "--save", saved)
    assert result.exit_code == 3
    assert "history-rewritten" in result.stdout
    assert "is left as it is" in result.stderr
    assert saved.read_text() == before


def test_witnesses_and_their_quorum(log: Published) -> None:
    cosign(log, ONE.line(log.note))
    assert run(log.folder, "--witness", ONE.vkey).exit_code == 0
    assert run(log.folder, "--witness", ONE.vkey, "--witness", TWO.vkey).exit_code == 3
    assert run(log.folder, "--witness", ONE.vkey, "--witness", TWO.vkey, "--quorum", "1").exit_code == 0
    for wrong in (("--witness", ONE.vkey, "--quorum", "2"), ("--quorum", "1"), ("--witness", SIGNER.vkey)):
        assert run(log.folder, *wrong).exit_code == 2
    assert run(log.folder, vkey=ONE.vkey).exit_code == 2, "a witness is no log"


def test_a_policy_names_the_log_its_witnesses_and_their_quorum(log: Published, tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_text(f"log {SIGNER.vkey}\nwitness one {ONE.vkey}\nquorum one\n")
    arguments = [str(log.folder), "--policy", str(file)]
    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, "witnesses-missing" in result.stdout) == (3, True)
    cosign(log, ONE.line(log.note))
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert CliRunner().invoke(command, [*arguments, "--witness", TWO.vkey]).exit_code == 2
    file.write_text("quorum none")
    assert CliRunner().invoke(command, arguments).exit_code == 2, "whose log?"
    file.write_text("quorum some")
    assert CliRunner().invoke(command, arguments).exit_code == 2


@pytest.mark.parametrize(
    "options", [["--entries", "--persons", "some"], ["--persons", "3"], ["--report", "report.pdf"]]
)
def test_what_is_not_understood_is_refused(log: Published, options: Sequence[str]) -> None:
    assert run(log.folder, *options).exit_code == 2


def test_the_auditors_program_loads_no_database_code() -> None:
    code = "import sys, services.audit.command; print({'asyncpg', 'litestar', 'nats'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"


# Reports


def broken(place: Path) -> Report:
    """The report of an audit that found much, and some of it wants to be more than text."""
    entries = entries_of([*objectives(3), world.revoked(certificate_number="CQPM-2024-78")])
    entries[1] = entries[1].replace(b"urn:test", b"<script>alert(1)</script>")
    entries[2] = entries[2].replace(b'"sequence":"0', b'"sequence":"<i>')
    return audited(Published(place / "log", entries).folder, entries=True)


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"href", "src"} & {name for name, _ in attrs}, "it stands by itself"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_three_reports_say_the_same(tmp_path: Path) -> None:
    report = broken(tmp_path)
    members, text, page = json.loads(as_json(report)), as_text(report), Elements(as_html(report))
    assert members["verdict"] == "BROKEN"
    assert [check["name"] for check in members["checks"]] == [check.name for check in report.checks]
    findings = [finding for check in members["checks"] for finding in check["findings"]]
    assert {finding["what"] for finding in findings} >= {"sequence-wrong", "rule-broken"}
    for finding in findings:
        assert finding["says"] in text
        assert finding["says"] in page.text
    (refused,) = (finding for finding in findings if finding["what"] == "rule-broken")
    assert (refused["position"], refused["rule"]) == (4, "A5")
    assert refused["values"] == {"certificate_number": "CQPM-2024-78", "today": "2024-06-15"}
    assert RULES["A5"] in text
    assert RULES["A5"] in page.text
    assert members["note"] == report.note
    assert report.note in page.text


def test_nothing_of_the_log_becomes_part_of_the_page(tmp_path: Path) -> None:
    page = Elements(as_html(broken(tmp_path)))
    assert not {"script", "i"} & set(page.tags)


def test_reports_are_written_beside_what_is_printed(log: Published, tmp_path: Path) -> None:
    files = [tmp_path / f"report{suffix}" for suffix in (".html", ".json", ".txt")]
    options = [option for file in files for option in ("--report", str(file))]
    result = run(log.folder, *options, "--format", "json", "--seed", "7")
    members = json.loads(result.stdout)
    assert members == json.loads(files[1].read_text())
    assert members["seed"] == 7
    assert files[0].read_text().startswith("<!doctype html>")
    assert "The log's key has signed the checkpoint" in files[2].read_text()


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["HELD", "SKIPPED"], "HELD"),
        (["HELD", "UNCHECKED"], "UNCHECKED"),
        (["HELD", "BROKEN", "UNCHECKED"], "BROKEN"),
        (["SKIPPED"], "UNCHECKED"),
    ],
)
def test_the_verdict_is_that_of_the_worst_check(states: list[str], verdict: str) -> None:
    def check(state: str) -> Check:
        made = Check(name="a", title="b", how="c", asked=state != "SKIPPED", done=state == "HELD")
        if state == "BROKEN":
            made.find("wrong", "It is wrong.")
        if state in ("UNCHECKED", "SKIPPED"):
            made.leave_out("there is nothing")
        assert made.state == state
        return made

    report = Report(source="", vkey="", program="", began_at=datetime.now(UTC), checks=[*map(check, states)])
    assert report.verdict == verdict
