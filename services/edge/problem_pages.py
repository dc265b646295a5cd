"""The pages that a problem's `type` leads to: what it means, and the rules under which a request gets it."""

from collections.abc import Iterable
from html import escape

from litestar import MediaType, Response, Router, get
from litestar.params import FromPath

from contracts.catalogue import PROBLEMS, Entry
from contracts.problems import NotFound

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }}
dt {{ font-weight: bold; margin-top: 1rem; }}
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


def _page(title: str, content: Iterable[str]) -> Response[str]:
    html = _PAGE.format(title=escape(title), content="\n".join(content))
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "public, max-age=3600"}
    return Response(html, media_type="text/html", headers=headers)


def _problem(entry: Entry) -> Iterable[str]:
    yield f"<p>Status {entry.status}. <code>{escape(entry.slug)}</code></p>"
    if entry.meaning:
        yield f"<p>{escape(entry.meaning)}</p>"
    if entry.rules:
        yield f"<h2>{'The rule' if len(entry.rules) == 1 else 'The rules'}</h2>"
        yield "<dl>"
        for number, text in entry.rules.items():
            yield f'<dt id="{number}">{number}</dt><dd>{escape(text)}</dd>'
        yield "</dl>"
    yield '<p><a href="/problems">All problems</a></p>'


@get("/problems", tags=["operations"], summary="Every kind of problem", media_type=MediaType.HTML)
async def get_problems() -> Response[str]:
    """A page that lists them."""
    links = (
        f'<li>{entry.status} <a href="/problems/{slug}">{escape(entry.title)}</a></li>'
        for slug, entry in sorted(PROBLEMS.items(), key=lambda item: (item[1].status, item[0]))
    )
    return _page("Problems", ["<ul>", *links, "</ul>"])


@get("/problems/{slug:str}", tags=["operations"], summary="What a problem means", media_type=MediaType.HTML)
async def get_problem(slug: FromPath[str]) -> Response[str]:
    """The page that the `type` of a problem leads to."""
    entry = PROBLEMS.get(slug)
    if entry is None:
        raise NotFound("There is no such kind of problem; see /problems.")
    return _page(entry.title, _problem(entry))


def problem_pages() -> Router:
    return Router("/", route_handlers=[get_problems, get_problem])
