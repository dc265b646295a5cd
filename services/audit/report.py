"""An audit's report for people and programs: text, JSON, or a page that stands by itself."""

from collections.abc import Callable, Iterator
from html import escape

import msgspec
from msgspec import UNSET

from contracts.rules import RULES
from services.audit.findings import Check, Finding, Report, State

CANNOT_SHOW = (
    "That what was posted is true: that a person was really evaluated, or that a jury really sat.",
    "That everything that happened was posted.",
    "That recordedtime is the true time: it never goes back, and cosignatures of witnesses bound it, no more.",
    "Who stands behind a person_id, and whether identities are rightly told apart or merged: they are not in the log.",
    "That the rules of this program are the contract's: it decides with the same rules as the registry, and is as "
    "open to be read as they are.",
    "Another history shown to others: for that, compare checkpoints with them, or ask for witnesses.",
)
"""What no audit of this kind can tell."""

SIGNS: dict[State, str] = {"HELD": "✓", "BROKEN": "✗", "UNCHECKED": "?", "SKIPPED": "–"}
VERDICTS: dict[State, str] = {
    "HELD": "All that was asked for holds.",
    "BROKEN": "Something is not as it must be.",
    "UNCHECKED": "Nothing wrong was found, but not all that was asked for could be checked.",
}
WORDS: dict[State, str] = {"HELD": "holds", "BROKEN": "broken", "UNCHECKED": "not checked", "SKIPPED": "skipped"}


def as_json(report: Report) -> str:
    members = report.as_dict() | {"cannot_show": CANNOT_SHOW}
    return msgspec.json.format(msgspec.json.encode(members), indent=2).decode() + "\n"


def as_text(report: Report) -> str:
    return "\n".join([*_text(report), ""])


def _text(report: Report) -> Iterator[str]:
    yield f"Audit of {report.source}, {report.began_at:%Y-%m-%d %H:%M:%S} UTC, {report.seconds:.1f} s, {report.program}"
    yield f"Key: {report.vkey}"
    yield f"Seed: {report.seed}"
    yield ""
    for check in report.checks:
        yield f"{SIGNS[check.state]} {check.title}"
        yield f"    by {check.how}"
        if check.covered:
            yield f"    covered: {check.covered}"
        for why in check.left_out:
            yield f"    left out: {why}"
        for finding in check.findings:
            yield f"    ✗ {_place(finding)}{finding.what}: {finding.says}"
            yield from (f"        {name}: {value}" for name, value in _details(finding))
        if check.found > len(check.findings):
            yield f"    … and {check.found - len(check.findings)} more"
    yield ""
    yield VERDICTS[report.verdict]
    yield "What no such audit can show:"
    yield from (f"  - {what}" for what in CANNOT_SHOW)


def _place(finding: Finding) -> str:
    position = "" if finding.position is UNSET else f"position {finding.position}, "
    return position + ("" if finding.rule is UNSET else f"rule {finding.rule}, ")


def _details(finding: Finding) -> Iterator[tuple[str, str]]:
    """The rule's text, and the values that the finding speaks of."""
    if isinstance(finding.rule, str) and finding.rule in RULES:
        yield finding.rule, RULES[finding.rule]
    for name, value in finding.values.items():
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --good: #1a7f37; --bad: #c62828; --open: #9a6700; --quiet: #6b7280;
  --line: light-dark(#d9dde3, #3a3f47); --box: light-dark(#fff, #1c2026); --page: light-dark(#f4f6f8, #14171b); }}
body {{ font: 1rem/1.55 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 2rem 1rem 4rem;
  background: var(--page); }}
h1 {{ margin: 0 0 .25rem; font-size: 1.5rem; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .75rem; }}
.verdict {{ border-left: .5rem solid var(--state); background: var(--box); border-radius: .5rem; padding: 1rem 1.25rem;
  font-size: 1.2rem; font-weight: 600; margin: 1.5rem 0; }}
.HELD {{ --state: var(--good); }} .BROKEN {{ --state: var(--bad); }}
.UNCHECKED {{ --state: var(--open); }} .SKIPPED {{ --state: var(--quiet); }}
section {{ background: var(--box); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1.25rem;
  margin: .6rem 0; }}
section h3 {{ margin: 0; font-size: 1rem; display: flex; justify-content: space-between; gap: 1rem; }}
.state {{ color: var(--state); white-space: nowrap; }}
.how, .quiet {{ color: var(--quiet); margin: .2rem 0; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .3rem 0; }}
dt {{ color: var(--quiet); }} dd {{ margin: 0; overflow-wrap: anywhere; }}
.finding {{ border-top: 1px solid var(--line); margin-top: .7rem; padding-top: .6rem; }}
.finding strong {{ color: var(--bad); }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box); border: 1px solid var(--line);
  border-radius: .5rem; padding: .75rem 1rem; }}
@media print {{ body {{ background: none; padding: 0; }} section, .finding {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def as_html(report: Report) -> str:
    return _PAGE.format(title=escape(f"Audit of {report.source}"), content="\n".join(_content(report)))


def _content(report: Report) -> Iterator[str]:
    seconds = f"{report.seconds:.1f} s"
    yield f'<p class="quiet">{report.began_at:%Y-%m-%d %H:%M:%S} UTC · {seconds} · {escape(report.program)}</p>'
    yield f'<p class="verdict {report.verdict}">{SIGNS[report.verdict]} {escape(VERDICTS[report.verdict])}</p>'
    yield "<h2>What was checked</h2>"
    for check in report.checks:
        yield from _section(check)
    yield "<h2>What no such audit can show</h2><ul>"
    yield from (f"<li>{escape(what)}</li>" for what in CANNOT_SHOW)
    yield f"</ul><h2>Evidence</h2><p>The log's key:</p><pre>{escape(report.vkey)}</pre>"
    yield f"<p>Persons and certificates were chosen with --seed {report.seed}.</p>"
    if report.note:
        yield f"<p>The checkpoint as it was served:</p><pre>{escape(report.note)}</pre>"
    if report.since_note:
        yield f"<p>The older checkpoint:</p><pre>{escape(report.since_note)}</pre>"


def _section(check: Check) -> Iterator[str]:
    state = f'<span class="state">{SIGNS[check.state]} {WORDS[check.state]}</span>'
    yield f'<section class="{check.state}" id="{escape(check.name)}"><h3>{escape(check.title)}{state}</h3>'
    yield f'<p class="how">By {escape(check.how)}.</p><dl>'
    if check.covered:
        yield f"<dt>covered</dt><dd>{escape(check.covered)}</dd>"
    yield from (f"<dt>left out</dt><dd>{escape(why)}</dd>" for why in check.left_out)
    yield "</dl>"
    for finding in check.findings:
        place = escape(_place(finding).removesuffix(", "))
        yield f'<div class="finding"><strong>{escape(finding.what)}</strong> {place}<br>{escape(finding.says)}<dl>'
        yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _details(finding))
        yield "</dl></div>"
    if check.found > len(check.findings):
        yield f"<p>… and {check.found - len(check.findings)} more.</p>"
    yield "</section>"


FORMATS: dict[str, Callable[[Report], str]] = {"text": as_text, "json": as_json, "html": as_html}
SUFFIXES = {".txt": "text", ".json": "json", ".html": "html"}
