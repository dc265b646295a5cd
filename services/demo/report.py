"""What the demo shows: its progress, and what the registry makes of the year."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.demo.plan import FIGURES, SUCCESS_RATE

PLAIN_LINES = 10


@contextmanager
def progress(console: Console, persons_total: int, events: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Tells how far the demo is: a bar on a terminal, else some lines. Yields what to call with persons added.

    events: how many have been posted so far.
    """
    started = time.monotonic()

    def rate() -> str:
        a_second = events() / max(time.monotonic() - started, 0.001)
        return f"{_number(events())} events, {_number(round(a_second))}/s"

    if not console.is_terminal:
        done = 0

        def tell(persons: int) -> None:
            nonlocal done
            before, done = done, done + persons
            if done * PLAIN_LINES // persons_total > before * PLAIN_LINES // persons_total:
                console.print(f"{_number(done)} of {_number(persons_total)} persons, {rate()}")

        yield tell
        return
    columns = (
        TextColumn("The year 2018"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("persons · {task.fields[rate]} ·"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=persons_total, rate=rate())
        yield lambda persons: bar.update(task, advance=persons, rate=rate())


def figures(counts: dict[str, Any]) -> dict[str, int | float | None]:
    """What the agreement says of a year, out of the registry's counts."""
    by_status = counts["by_status"]
    return {
        "registered": counts["registered"],
        "beneficiaries": counts["beneficiaries"],
        "SALARIE": by_status["SALARIE"]["beneficiaries"],
        "DEMANDEUR_EMPLOI": by_status["DEMANDEUR_EMPLOI"]["beneficiaries"],
        "success_rate": counts["success_rate"],
    }


EXPECTED: dict[str, int | float | None] = {**FIGURES, "success_rate": SUCCESS_RATE}


def show_counts(console: Console, counts: dict[str, Any], *, whole_year: bool) -> None:
    table = Table("2018", title="Counts of the branch", title_justify="left")
    table.add_column("registry", justify="right")
    if whole_year:
        table.add_column("agreement of 2019", justify="right")
    for name, counted in figures(counts).items():
        table.add_row(name, _number(counted), *([_number(EXPECTED[name])] if whole_year else []))
    console.print(table)


def show_competencies(console: Console, view: dict[str, Any]) -> None:
    """What one person has acquired."""
    console.print(f"Competencies of person {view['person_id']}", style="bold")
    for certificate in view["certificates"]:
        console.print(f"  {certificate['certificate_number']}  {certificate['title']}  {certificate['awarded_on']}")
    table = Table("bloc", "basis", "validated_on", "usable_until", "competences")
    for bloc in view["blocs"]:
        labels = [c["label"] for c in view["competences"] if c["bloc_id"] == bloc["bloc_id"]]
        table.add_row(bloc["title"], bloc["basis"], bloc["validated_on"], bloc["usable_until"], "\n".join(labels))
    console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", " ")
