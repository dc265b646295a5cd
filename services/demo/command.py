"""The command `certibranche demo`."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import rich_click as click
from rich.console import Console

from services.demo.catalogue import catalogue
from services.demo.play import Registry, play
from services.demo.report import EXPECTED, figures, progress, show_competencies, show_counts
from services.demo.year import careers, careers_total, preamble
from services.remote import REQUEST_TIMEOUT_S, OutOfReach, access_token, registry_options, tell_retries

SCOPES = (
    "catalogue:write",
    "persons:write",
    "persons:read",
    "registrations:write",
    "evaluations:write",
    "awards:write",
)


@click.command()
@registry_options
@click.option("--scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Play only that part of it.")
def demo(url: str, data: Path | None, token: str | None, scale: float) -> None:
    """Play the branch's year 2018: 15 099 registrations with all that follows, about 100 000 events.

    Running it again, or after it was stopped midway, goes on and records nothing twice.
    """
    console = Console()
    tell_retries(console)
    bearer = access_token(token, data, SCOPES, "demo")
    try:
        counts = asyncio.run(_demo(console, url, bearer, scale))
    except httpx2.TransportError as error:
        raise OutOfReach(url, error) from error
    if scale == 1:
        compare(counts)


def compare(counts: dict[str, Any]) -> None:
    """ClickException, which exits with 1, unless the registry's counts of 2018 are the agreement's."""
    counted = figures(counts)
    if counted != EXPECTED:
        wrong = ", ".join(f"{name} {counted[name]}" for name in EXPECTED if counted[name] != EXPECTED[name])
        raise click.ClickException(
            f"the registry's counts of 2018 are not those of the agreement: {wrong}. "
            "Either it holds other facts of that year too, or it counts wrongly."
        )


async def _demo(console: Console, url: str, bearer: str, scale: float) -> dict[str, Any]:
    """Play, then show what the registry makes of it; the counts of 2018."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_S) as client:
        registry = Registry(client)
        with progress(console, careers_total(scale), lambda: registry.events) as told:
            person_id = await play(registry, preamble(catalogue()), careers(catalogue(), scale), told)
        console.print(
            f"{registry.events} events accepted, {registry.new} of them new, up to position {registry.position}"
        )
        counts = await registry.view("/v1/branch/counts", year=2018)
        show_counts(console, counts, whole_year=scale == 1)
        if person_id:
            show_competencies(console, await registry.view(f"/v1/persons/{person_id}/competencies"))
    return counts
