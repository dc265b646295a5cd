"""`certibranche audit`: check a registry by its log, and the log's key."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.audit.audit import Audit, Told, opened
from services.audit.checks import SAMPLE, Wanted
from services.audit.findings import State
from services.audit.report import FORMATS, SUFFIXES
from services.embedded import CannotRun
from services.embedded.data_folder import DataFolder, default_path
from services.embedded.options import data_option
from services.projections.transparency.note import COSIGNATURE, ED25519, NoteRefused, Signer, Verifier
from services.projections.transparency.policy import NO_POLICY, Group, Policy, PolicyRefused, Witness, parse_policy
from services.remote import access_token, tell_retries
from services.settings import AuditSettings, read

CHECK = "URL"
EXIT_CODES: dict[State, int] = {"HELD": 0, "BROKEN": 3, "UNCHECKED": 4}
"""1 and 2 are the program's own: it could not run, or was called wrongly."""

folder_option = data_option("The data folder. Default: that of `certibranche up`.")


class _UrlOrCommand(click.RichGroup):
    """A group whose word that is no command is the address of a registry."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else [CHECK, *args])


@click.group(cls=_UrlOrCommand, context_settings={"ignore_unknown_options": True})
def audit() -> None:
    """Check a registry by its log alone, without trusting who runs it: `certibranche audit URL --vkey KEY`."""


class Count(click.ParamType[Any]):
    """A number, or the word `all`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value != "all" and not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number nor `all`.", param, ctx)
        return "all" if value == "all" else int(value)


def _keys(kind: bytes) -> Any:
    """A click callback that refuses what is no verifier key of a kind."""

    def callback(_: click.Context, __: click.Parameter, value: str | Sequence[str] | None) -> Any:
        for vkey in (value,) if isinstance(value, str) else value or ():
            try:
                verifier = Verifier(vkey)
            except NoteRefused as error:
                raise click.BadParameter(str(error)) from error
            if verifier.kind != kind:
                raise click.BadParameter(f"{verifier.name} is a key of the wrong kind")
        return value

    return callback


def _policy(_: click.Context, __: click.Parameter, value: Path | None) -> Policy:
    try:
        return NO_POLICY if value is None else parse_policy(value.read_text(encoding="utf-8"))
    except (PolicyRefused, UnicodeDecodeError) as error:
        raise click.BadParameter(str(error)) from error


def _report_path(_: click.Context, __: click.Parameter, value: Sequence[Path]) -> Sequence[Path]:
    for path in value:
        if path.suffix not in SUFFIXES:
            raise click.BadParameter(f"{path} ends in none of {', '.join(SUFFIXES)}")
    return value


FILE = click.Path(dir_okay=False, path_type=Path)
READ = click.Path(exists=True, dir_okay=False, path_type=Path)
OPTIONS = (
    click.option("--vkey", metavar="KEY", callback=_keys(ED25519), help="The log's key. Required without --policy."),
    click.option("--since", type=READ, metavar="FILE", help="A checkpoint saved at an earlier audit."),
    click.option("--save", type=FILE, metavar="FILE", help="Keep the checkpoint for the next audit, once proved."),
    click.option("--witness", "witnesses", multiple=True, metavar="KEY", callback=_keys(COSIGNATURE),
                 help="A witness's key."),
    click.option("--quorum", type=click.IntRange(1), metavar="N", help="Of them, so many must sign. Default: all."),
    click.option("--policy", type=READ, callback=_policy, metavar="FILE",
                 help="Log, witnesses and quorum out of a policy file (c2sp.org/tlog-policy) instead."),
    click.option("--entries", is_flag=True, help="Read all entries, decide and count them again. Needs log:read."),
    click.option(
        "--persons",
        type=Count(),
        metavar="N|all",
        help=f"Persons and certificates compared. Default: {SAMPLE} of each, persons as far as the token allows.",
    ),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Of their choice. Default: another each time."),
    click.option(
        "--report", "reports", multiple=True, type=FILE, callback=_report_path, metavar="FILE",
        help="Also write the report into a file: .html, .json or .txt.",
    ),
    click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", help="On standard output."),
    click.option(
        "--token",
        metavar="JWT",
        help="A token with log:read, and persons:read to compare persons. Default: CERTIBRANCHE_TOKEN (or _FILE).",
    ),
    folder_option,
)  # fmt: skip


def check_options(command: Any) -> Any:
    """The options of an audit."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@audit.command(CHECK)
@click.argument("address", metavar="")
@check_options
def check(
    *,
    address: str,
    vkey: str | None,
    since: Path | None,
    save: Path | None,
    witnesses: Sequence[str],
    quorum: int | None,
    policy: Policy,
    entries: bool,
    persons: int | str | None,
    seed: int | None,
    reports: Sequence[Path],
    format_: str,
    token: str | None,
    data: Path | None,
) -> None:
    """Check the registry at URL, or the copy of its log's files there or in a folder.

    Exit code 0: all that was asked for holds. 3: something is not as it must be. 4: it could not all be checked.
    """
    if persons is not None and not entries:
        raise click.UsageError("Persons are compared with their entries: --persons needs --entries.")
    if witnesses or quorum is not None:
        policy = _of_witnesses(witnesses, quorum, policy)
    wanted = Wanted(
        vkey=vkey or _log_of(policy),
        policy=policy,
        since=None if since is None else since.read_text(encoding="utf-8", errors="replace"),
        entries=entries,
        things=SAMPLE if persons is None else persons if isinstance(persons, int) else None,
        persons_asked=persons is not None,
        seed=secrets.randbits(32) if seed is None else seed,
    )
    if entries and "://" in address:
        token = access_token(token, data, ("log:read", "persons:read"), "audit")
    console = Console(stderr=True)
    tell_retries(console)
    with opened(address, token) as source, _progress(console) as told:
        made = Audit(wanted, address, told)
        made.run(source)
    for path in reports:
        path.write_text(FORMATS[SUFFIXES[path.suffix]](made.report), encoding="utf-8")
    click.echo(FORMATS[format_](made.report), nl=False)
    if save is not None:
        _save(console, made, save)
    sys.exit(EXIT_CODES[made.report.verdict])


def _of_witnesses(vkeys: Sequence[str], quorum: int | None, policy: Policy) -> Policy:
    """The policy that so many of these witnesses make."""
    if policy is not NO_POLICY:
        raise click.UsageError("A policy names the witnesses and their quorum: give either --policy, or --witness.")
    witnesses = {vkey: Witness(vkey, Verifier(vkey), None) for vkey in vkeys}
    needed = len(witnesses) if quorum is None else quorum
    if needed > len(witnesses):
        raise click.UsageError(f"A quorum of {needed} needs as many --witness.")
    by_name = {witness.verifier.name: witness for witness in witnesses.values()}
    if len(by_name) < len(witnesses):
        raise click.UsageError("Two witnesses have the same name: name them in a --policy.")
    return Policy((), by_name, {f"{needed} of them": Group(needed, list(by_name))}, f"{needed} of them")


def _log_of(policy: Policy) -> str:
    if len(policy.logs) != 1:
        raise click.UsageError("Whose log is it? Give --vkey, or a --policy that names one log.")
    return policy.logs[0].vkey


def _save(console: Console, made: Audit, path: Path) -> None:
    if not made.may_be_saved:
        console.print(f"{path} is left as it is: this checkpoint is not to be trusted", style="red", soft_wrap=True)
        return
    written = path.with_name(f".{path.name}.new")
    written.write_text(made.report.note, encoding="utf-8")
    written.replace(path)


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Told]:
    """A bar on a terminal for each thing that is looked at; nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)

        yield told


@audit.command()
@folder_option
def vkey(data: Path | None) -> None:
    """Print the transparency log's verifier key, to be handed to auditors on a channel of its own."""
    given = read(AuditSettings, os.environ).log_key if data is None else None
    folder = DataFolder(data or default_path(os.environ))
    try:
        click.echo(Signer(given or folder.log_key().read_text()).vkey)
    except NoteRefused as error:
        raise CannotRun(str(error)) from error
