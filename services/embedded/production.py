"""What `certibranche up` does for a trial, and does not do with CERTIBRANCHE_ENV=production."""

from collections.abc import Iterator, Mapping

from services.embedded import CannotRun
from services.settings import UpSettings, is_set, variable

ENV = f"{variable('env')}=production"


def refuse_development(settings: UpSettings, environment: Mapping[str, str]) -> None:
    """CannotRun when production would rest on the development issuer, or on keys kept beside what they protect."""
    if settings.env == "production" and (errors := list(_development(settings, environment))):
        raise CannotRun("; ".join([f"{ENV} refuses {errors[0]}", *errors[1:]]))


def _development(settings: UpSettings, environment: Mapping[str, str]) -> Iterator[str]:
    if settings.jwks is None:
        names = ", ".join(map(variable, ("jwks", "issuer", "audience")))
        yield f"the development issuer, which gives every scope to whoever reads the data folder: set {names}"
    if not any(is_set(name, environment) for name in ("vault_key", "vault_keys")):
        yield f"a vault key of its own making in the data folder: set {variable('vault_keys')}"
    if not is_set("log_key", environment):
        yield f"a signing key of its own making in the data folder: set {variable('log_key')} and {variable('tiles')}"


def warnings(settings: UpSettings) -> Iterator[str]:
    """What an operator in production should know: a line for each server that has one machine and one disk."""
    if settings.env == "production":
        for name, given in (("PostgreSQL", settings.database_url), ("NATS", settings.nats_url)):
            if given is None:
                own = variable("database_url" if name == "PostgreSQL" else "nats_url")
                yield f"{ENV} with the embedded {name}: one machine, one disk, no standby; {own} replaces it"


def refuse_development_tokens(settings: UpSettings) -> None:
    """CannotRun in production: its tokens are made by its own issuer."""
    if settings.env == "production":
        raise CannotRun(f"the development issuer is off with {ENV}; tokens are made by {variable('issuer')}")
