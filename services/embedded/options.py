"""The option by which commands are told which data folder they work on."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])

DEFAULT = "Default: $XDG_STATE_HOME/certibranche, or /var/lib/certibranche as root."
RUNNING = "The data folder of a running `certibranche up`. Default: CERTIBRANCHE_DATABASE_URL, or the default folder."


def data_option(help_text: str) -> Callable[[Command], Command]:
    """`--data DIR`, which becomes the parameter `data`: a path, or None when it is not given."""
    return click.option("--data", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help=help_text)
