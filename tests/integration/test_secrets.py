"""Secrets stay where they were given: in no log, no process's arguments, no metric, no answer."""

import asyncio
import base64
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import structlog

from services.edge.logs import configure_logs
from services.embedded.nats import passwords
from services.embedded.readiness import http_ok, wait_until
from services.projections.transparency.note import new_key
from services.settings import KINDS, SECRETS, variable
from services.subscribers.keys import new_seed
from tests.installation import Installation, event, objective, person, post
from tests.ports import free_port

DATABASE_PASSWORD, NATS_PASSWORD, TOKEN = "MARKED-database", "MARKED-nats", "MARKED.access.token"
VAULT_KEY = b"MARKED-vault-key-0123456789abcde"
NOWHERE = "127.0.0.1:1"
LOG_KEY_LETTERS = 44
"""Of the private part, in base64, with which a signing key ends."""

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Every secret there is, and servers that nobody runs: what fails is logged."""
    secrets = {
        "database_url": f"postgresql://registry:{DATABASE_PASSWORD}@{NOWHERE}/certibranche",
        "nats_url": f"nats://registry:{NATS_PASSWORD}@{NOWHERE}",
        "nats_nkey": new_seed().decode(),
        "vault_key": VAULT_KEY.hex(),
        "log_key": new_key("log.test/marked"),
        "token": TOKEN,
    }
    assert set(secrets) == SECRETS, "every secret is tried"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
    return clean | {variable(name): value for name, value in secrets.items()}


def marks(environment: dict[str, str]) -> list[str]:
    """What must not be found, in whichever form it may have been written."""
    signing = environment["CERTIBRANCHE_LOG_KEY"][-LOG_KEY_LETTERS:]
    return [
        *(DATABASE_PASSWORD, NATS_PASSWORD, TOKEN, environment["CERTIBRANCHE_NATS_NKEY"], signing),
        *(VAULT_KEY.decode(), VAULT_KEY.hex(), base64.b64encode(VAULT_KEY).decode()),
    ]


def found(secrets: list[str], *said: str) -> list[str]:
    return [secret for secret in secrets for text in said if secret in text]


def arguments_of(process_id: int) -> str:
    """The arguments of a process and of all its descendants, as `ps` shows them to everybody."""
    said = []
    with contextlib.suppress(OSError):
        said.append(Path(f"/proc/{process_id}/cmdline").read_text())
        children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
        said += [arguments_of(int(child)) for child in children]
    return "\n".join(said)


@contextlib.asynccontextmanager
async def running(environment: dict[str, str], log: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *words), env=environment, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait_for(process.wait(), LIMIT_S)


async def test_processes_that_fail_to_reach_their_servers_do_not_say_how_they_tried(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """serve, follow, relay and migrate at once, with every secret, until one has failed and one answers."""
    port = free_port()
    serving = environment | {
        "CERTIBRANCHE_PORT": str(port),
        "CERTIBRANCHE_JWKS": str(tmp_path / "none.json"),
        "CERTIBRANCHE_ISSUER": "https://issuer.test",
        "CERTIBRANCHE_AUDIENCE": "certibranche",
        "CERTIBRANCHE_TILES": str(tmp_path / "tiles"),
    }
    logs = {name: tmp_path / f"{name}.log" for name in ("serve", "follow", "relay", "migrate")}
    async with contextlib.AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(running(serving, log, name)) for name, log in logs.items()]

        async def all_have_failed() -> bool:
            return processes[-1].returncode is not None and await http_ok("127.0.0.1", port, "/health/live")

        assert await wait_until(all_have_failed, LIMIT_S)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S) as client:
            paths = ("/metrics", "/health/ready", "/v1/branch/counts?year=2018", "/openapi.json")
            answers = [(await client.get(path)).text for path in paths]
            answers.append((await post(client, objective(), token="e30.e30.e30")).text)
        arguments = [arguments_of(process.pid) for process in processes]
        assert all("services.cli" in said for said in arguments[:-1])
    said = {name: log.read_text() for name, log in logs.items()}
    assert "Connect" in said["migrate"], "it says what is wrong"
    assert found(marks(environment), *said.values(), *answers, *arguments) == []


@pytest.mark.parametrize("command", ["--help", "serve --help", "up --help", "token --help", "audit vkey"])
async def test_a_command_says_nothing_of_them(environment: dict[str, str], tmp_path: Path, command: str) -> None:
    log = tmp_path / "said.log"
    async with running(environment, log, *command.split()) as process:
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0
    assert log.read_text()
    assert found(marks(environment), log.read_text()) == []


async def test_a_secret_that_is_malformed_is_not_repeated(environment: dict[str, str], tmp_path: Path) -> None:
    malformed = {name: f"MARKED-{name}" for name in environment if name.startswith("CERTIBRANCHE_")}
    for command in ("serve", "follow", "relay", "migrate", "up", "audit vkey"):
        log = tmp_path / "said.log"
        async with running(environment | malformed, log, *command.split()) as process:
            assert await asyncio.wait_for(process.wait(), LIMIT_S) == 1
        assert "certibranche: CERTIBRANCHE_" in log.read_text(), command
        assert found(["MARKED-"], log.read_text()) == [], command


async def test_a_token_is_given_by_a_file_and_shows_in_no_process_list(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token := installation.token("log:read"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
    log = tmp_path / "said.log"
    given = clean | {"CERTIBRANCHE_TOKEN_FILE": str(tmp_path / "token")}
    async with running(given, log, "replay", "--url", installation.url, "--limit", "1") as process:
        assert token not in arguments_of(process.pid)
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0, log.read_text()


async def test_a_running_registry_tells_nobody(installation: Installation) -> None:
    """Its own keys and passwords, a token, and an identity: after answers of every kind."""
    token = installation.token("persons:write", "catalogue:write", "log:read")
    identity = person(birth_name="Marquée-Secrète", email="marked@secret.example")
    async with httpx2.AsyncClient(base_url=installation.url, timeout=LIMIT_S) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        answers = [
            await client.post("/v1/persons", json=identity | {"sex": "?"}, headers=bearer),
            await client.get("/v1/persons/x", headers=bearer),
            await post(client, objective(), token=token + "x"),
            await post(client, event("objective.set", {"year": token}), token=token),
            *[await client.get(path, headers=bearer) for path in ("/metrics", "/health/ready", "/v1/ops/followers")],
        ]
        await client.post("/v1/persons", json=identity, headers=bearer)
    folder = installation.folder
    pem = (folder.path / "issuer.pem").read_text().splitlines()[1]
    nats = msgspec.to_builtins(passwords(folder))
    vault = [file.read_text().strip() for file in folder.vault_keys.glob("*.key")]
    assert vault
    secrets = [*vault, folder.log_key().read_text()[-LOG_KEY_LETTERS:], pem, *nats.values()]
    secrets += [token, token.rpartition(".")[2], "Marquée-Secrète", "marked@secret.example"]
    logs = [file.read_text(errors="replace") for file in folder.logs.iterdir()]
    state = (folder.path / "run.json").read_text()
    arguments = [arguments_of(process_id) for name in PARTS if (process_id := installation.process_id(name))]
    assert len(arguments) == len(PARTS)
    assert any(logs)
    assert found(secrets, *logs, state, *arguments, *(answer.text for answer in answers)) == []
    for file in folder.path.iterdir():
        if file.is_file():
            assert found(secrets, file.read_text(errors="replace")) == [] or file.stat().st_mode & 0o077 == 0, file


PARTS = ("postgres", "nats", "serve", "follow", "relay")


@pytest.fixture
def logging_reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("json", [True, False], ids=["to a file", "to a terminal"])
def test_a_bug_is_logged_without_the_values_it_was_about(
    json: bool, monkeypatch: pytest.MonkeyPatch, logging_reset: None
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, write_through=True))
    configure_logs(json=json)
    secret = "-".join(("MARKED", "local"))
    try:
        raise RuntimeError(f"about {len(secret)} letters")
    except RuntimeError as error:
        structlog.get_logger("test").error("bug", exc_info=error)
    assert b"RuntimeError: about 12 letters" in written.getvalue()
    assert secret.encode() not in written.getvalue()


def test_every_secret_may_come_from_a_file() -> None:
    """Whatever holds a password, a seed or a key: by its name."""
    fields = {name for kind in KINDS for name in kind.__struct_fields__}
    secret = {
        name for name in fields if name.endswith(("_key", "_nkey", "_url", "_password", "_secret", "_seed", "token"))
    }
    assert secret == SECRETS
