"""Settings: all errors at once, secrets from files, nothing misspelt."""

import base64
from pathlib import Path

import pytest

from services.settings import MigrateSettings, RelaySettings, ServeSettings, SettingsRefused, UpSettings, read

KEY = bytes(range(32))
RELAY = {"CERTIBRANCHE_DATABASE_URL": "postgresql://db/x", "CERTIBRANCHE_NATS_URL": "nats://relay:p@broker:4222"}
SERVE = {
    **RELAY,
    "CERTIBRANCHE_JWKS": "/etc/jwks.json",
    "CERTIBRANCHE_ISSUER": "https://issuer.example",
    "CERTIBRANCHE_AUDIENCE": "certibranche",
    "CERTIBRANCHE_VAULT_KEY": KEY.hex(),
}


def test_what_is_not_set_has_its_default() -> None:
    settings = read(ServeSettings, SERVE)
    assert (settings.host, settings.port, settings.env) == ("127.0.0.1", 8080, "production")
    assert read(RelaySettings, RELAY).nats_stream == "CERTIBRANCHE"
    assert read(UpSettings, {}).database_url is None


def test_variables_of_other_programs_and_other_kinds_are_nothing_to_us() -> None:
    assert read(RelaySettings, SERVE | {"HOME": "/", "PORT": "http"}).nats_stream == "CERTIBRANCHE"


def test_an_empty_variable_is_not_set() -> None:
    assert read(ServeSettings, SERVE | {"CERTIBRANCHE_PORT": ""}).port == 8080


def test_all_errors_are_told_at_once() -> None:
    wrong = {
        "CERTIBRANCHE_PORT": "70000",
        "CERTIBRANCHE_ENV": "staging",
        "CERTIBRANCHE_DATABASE_URL": "mysql://db",
        "CERTIBRANCHE_DATABSE_URL": "x",
    }
    with pytest.raises(SettingsRefused) as refused:
        read(ServeSettings, wrong)
    names = [error.split(":")[0].removeprefix("CERTIBRANCHE_") for error in refused.value.errors]
    assert names[0] == "DATABSE_URL"
    assert set(names[1:]) == {"ENV", "DATABASE_URL", "NATS_URL", "PORT", "JWKS", "ISSUER", "AUDIENCE"}


@pytest.mark.parametrize("written", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), f"{KEY.hex()}\n"])
def test_the_vault_key_comes_from_a_file_in_hexadecimal_or_base64(tmp_path: Path, written: str) -> None:
    file = tmp_path / "key"
    file.write_text(written)
    environment = {**SERVE, "CERTIBRANCHE_VAULT_KEY": "", "CERTIBRANCHE_VAULT_KEY_FILE": str(file)}
    assert read(ServeSettings, environment).vault_key == KEY


@pytest.mark.parametrize("written", ["", "zz", KEY.hex()[:-2], base64.b64encode(KEY + b"x").decode()])
def test_a_vault_key_of_another_length_is_refused(tmp_path: Path, written: str) -> None:
    file = tmp_path / "key"
    file.write_text(written)
    environment = {**SERVE, "CERTIBRANCHE_VAULT_KEY": "", "CERTIBRANCHE_VAULT_KEY_FILE": str(file)}
    with pytest.raises(SettingsRefused, match=r"^CERTIBRANCHE_VAULT_KEY: "):
        read(ServeSettings, environment)


def test_a_secret_is_given_once() -> None:
    with pytest.raises(SettingsRefused, match="CERTIBRANCHE_DATABASE_URL: is set twice"):
        read(ServeSettings, SERVE | {"CERTIBRANCHE_DATABASE_URL_FILE": "/run/secrets/url"})


def test_a_missing_file_is_told() -> None:
    environment = {**RELAY, "CERTIBRANCHE_NATS_URL": "", "CERTIBRANCHE_NATS_URL_FILE": "/nowhere"}
    with pytest.raises(SettingsRefused, match=r"CERTIBRANCHE_NATS_URL: .*No such file"):
        read(MigrateSettings, environment)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"CERTIBRANCHE_ISSUER": "urn:certibranche:development-issuer"}, "CERTIBRANCHE_ISSUER"),
        ({"CERTIBRANCHE_JWKS": "http://issuer.example/jwks.json"}, "CERTIBRANCHE_JWKS"),
        ({"CERTIBRANCHE_JWKS": "https://issuer.example/jwks.json"}, None),
        ({"CERTIBRANCHE_JWKS": "http://127.0.0.1:9000/jwks.json"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("env", ["production", "", "development"])
def test_production_is_the_default_and_refuses_what_is_for_trials(
    env: str, changes: dict[str, str], refused: str | None
) -> None:
    environment = SERVE | changes | {"CERTIBRANCHE_ENV": env}
    if refused is None or env == "development":
        read(ServeSettings, environment)
        return
    with pytest.raises(SettingsRefused, match=f"^{refused}: .*CERTIBRANCHE_ENV=production"):
        read(ServeSettings, environment)


def test_no_secret_shows_in_a_log_or_an_error() -> None:
    assert "db" not in repr(read(ServeSettings, SERVE))
    with pytest.raises(SettingsRefused) as refused:
        read(RelaySettings, RELAY | {"CERTIBRANCHE_NATS_URL": "hunter2@broker"})
    assert "hunter2" not in str(refused.value)
