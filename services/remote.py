"""What commands that call a registry over HTTP share: its address, a token, its refusals, and patience."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
import rich_click as click
from rich.console import Console
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from services.embedded.data_folder import DataFolder, default_path
from services.embedded.issuer import Issuer
from services.embedded.options import data_option
from services.settings import ClientSettings, read

PATIENCE_S = 60.0
"""How long a registry may be out of reach or busy before a command gives up."""

REQUEST_TIMEOUT_S = 60.0
TOKEN_TTL_S = 12 * 3600

Command = TypeVar("Command", bound=Callable[..., Any])


class Refused(click.ClickException):
    """The registry says no, and would say it again. `problem` is its RFC 9457 problem, `posted` what it refuses."""

    def __init__(self, problem: dict[str, Any], posted: Any = None) -> None:
        rule = f" (rule {problem['rule']})" if "rule" in problem else ""
        lines = [f"{problem.get('title', 'Refused')}{rule}", f"problem: {_json(problem)}"]
        if posted is not None:
            lines.append(f"posted: {_json(posted)}")
        super().__init__("\n".join(lines))
        self.problem = problem


class Unavailable(click.ClickException):
    """Not now: the same request is worth repeating after that many seconds."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(f"the registry cannot do this right now: {detail}")
        self.retry_after_s = retry_after_s


class OutOfReach(click.ClickException):
    """Patience has ended without an answer."""

    def __init__(self, url: str, error: httpx2.TransportError) -> None:
        super().__init__(f"no registry answers at {url}: {error or type(error).__name__}")


def registry_options(command: Command) -> Command:
    """The options `--url`, `--data` and `--token`."""
    options = (
        click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The registry's address."),
        data_option("The data folder whose development issuer makes the token. Default: that of `certibranche up`."),
        click.option("--token", metavar="JWT", help="An access token instead. Default: CERTIBRANCHE_TOKEN (or _FILE)."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def access_token(token: str | None, data: Path | None, scopes: Sequence[str], client_id: str) -> str:
    """The token of the option or, unless a data folder is named, of the environment; or one that the data folder's
    development issuer makes."""
    if token is None and data is None:
        token = read(ClientSettings, os.environ).token
    if token is not None:
        return token
    folder = DataFolder(data or default_path(os.environ))
    return Issuer(folder).token(scopes, ("",), client_id, TOKEN_TTL_S)


def check(response: httpx2.Response) -> None:
    """Refused or Unavailable unless the registry did as asked. The body has been read."""
    if not response.is_error:
        return
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:  # whoever answers is no registry
        problem = {"title": f"{response.url} answers {response.status_code} {response.reason_phrase}"}
    settle(response.status_code, problem, response.headers.get("Retry-After", ""))


def settle(status: int, problem: dict[str, Any], retry_after: str = "", posted: Any = None) -> None:
    """Raise what a problem means: Unavailable when it passes by itself, else Refused."""
    if status in {429, 503}:
        raise Unavailable(str(problem.get("detail", "")), int(retry_after) if retry_after.isdecimal() else 1)
    raise Refused(problem, posted)


def again(error: Exception) -> bool | float:
    """stamina's back-off hook: repeat what failed on the way or is not possible now. Posting all again is safe."""
    if isinstance(error, Unavailable):
        return error.retry_after_s
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


def tell_retries(console: Console) -> None:
    """From now on in this process, say there why a request is sent again. (stamina would log to standard output.)"""

    def tell(details: RetryDetails) -> None:
        cause = details.caused_by
        console.print(f"{cause or type(cause).__name__}; again in {details.wait_for:.1f} s", style="yellow")

    set_on_retry_hooks([tell])


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
