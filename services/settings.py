"""What an operator sets: `CERTIBRANCHE_*` variables, read once at start into one frozen struct a kind of process.

A secret may also be given as the path of a file, `CERTIBRANCHE_<NAME>_FILE`. An empty variable counts as not set.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

PREFIX = "CERTIBRANCHE_"
SECRETS = frozenset({"database_url", "nats_url", "nats_nkey", "vault_key", "log_key", "token"})  # may come from a file

DEVELOPMENT_ISSUER = "urn:certibranche:development-issuer"
"""The `iss` of the tokens that `certibranche token` makes for anybody who can read the data folder."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Environment = Literal["development", "production"]
DatabaseUrl = Annotated[str, Meta(pattern=r"^postgres(ql)?://")]
NatsUrl = Annotated[str, Meta(pattern=r"^(nats|tls|ws|wss)://")]
StreamName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")]
NkeySeed = Annotated[str, Meta(pattern=r"^SU[A-Z2-7]{56}$")]
Quota = Annotated[int, Meta(ge=1, le=10**9)]
Port = Annotated[int, Meta(ge=1, le=65535)]
VaultKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
LogKey = Annotated[str, Meta(pattern=r"^PRIVATE\+KEY\+[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}$")]


class SettingsRefused(Exception):
    """The environment does not make up the settings; `errors` holds one line for each thing to put right."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class Settings(Struct, frozen=True, kw_only=True):
    """What every process needs."""

    env: Environment = "production"
    """`development` allows what only a trial may do ; `production` refuses its issuer. Default: production."""

    database_url: DatabaseUrl
    """PostgreSQL, `postgresql://user:password@host:port/database`. Secret. No default."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # never a secret in a log


class FollowSettings(Settings, frozen=True, kw_only=True):
    """`certibranche follow`: the read models and the transparency log."""

    tiles: str | None = None
    """Path of the folder that the transparency log is published into; any static server may serve it under the log's
    origin, but `tile/entries` to auditors only. Needs `log_key`. Default: none, it is not published."""

    log_key: LogKey | None = None
    """What signs the transparency log, `PRIVATE+KEY+<origin>+…`: one key, one log, for ever. Secret. Default: none."""

    log_guard: str | None = None
    """Path of the file that remembers what was signed last. On a disk that outlives crashes, in no backup that the
    database is restored from. Default: `<tiles>.guard`."""

    log_policy: str | None = None
    """Path of a policy (c2sp.org/tlog-policy): the witnesses that every checkpoint is shown to, and the quorum of them
    without whose cosignatures none is served; `quorum none` serves at once. Default: none, no witnesses."""


class StreamSettings(Settings, frozen=True, kw_only=True):
    """What speaks to NATS."""

    nats_url: NatsUrl
    """NATS servers, separated by commas, `nats://user:password@host:port`. Secret. No default."""

    nats_nkey: NkeySeed | None = None
    """Seed of the nkey that this process proves who it is with, `SU…`. Secret. Default: none, the URL says who."""

    nats_ca: str | None = None
    """Path of the certificates, PEM, that NATS servers are checked against. Default: those of the system."""

    nats_stream: StreamName = "CERTIBRANCHE"
    """The name of the JetStream stream. Default: CERTIBRANCHE."""


class ServeSettings(StreamSettings, frozen=True, kw_only=True):
    """`certibranche serve`: the HTTP interface."""

    host: str = "127.0.0.1"
    """The address it listens on. Default: this machine alone."""

    port: Port = 8080
    """The TCP port it listens on. Default: 8080."""

    jwks: str
    """Path or https URL of the JWK set that access tokens are checked against. No default."""

    issuer: str
    """The `iss` of access tokens. No default."""

    audience: str
    """What the `aud` of access tokens must name. No default."""

    vault_key: VaultKey | None = None
    """Master key of the vault: 32 bytes, in hexadecimal or base64. Secret. Default: those of `vault_keys` alone."""

    vault_keys: str | None = None
    """Path of the folder of the vault's master keys, a file `*.key` each, 64 hexadecimal characters; what
    `certibranche vault rotate-master-key` makes is there. In no backup of the database. Default: `vault_key` alone."""

    export_notice: str | None = None
    """Path of a JSON file in the form of `services/export/notice.json`: what `GET /v1/persons/{id}/export` says of
    purposes, recipients and retention. Default: that one."""

    tiles: str | None = None
    """Path of the folder that `certibranche follow` publishes the transparency log into. Default: none, 404."""

    def __post_init__(self) -> None:
        if self.env == "production" and (errors := [*_not_for_production(self.issuer, self.jwks)]):
            raise SettingsRefused(errors)

    access_days: Annotated[int, Meta(ge=31, le=36_500)] = 365
    """For how many days it is kept who read what is about persons, or the log. Default: a year."""

    client_requests: Quota = 20_000
    """Requests that a client may make in ten seconds, by its token; a batch or a stream is one. Default: 20 000."""

    address_requests: Quota = 2_000
    """Requests that may come from an address without a token in ten seconds. Behind a gateway, `FORWARDED_ALLOW_IPS`
    names the gateway, whose X-Forwarded-For is then believed. Default: 2 000."""

    client_in_flight: Quota = 500
    """Requests of one client, or address, answered at once; streams that follow are among them. Default: 500."""

    in_flight: Quota = 2_000
    """Requests that are answered at once, of all clients. Default: 2 000."""


class VaultSettings(Settings, frozen=True, kw_only=True):
    """`certibranche vault`: changes the vault's keys."""

    vault_key: VaultKey | None = None
    """Master key of the vault beside those of the folder, as for `certibranche serve`. Secret. Default: none."""

    vault_keys: str
    """Path of the folder of the vault's master keys, where new ones are made. No default."""


class RelaySettings(StreamSettings, frozen=True, kw_only=True):
    """`certibranche relay`: publishes the log. Its NATS user may publish into the stream and read it, no more."""


class MigrateSettings(StreamSettings, frozen=True, kw_only=True):
    """`certibranche migrate`: makes or upgrades tables and stream. Its NATS user may create and update streams."""

    nats_max_age_s: Annotated[float, Meta(gt=0)] | None = None
    """How long the stream keeps an event, in seconds; older ones are at GET /v1/log/entries. Default: for ever."""

    nats_replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    """On how many servers of a NATS cluster the stream is kept; 3 in production. Default: 1."""


class SubscriberSettings(Struct, frozen=True, kw_only=True):
    """`certibranche subscriber`: who reads the stream. Its NATS user may make consumers."""

    nats_url: NatsUrl | None = None
    """NATS servers of a real deployment. Secret. Default: those of the `certibranche up` that is running."""

    nats_nkey: NkeySeed | None = None
    """Seed of the administrator's nkey. Secret. Default: none, the URL says who."""

    nats_ca: str | None = None
    """Path of the certificates, PEM, that NATS servers are checked against. Default: those of the system."""

    nats_stream: StreamName = "CERTIBRANCHE"
    """The name of the JetStream stream. Default: CERTIBRANCHE."""


class AuditSettings(Struct, frozen=True, kw_only=True):
    """`certibranche audit vkey`: whose log it is."""

    log_key: LogKey | None = None
    """What signs the transparency log. Secret. Default: the key of the data folder."""


class RestoreSettings(Struct, frozen=True, kw_only=True):
    """`certibranche restore`: where the log, the stream and the tiles are. The data folder stands in for the rest."""

    database_url: DatabaseUrl | None = None
    """PostgreSQL, as the role that owns the tables. Secret. Default: embedded."""

    nats_url: NatsUrl | None = None
    """NATS servers; the relay's user will do. Secret. Default: embedded."""

    nats_nkey: NkeySeed | None = None
    """Seed of the nkey that proves who asks. Secret. Default: none, the URL says who."""

    nats_ca: str | None = None
    """Path of the certificates, PEM, that NATS servers are checked against. Default: those of the system."""

    nats_stream: StreamName = "CERTIBRANCHE"
    """The name of the JetStream stream. Default: CERTIBRANCHE."""

    tiles: str | None = None
    """Path of the folder that the transparency log is published into. Default: that of the data folder."""

    log_key: LogKey | None = None
    """What signs the transparency log. Secret. Default: the key of the data folder."""

    log_guard: str | None = None
    """Path of the file that remembers what was signed last. Default: `<tiles>.guard`."""


class ClientSettings(Struct, frozen=True, kw_only=True):
    """Commands that speak to a registry: `replay`, `audit`, `demo`."""

    token: str | None = None
    """The access token; here it is in no process list. Secret. Default: one of the data folder's development issuer."""


class UpSettings(Struct, frozen=True, kw_only=True):
    """`certibranche up`: what replaces its own servers, keys and addresses."""

    env: Environment = "development"
    """`production` refuses the development issuer and keys of its own making. Default: development."""

    database_url: DatabaseUrl | None = None
    """Replaces the embedded PostgreSQL. Secret. Default: embedded."""

    nats_url: NatsUrl | None = None
    """Replaces the embedded NATS; its user must be allowed to create the stream. Secret. Default: embedded."""

    nats_stream: StreamName = "CERTIBRANCHE"
    """The name of the JetStream stream. Default: CERTIBRANCHE."""

    host: str = "127.0.0.1"
    """The address the HTTP interface listens on. Default: this machine alone."""

    port: Port = 8080
    """The TCP port of the HTTP interface; `--port` goes before it. Default: 8080."""

    jwks: str | None = None
    """Replaces the development issuer, together with `issuer` and `audience`. Default: the development issuer."""


KINDS: tuple[type[Struct], ...] = (
    ServeSettings,
    VaultSettings,
    FollowSettings,
    RelaySettings,
    MigrateSettings,
    SubscriberSettings,
    AuditSettings,
    RestoreSettings,
    ClientSettings,
    UpSettings,
)

_Kind = TypeVar("_Kind", bound=Struct)


def read(kind: type[_Kind], environment: Mapping[str, str]) -> _Kind:
    """The settings of one kind of process. SettingsRefused lists every error at once, and no secret."""
    errors = [f"{name}: there is no such setting" for name in sorted(_unknown(environment))]
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        try:
            given = _given(field.name, environment)
            if given is not None:
                values[field.name] = _converted(given, field.type)
            elif field.required:
                errors.append(f"{variable(field.name)}: must be set")
        except (ValueError, OSError) as error:
            errors.append(f"{variable(field.name)}: {error}")
    if errors:
        raise SettingsRefused(errors)
    return kind(**values)


def _not_for_production(issuer: str, jwks: str) -> Iterator[str]:
    if issuer == DEVELOPMENT_ISSUER:
        yield f"{variable('issuer')}: the development issuer is refused with {variable('env')}=production"
    address = urlsplit(jwks)
    if address.scheme == "http" and address.hostname not in LOOPBACK:
        yield f"{variable('jwks')}: must be https with {variable('env')}=production, or who is on the way signs tokens"


def variable(field_name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field_name.upper()


def is_set(field_name: str, environment: Mapping[str, str]) -> bool:
    """Whether the environment gives this setting, itself or by file."""
    return bool(environment.get(variable(field_name)) or environment.get(variable(field_name) + "_FILE"))


def _unknown(environment: Mapping[str, str]) -> set[str]:
    fields = {name for kind in KINDS for name in kind.__struct_fields__}
    known = {variable(name) for name in fields} | {variable(name) + "_FILE" for name in SECRETS & fields}
    return {name for name in environment if name.startswith(PREFIX)} - known


def _given(field_name: str, environment: Mapping[str, str]) -> str | None:
    value = environment.get(variable(field_name))
    path = environment.get(variable(field_name) + "_FILE") if field_name in SECRETS else None
    if value and path:
        raise ValueError(f"is set twice, also as {variable(field_name)}_FILE")
    if path:
        return Path(path).read_text(encoding="utf-8").strip()
    return value or None


def _converted(given: str, wanted: Any) -> Any:
    if wanted == VaultKey | None:
        return msgspec.convert(_key_bytes(given), wanted)
    return msgspec.convert(given, wanted, strict=False)


def _key_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text) else base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is neither hexadecimal nor base64") from None
