"""What the branch counts, folded again from the entries, beside what the registry says it counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from contracts.facts import Fact
from services.audit.answers import DIFFERENCES_MAX, Registry, differences
from services.audit.findings import Check, CouldNotCheck
from services.projections.events import Placed
from services.projections.views.counts.answer import Counts, Total, YearFacts, counts
from services.projections.views.counts.fold import ALL_BRANCHES, FACTS, Cell, Changes, Known, fold

YEARS_A_REQUEST = 100
YEAR_MAX = 9_999
"""The last of which counts can be asked for. Days end there; objectives, which are of any year, do not."""

_GROUPS = ("family", "reporting_status", "certification_id", "branch", "region")
_FOLDED = frozenset(FACTS)


class CountsFold:
    """The counts in the making. broken_at: the position of the first event that cannot be counted, if there is one."""

    def __init__(self) -> None:
        self._known = Known()
        self._cells: defaultdict[Cell, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._persons: Counter[tuple[int, str]] = Counter()
        self._objectives: dict[int, int] = {}
        self.broken_at: int | None = None

    def fold(self, position: int, fact: Fact) -> None:
        """Count one event; those before it have been counted."""
        if self.broken_at is not None or type(fact) not in _FOLDED:
            return
        changes = Changes()
        try:
            fold(self._known, changes, Placed(position, fact))
        except LookupError:  # it speaks of what never was: the rules refuse it
            self.broken_at = position
        for delta in changes.deltas:
            cell = self._cells[delta.cell]
            for index, change in enumerate(delta[2:]):
                cell[index] += change
        for persons in changes.persons_deltas:
            self._persons[persons.year, persons.branch] += persons.persons
        for objective in changes.objectives:
            self._objectives[objective.year] = objective.beneficiaries

    def branches(self) -> list[str]:
        return sorted({cell.branch for cell in self._cells})

    def spans(self) -> list[range]:
        """Spans that a registry may be asked for, with all years of which anything is known.

        Not all years from the first to the last: an objective may be set for any, by mistake too.
        """
        known = {cell.year for cell in self._cells} | self._objectives.keys()
        spans: list[range] = []
        for year in sorted(year for year in known if year <= YEAR_MAX):
            if spans and year < spans[-1].start + YEARS_A_REQUEST:
                spans[-1] = range(spans[-1].start, year + 1)
            else:
                spans.append(range(year, year + 1))
        return spans

    def counts(self, year: int, branch: str | None, position: int) -> Counts:
        """As the contract has them (4.2), all rows."""
        cells = [(c, n) for c, n in self._cells.items() if c.year == year and branch in (None, c.branch)]
        persons = self._persons[year, ALL_BRANCHES if branch is None else branch]
        facts = YearFacts(list(_totals(year, cells)), persons, self._objectives.get(year))
        return counts(year, facts, position=position, everything=True)


def _totals(year: int, cells: Iterable[tuple[Cell, list[int]]]) -> Iterator[Total]:
    sums: defaultdict[tuple[str | None, str | None], list[int]] = defaultdict(lambda: [0, 0, 0])
    for cell, numbers in cells:
        for group in (None, *_GROUPS):
            total = sums[group, group and getattr(cell, group)]
            for index, number in enumerate(numbers):
                total[index] += number
    for (group, value), (registered, beneficiaries, revoked) in sums.items():
        family, status, certification_id, of_branch, region = (value if group == name else None for name in _GROUPS)
        yield Total(year, family, status, certification_id, of_branch, region, registered, beneficiaries, revoked)


def check_counts(check: Check, folded: CountsFold, registry: Registry) -> None:
    """Every year of the log, of the whole and of each branch of candidates."""
    if folded.broken_at is not None:
        raise CouldNotCheck(f"the event of position {folded.broken_at} cannot be counted")
    spans = folded.spans()
    for branch in (None, *folded.branches()):
        for span in spans:
            _compare(check, folded, registry, span, branch)
    years = ", ".join(f"{span[0]} to {span[-1]}" for span in spans)
    which = f"years {years}" if years else "a log without counts"
    check.covered = f"{which}, of all and of {len(folded.branches())} branches, at position {registry.position}"


def _compare(check: Check, folded: CountsFold, registry: Registry, years: range, branch: str | None) -> None:
    params: dict[str, Any] = {"from": years[0], "to": years[-1]} | ({"branch": branch} if branch else {})
    answered = registry.ask("v1/branch/counts", **params).json("counts").get("years")
    expected = [msgspec.to_builtins(folded.counts(year, branch, registry.position)) for year in years]
    if not isinstance(answered, list) or len(answered) != len(expected):
        raise CouldNotCheck("counts: the answer is not one for each year")
    for year, one, other in zip(years, expected, answered, strict=True):
        for member, entries_say, registry_says in islice(differences(one, other), DIFFERENCES_MAX):
            check.find(
                "counts-differ",
                f"{member} of {year}{f' in {branch}' if branch else ''}: the entries give {entries_say}, "
                f"the registry says {registry_says}.",
                year=year,
                branch=branch,
                member=member,
                folded=entries_say,
                answered=registry_says,
            )
