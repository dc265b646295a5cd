"""The command line, as a person uses it."""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import jwt
import msgspec
import pytest

from services.embedded.data_folder import DataFolder, RunState
from services.embedded.issuer import AUDIENCE, ISSUER, Issuer
from services.embedded.nats import reader_url
from services.projections.transparency.note import new_key


async def certibranche(*arguments: str | Path) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of one command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        env=os.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), error.decode()


def verified(token: str, folder: DataFolder) -> dict[str, object]:
    """The claims, if the folder's JWK set vouches for them."""
    keys = jwt.PyJWKSet.from_dict(msgspec.json.decode((folder.path / "jwks.json").read_bytes()))
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
    claims: dict[str, object] = jwt.decode(token, keys[header["kid"]], ["ES256"], audience=AUDIENCE, issuer=ISSUER)
    return claims


async def test_a_token_is_printed_before_anything_ever_ran(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    code, out, error = await certibranche("token", "persons:write", "log:read", "--data", folder.path)
    assert (code, error) == (0, "")
    Issuer(folder).jwks()
    claims = verified(out.strip(), folder)
    assert claims["scope"] == "persons:write log:read"
    assert claims["sources"] == [""]
    assert claims["client_id"] == claims["sub"] == "development"
    assert abs(int(str(claims["exp"])) - time.time() - 12 * 3600) < 60


async def test_a_token_names_its_client_sources_and_life(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    Issuer(folder).jwks()
    options = ["--client-id", "hr-1", "--source", "urn:hr:1:", "--source", "urn:hr:2:", "--ttl", "60"]
    _, out, _ = await certibranche("token", "log:read", *options, "--data", folder.path)
    claims = verified(out.strip(), folder)
    assert claims["sources"] == ["urn:hr:1:", "urn:hr:2:"]
    assert claims["client_id"] == "hr-1"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 60


async def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    Issuer(folder)
    (vault_key,) = folder.make_vault_keys().iterdir()
    assert vault_key.stat().st_mode & 0o777 == 0o600
    assert vault_key.parent.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "issuer.pem").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


async def test_the_development_issuer_makes_no_token_for_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTIBRANCHE_ENV", "production")
    code, out, error = await certibranche("token", "log:read", "--data", tmp_path / "data")
    assert (code, out) == (1, "")
    assert error.startswith("certibranche: the development issuer is off with CERTIBRANCHE_ENV=production")
    assert not (tmp_path / "data").exists()


GIVEN = {
    "CERTIBRANCHE_JWKS": "/nowhere/jwks.json",
    "CERTIBRANCHE_VAULT_KEY": "00" * 32,
    "CERTIBRANCHE_LOG_KEY": new_key("log.test/1"),
}


@pytest.mark.parametrize("left_out", [*GIVEN, None])
async def test_production_does_not_rest_on_what_is_made_for_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str | None
) -> None:
    """Refused before anything is made. With all of it given, the next thing that is missing is told: a port."""
    monkeypatch.setenv("CERTIBRANCHE_ENV", "production")
    for name, value in GIVEN.items():
        if name != left_out:
            monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, error = await certibranche("up", "--data", tmp_path / "data", "--port", port)
    assert code == 1
    assert (f"port {port}" in error) is (left_out is None)
    assert "CERTIBRANCHE_ENV=production refuses" in error if left_out else "with the embedded PostgreSQL" in error
    assert [name for name in GIVEN if name in error] == ([left_out] if left_out else [])
    assert (tmp_path / "data" / "pg18").exists() is False


async def test_the_nats_url_is_told_while_it_runs(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with folder.locked():
        folder.tell(RunState(process_id=os.getpid(), api_url="http://127.0.0.1:8080", nats_port=4242))
        code, out, _ = await certibranche("nats-url", "--data", folder.path)
    assert (code, out) == (0, f"{reader_url(folder, 4242)}\n")


async def test_the_nats_url_is_refused_when_nothing_runs(tmp_path: Path) -> None:
    code, out, error = await certibranche("nats-url", "--data", tmp_path)
    assert (code, out) == (1, "")
    assert error == f"certibranche: `certibranche up` is not running on the data folder {tmp_path}\n"


async def test_wrong_settings_are_told_all_at_once() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "serve"),
        env=os.environ | {"CERTIBRANCHE_PORT": "http", "CERTIBRANCHE_PROT": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert {b"CERTIBRANCHE_PROT:", b"CERTIBRANCHE_PORT:"} <= {line.split()[1] for line in error.splitlines()}
