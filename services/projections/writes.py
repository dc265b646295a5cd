"""What a batch writes into a view's tables: one statement after the other, or all of them with another in one trip."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from services.projections.builds import Connection, View
from services.projections.events import Placed

_PARAMETER = re.compile(r"\$(\d+)")


class Write(NamedTuple):
    """Rows for one of a view's statements, a column each.

    In the statement {schema} stands for where the tables are, {due} for a condition without which nothing is written.
    """

    statement: str
    columns: Sequence[Sequence[Any]]


class Folded(NamedTuple):
    """What events change.

    state: what it takes to fold the events behind them while these writes are under way; the view alone looks into it.
    """

    writes: Sequence[Write] = ()
    state: Any = None


def write(statement: str, rows: Iterable[Sequence[Any]]) -> Iterator[Write]:
    """The statement with these rows; nothing without rows."""
    if columns := list(zip(*rows, strict=True)):
        yield Write(statement, columns)


async def apply(connection: Connection, view: View, schema: str, events: Sequence[Placed]) -> None:
    """Fold events into the view's tables, in the caller's transaction."""
    for statement, columns in (await view.fold(connection, schema, events)).writes:
        await connection.execute(statement.format(schema=schema, due="true"), *columns)


@lru_cache(maxsize=256)
def joined(schema: str, due: str, parameters: int, *statements: str) -> str:
    """Statements as further common table expressions of one whose own parameters are so many: theirs come behind."""
    parts = []
    for number, statement in enumerate(statements, 1):
        text = statement.format(schema=schema, due=due)
        parts.append(f", write_{number} AS ({_moved_up(text, parameters)})")
        parameters += max(map(int, _PARAMETER.findall(text)))
    return "".join(parts)


def _moved_up(text: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", text)
